defmodule Emily.Models.QuantizationSlicesTest do
  # Loading listens to the log of all processes.
  use ExUnit.Case, async: false

  import Emily.Models.Quantised

  alias Emily.Conformance.Slices.Loading
  alias Emily.Quantization

  @moduletag :capture_log

  @folder Path.expand("../../fixtures/slices", __DIR__)

  setup :only_native

  defp heads do
    for file <- Path.wildcard(Path.join(@folder, "*/slices.json")),
        name <- file |> File.read!() |> Jason.decode!() |> Map.keys(),
        do: {Path.dirname(file), name}
  end

  defp outputs(head, model, params) do
    outputs = Axon.predict(model, params, head.inputs, compiler: Emily.Compiler)
    for name <- head.outputs, do: Map.fetch!(outputs, String.to_existing_atom(name))
  end

  test "every architecture's heads run quantised, as with what their matrices stand for" do
    heads = heads()
    assert length(heads) > 30

    for {folder, name} <- heads do
      head = Loading.load(folder, name, :f32, nil)
      {model, params} = Quantization.Axon.quantize(head.model, head.params, mode: :nvfp4)
      # ResNet is made of convolutions.
      assert map_size(matrices(params)) > 0 or Path.basename(folder) == "resnet"

      floats = Quantization.dequantize_params(params)

      for {quantised, float} <-
            Enum.zip(outputs(head, model, params), outputs(head, head.model, floats)) do
        # Rounding takes these models less far (Emily.Models.QuantizationTest), and a layer that is wrong much
        # farther.
        assert distance(quantised, float) <= 1.0e-4, "#{folder}, #{name}"
      end
    end
  end
end
