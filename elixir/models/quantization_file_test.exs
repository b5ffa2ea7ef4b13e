defmodule Emily.Models.QuantizationFileTest do
  use ExUnit.Case, async: true

  alias Emily.Models.Tiny
  alias Emily.Quantization
  alias Emily.Quantization.Matrix

  doctest Emily.Quantization, only: [save!: 2, load!: 1]

  @moduletag :tmp_dir

  @codings [
    [group_size: 32, bits: 3],
    [group_size: 32, bits: 8],
    [mode: :mxfp4],
    [mode: :mxfp8],
    [mode: :nvfp4]
  ]

  setup %{tmp_dir: folder} do
    Nx.default_backend({Emily.Backend, device: :cpu})
    %{path: Path.join(folder, "model.safetensors")}
  end

  defp bits(%Matrix{} = matrix) do
    {Map.new(matrix.tensors, fn {name, tensor} -> {name, bits(tensor)} end), matrix.axis,
     matrix.type, matrix.options}
  end

  defp bits(%Nx.Tensor{} = tensor), do: {tensor.shape, tensor.type, Nx.to_binary(tensor)}
  defp bits(map), do: Map.new(map, fn {key, value} -> {key, bits(value)} end)

  test "parameters come back to the bit, on the default backend", %{path: path} do
    for name <- ["gpt2", "llama"], opts <- @codings do
      info = Tiny.load(name, :for_causal_language_modeling)
      {_model, params} = Quantization.Axon.quantize(info.model, info.params, opts)
      assert Quantization.save!(params, path) == :ok
      loaded = Quantization.load!(path)
      assert bits(loaded) == bits(params.data)
      head = loaded["language_modeling_head.output"]["kernel"]
      assert %Emily.Backend{} = head.tensors.packed.data
    end
  end

  test "a model runs with what was saved of another's parameters", %{path: path} do
    info = Tiny.load("llama", :for_causal_language_modeling)
    {model, params} = Quantization.Axon.quantize(info.model, info.params, mode: :nvfp4)

    # Bumblebee transposes kernels, and a product with one that lies by columns adds up in another order.
    params = params |> Nx.backend_copy(Nx.BinaryBackend) |> Nx.backend_copy(Emily.Backend)
    Quantization.save!(params, path)

    loaded = Axon.ModelState.new(Quantization.load!(path))
    rewritten = Quantization.Axon.rewrite(info.model)
    inputs = %{"input_ids" => Nx.tensor([[11, 48, 85, 26]])}
    [a, b] = for {m, p} <- [{model, params}, {rewritten, loaded}], do: Axon.predict(m, p, inputs)
    assert Nx.to_binary(a.logits) == Nx.to_binary(b.logits)
  end

  test "maps nest at will, and names are what they are", %{path: path} do
    tensor = Nx.tensor([1, 2, 3], type: :s16)
    matrix = Matrix.quantize(Nx.iota({2, 64, 3}, type: :bf16), bits: 5)

    params = %{
      "a.b" => %{"ä \"%\" c" => %{"d" => matrix, "e" => tensor}, "" => %{"" => matrix}},
      "packed" => tensor
    }

    Quantization.save!(params, path)
    assert bits(Quantization.load!(path)) == bits(params)
  end

  test "the file is safetensors, with a tensor of JSON that tells of matrices", %{path: path} do
    kernel = Matrix.quantize(Nx.iota({64, 3}, type: :f32), bits: 8)
    Quantization.save!(%{"dense" => %{"kernel" => kernel, "bias" => Nx.iota({3})}}, path)
    file = Safetensors.read!(path)
    {about, tensors} = Map.pop(file, "emily.quantization")

    assert Enum.sort(Map.keys(tensors)) ==
             ~w(dense/bias dense/kernel/biases dense/kernel/packed dense/kernel/scales)

    assert Jason.decode!(Nx.to_binary(about)) == %{
             "version" => 1,
             "matrices" => %{
               "dense/kernel" => %{
                 "mode" => "affine",
                 "group_size" => 64,
                 "bits" => 8,
                 "axis" => -2,
                 "type" => "f32"
               }
             }
           }
  end

  test "what cannot be saved or read is told", %{path: path} do
    assert_raise ArgumentError,
                 "save!: a key must be a text without a slash, which names have between keys, got: :kernel",
                 fn -> Quantization.save!(%{kernel: Nx.tensor(1)}, path) end

    assert_raise ArgumentError, ~r"without a slash.*got: \"a/b\"", fn ->
      Quantization.save!(%{"a/b" => Nx.tensor(1)}, path)
    end

    assert_raise ArgumentError,
                 ~r"save!: what is saved are tensors and matrices, got at a: 1",
                 fn ->
                   Quantization.save!(%{"a" => 1}, path)
                 end

    assert_raise ArgumentError, ~r"save!: a tensor is named emily.quantization", fn ->
      Quantization.save!(%{"emily.quantization" => Nx.tensor(1)}, path)
    end

    Safetensors.write!(path, %{"a" => Nx.tensor(1)})

    assert_raise ArgumentError,
                 "load!: #{path} was not written by Emily.Quantization.save!/2: it has no tensor named " <>
                   "\"emily.quantization\"; Safetensors.read!/2 reads it",
                 fn -> Quantization.load!(path) end

    about = ~s({"version": 2, "matrices": {}}) |> Nx.from_binary(:u8)
    Safetensors.write!(path, %{"emily.quantization" => about})

    assert_raise ArgumentError,
                 ~r"load!: .* is of version 2 of the format, and this is version 1",
                 fn ->
                   Quantization.load!(path)
                 end
  end

  test "what a file would lose is refused", %{path: path} do
    tensor = Nx.tensor([1.0])
    matrix = Quantization.Matrix.quantize(Nx.iota({64, 8}, type: :f32))

    for {params, reason} <- [
          {%{"a" => Nx.vectorize(Nx.iota({2, 2}), :rows)}, "is vectorized"},
          {%{"a" => Nx.as_type(tensor, :c64)}, "complex"},
          {%{"__metadata__" => tensor}, "another use"},
          {%{"a" => %{}, "b" => tensor}, "an empty map"},
          {%{"" => matrix, "packed" => tensor}, "must not be empty"}
        ] do
      error = assert_raise ArgumentError, fn -> Quantization.save!(params, path) end
      assert error.message =~ reason
      refute File.exists?(path)
    end
  end

  test "a file with something missing or unknown is refused by its name", %{path: path} do
    matrix = Quantization.Matrix.quantize(Nx.iota({64, 8}, type: :f32), mode: :mxfp4)
    parts = for {part, tensor} <- matrix.tensors, into: %{}, do: {"k/#{part}", tensor}
    whole = %{mode: "mxfp4", axis: -2, type: "f32"}

    for {described, tensors} <- [
          {whole, Map.delete(parts, "k/scales")},
          {%{whole | axis: 7}, parts},
          {%{whole | mode: "mxfp5"}, parts},
          {Map.delete(whole, :type), parts}
        ] do
      about = Jason.encode!(%{version: 1, matrices: %{k: described}})
      about = Nx.from_binary(about, :u8, backend: Nx.BinaryBackend)
      Safetensors.write!(path, Map.put(tensors, "emily.quantization", about))
      error = assert_raise ArgumentError, fn -> Quantization.load!(path) end
      assert error.message =~ path and error.message =~ "the matrix k"
    end
  end

  test "a file that is cut off, or no file of tensors, is refused by its name", %{path: path} do
    Quantization.save!(%{"a" => Nx.iota({9})}, path)
    whole = File.read!(path)

    for bytes <- [
          "",
          "abc",
          <<5::64-little, "{abcd">>,
          <<0xFFFFFFFFFFFF::64-little, "{}">>,
          binary_part(whole, 0, 40),
          binary_part(whole, 0, byte_size(whole) - 9)
        ] do
      File.write!(path, bytes)
      error = assert_raise ArgumentError, fn -> Quantization.load!(path) end
      assert error.message =~ "load!: #{path} is not a whole file"
      refute error.message =~ "no match of right hand side"
    end
  end

  test "a matrix whose tensors do not fit together is refused by its name", %{path: path} do
    matrix = Quantization.Matrix.quantize(Nx.iota({64, 8}, type: :f32), mode: :mxfp4)
    about = Jason.encode!(%{version: 1, matrices: %{k: %{mode: "mxfp4", axis: -2, type: "f32"}}})
    about = Nx.from_binary(about, :u8, backend: Nx.BinaryBackend)
    %{packed: packed, scales: scales} = matrix.tensors

    for {packed, scales} <- [
          {packed[0], scales},
          {packed[[.., 0..3]], scales},
          {packed, Nx.as_type(scales, :f32)},
          {Nx.as_type(packed, :u16), scales},
          {packed, scales[0]}
        ] do
      tensors = %{"emily.quantization" => about, "k/packed" => packed, "k/scales" => scales}
      Safetensors.write!(path, tensors)
      error = assert_raise ArgumentError, fn -> Quantization.load!(path) end
      assert error.message =~ path and error.message =~ "the matrix k"
    end
  end
end
