defmodule Emily.Quantization.ParamsTest do
  use ExUnit.Case, async: true

  alias Emily.Quantization
  alias Emily.Quantization.Matrix

  # A model's state, as Axon has it.
  defmodule State do
    defstruct [:data, :parameters]
  end

  defp wave(shape), do: Nx.sin(Nx.iota(shape, type: :f32, backend: Emily.Backend))

  defp bytes(params) do
    Nx.Defn.Composite.reduce(params, 0, fn tensor, sum -> sum + Nx.byte_size(tensor) end)
  end

  defp params do
    %{
      "hidden" => %{"kernel" => wave({64, 96}), "bias" => wave({96})},
      "output" => %{"kernel" => wave({96, 10}), "bias" => wave({10})},
      "experts" => %{"kernel" => wave({3, 128, 8})},
      "table" => %{"kernel" => Nx.iota({64, 2})}
    }
  end

  test "of two axes and whole groups are matrices, and the rest is as it was" do
    params = params()
    quantised = Quantization.quantize_params(params, bits: 8)
    assert %Matrix{axis: -2, options: options} = quantised["hidden"]["kernel"]
    assert options == [mode: :affine, group_size: 64, bits: 8]
    assert put_in(quantised["hidden"]["kernel"], params["hidden"]["kernel"]) == params
  end

  test "a filter is asked of what fits, along the axis that is said" do
    for {opts, fitting} <- [
          {[group_size: 32], ["experts", "hidden", "output"]},
          {[group_size: 64], ["experts", "hidden"]},
          {[group_size: 32, axis: -1], ["hidden"]},
          {[
             group_size: 64,
             axis: fn [layer | _], _ -> if layer == "hidden", do: -1, else: -2 end
           ], ["experts"]},
          {[mode: :nvfp4], ["experts", "hidden", "output"]}
        ] do
      test = self()

      filter = fn path, %Nx.Tensor{} ->
        send(test, path)
        hd(path) != "hidden"
      end

      quantised = Quantization.quantize_params(params(), [filter: filter] ++ opts)
      matrices = for {layer, %{"kernel" => %Matrix{}}} <- quantised, do: layer
      assert matrices == fitting -- ["hidden"]
      for layer <- fitting, do: assert_received([^layer, "kernel"])
      refute_received _
    end
  end

  test "of a model's state are its data" do
    state = %State{data: params(), parameters: %{"hidden" => ["kernel", "bias"]}}
    quantised = Quantization.quantize_params(state, bits: 8)
    assert %Matrix{} = quantised.data["hidden"]["kernel"]
    assert quantised.parameters == state.parameters
  end

  test "are dequantised to tensors of their shape and type" do
    params = params()
    quantised = Quantization.quantize_params(params, bits: 8)
    back = Quantization.dequantize_params(quantised)
    kernel = back["hidden"]["kernel"]
    assert {kernel.shape, kernel.type} == {{64, 96}, {:f, 32}}

    assert Nx.to_binary(kernel) ==
             Nx.to_binary(Matrix.dequantize(quantised["hidden"]["kernel"]))

    assert put_in(back["hidden"]["kernel"], params["hidden"]["kernel"]) == params
    assert Quantization.quantize_params(quantised, bits: 4) == quantised
  end

  test "take as many bytes as their codes, scales and biases" do
    params = params()
    assert bytes(params) == 4 * (64 * 96 + 96 + 96 * 10 + 10 + 3 * 128 * 8 + 128)

    for {opts, bits, per_group, group} <- [
          {[bits: 4], 4, 8, 64},
          {[group_size: 32, bits: 8], 8, 8, 32},
          {[mode: :mxfp4], 4, 1, 32},
          {[mode: :mxfp8], 8, 1, 32},
          {[mode: :nvfp4], 4, 1, 16}
        ] do
      filter = fn path, _ -> path == ["hidden", "kernel"] end
      quantised = Quantization.quantize_params(params, [filter: filter] ++ opts)
      elements = 64 * 96
      expected = div(elements * bits, 8) + div(elements, group) * per_group
      saved = 4 * elements - expected
      assert bytes(quantised) == bytes(params) - saved
    end
  end

  test "that cannot be are told with the options" do
    assert_raise ArgumentError, ~r"unknown keys \[:size\]", fn ->
      Quantization.quantize_params(params(), size: 4)
    end

    assert_raise ArgumentError,
                 ~r"mode must be :affine, :mxfp4, :mxfp8 or :nvfp4, got :fp4",
                 fn -> Quantization.quantize_params(params(), mode: :fp4) end

    for filter <- [nil, fn _path -> true end] do
      assert_raise ArgumentError,
                   ~r"^quantize_params: :filter is a function of a path and a tensor, got: ",
                   fn -> Quantization.quantize_params(params(), filter: filter) end
    end

    assert_raise ArgumentError,
                 "quantize_params: mode: :mxfp4 says its own group size and bits, and takes no other option, got: [bits: 4]",
                 fn -> Quantization.quantize_params(params(), mode: :mxfp4, bits: 4) end

    assert_raise ArgumentError,
                 ~r"^quantize_params.*bits must be 2, 3, 4, 5, 6 or 8, got 7",
                 fn ->
                   Quantization.quantize_params(params(), bits: 7)
                 end

    assert_raise ArgumentError,
                 "quantize_params: parameters are a map of tensors, nested at will, or a model's state with " <>
                   "such a map as its :data, got: [1]",
                 fn -> Quantization.quantize_params([1], bits: 4) end
  end
end
