defmodule Emily.Models.LoadingTest do
  # Alone, as it counts what all processes' tensors take.
  use ExUnit.Case, async: false

  alias Emily.Models.{MiniLM, Usage}

  @moduletag :minilm

  setup do
    Emily.Defaults.set({Emily.Backend, device: :cpu}, [])
  end

  test "MiniLM's parameters are tensors of Emily" do
    kernel = MiniLM.load().info.params.data["encoder.blocks.0.self_attention.query"]["kernel"]
    assert %Nx.Tensor{shape: {384, 384}, data: %Emily.Backend{}} = kernel
  end

  # What Bumblebee reads is the VM's, and not counted here: OPERATING.md. An allocator rounds up, by far less than
  # a hundredth.
  test "loading takes no more of Emily's memory than the parameters do" do
    peak =
      Usage.peak(fn ->
        model = MiniLM.load()
        send(self(), {:bytes, MiniLM.bytes(model)})
      end)

    assert_received {:bytes, bytes}
    assert bytes > 90_000_000
    assert peak in bytes..div(bytes * 101, 100)
  end
end
