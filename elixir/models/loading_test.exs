defmodule Emily.Models.LoadingTest do
  use ExUnit.Case, async: true

  @moduletag :minilm

  test "MiniLM's parameters are tensors of Emily" do
    Nx.with_default_backend({Emily.Backend, device: :cpu}, fn ->
      {:ok, info} = Bumblebee.load_model({:local, System.fetch_env!("EMILY_MINILM")})
      kernel = info.params.data["encoder.blocks.0.self_attention.query"]["kernel"]
      assert %Nx.Tensor{shape: {384, 384}, data: %Emily.Backend{}} = kernel
    end)
  end
end
