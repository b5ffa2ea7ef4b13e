defmodule Emily.Models.QuantizationSlicesTest do
  # Loading listens to the log of all processes.
  use ExUnit.Case, async: false

  import Emily.Models.Quantised

  alias Emily.Conformance.Slices.Loading
  alias Emily.Models.Bound
  alias Emily.Quantization

  @moduletag :capture_log

  @folder Path.expand("../../fixtures/slices", __DIR__)

  setup :only_native

  defp heads do
    for file <- Path.wildcard(Path.join(@folder, "*/slices.json")),
        name <- file |> File.read!() |> Jason.decode!() |> Map.keys(),
        do: {Path.dirname(file), name}
  end

  # The layers of a model cast to the type that it was loaded in.
  defp wide_model(folder, name) do
    Nx.with_default_backend({Emily.Backend, device: :cpu, f64: true}, fn ->
      Loading.load(folder, name, :f64, nil).model
    end)
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
      wide = wide_model(folder, name)

      for output <- Enum.map(head.outputs, &String.to_existing_atom/1) do
        right = predict_wide(wide, floats, head.inputs, output)
        assert right.type == {:f, 64}
        rounded = predict(head.model, floats, head.inputs, output)
        quantised = predict(model, params, head.inputs, output)

        assert Bound.within?(quantised, :reordered, right, rounded),
               "#{folder}, #{name}, #{output}"
      end
    end
  end
end
