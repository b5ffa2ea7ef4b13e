defmodule Emily.Models.AxonTest do
  use ExUnit.Case, async: true

  @moduletag :capture_log

  # Axon hands each of its own options on to the compiler.
  test "a model is built with any option of Axon's" do
    model = Axon.input("x", shape: {nil, 3}) |> Axon.dense(2) |> Axon.dropout(rate: 0.5, seed: 1)

    options = [
      mode: :train,
      seed: 7,
      debug: true,
      print_values: false,
      raise_on_none: true,
      global_layer_options: []
    ]

    {init, predict} = Axon.build(model, [compiler: Emily.Compiler] ++ options)
    x = Nx.tensor([[1.0, 2.0, 3.0]])
    state = init.(x, Axon.ModelState.empty())
    assert %{prediction: %Nx.Tensor{data: %Emily.Backend{}}} = predict.(state, x)
  end
end
