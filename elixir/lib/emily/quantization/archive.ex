defmodule Emily.Quantization.Archive do
  @moduledoc false
  # Parameters in a safetensors file, as `Emily.Quantization.save!/2` documents it.

  @compile {:no_warn_undefined, [Jason, Safetensors]}

  alias Emily.Quantization.{Matrix, Params}
  alias Nx.Tensor, as: T

  @about "emily.quantization"
  @reserved [@about, "__metadata__"]
  @version 1

  # By their names in a file, whatever modules are loaded when it is read.
  @modes Map.new([:mxfp4, :mxfp8, :nvfp4], &{Atom.to_string(&1), &1})
  @parts Map.new([:packed, :scales, :biases], &{Atom.to_string(&1), &1})
  @types Map.new([f: 16, bf: 16, f: 32, f: 64], &{Nx.Type.to_string(&1), &1})

  def save!(params, path) do
    needed!("save!")
    entries = params |> Params.data("save!") |> flat([])

    names = [@about | Enum.map(tensors(entries), fn {name, _tensor} -> name end)]

    case Enum.find(@reserved, &List.keymember?(entries, &1, 0)) ||
           List.first(names -- Enum.uniq(names)) do
      nil ->
        :ok

      name ->
        raise ArgumentError,
              "save!: a tensor is named #{name}, which another one of the file is, or which the format has " <>
                "another use for; rename it"
    end

    matrices = for {name, %Matrix{} = matrix} <- entries, into: %{}, do: {name, described(matrix)}
    about = Jason.encode!(%{version: @version, matrices: matrices})

    tensors =
      Map.new([
        {@about, Nx.from_binary(about, :u8, backend: Nx.BinaryBackend)} | tensors(entries)
      ])

    Safetensors.write!(path, tensors)
  end

  def load!(path) do
    needed!("load!")
    {about, tensors} = path |> read!() |> Map.pop(@about)
    matrices = matrices!(about, path)

    {parts, plain} =
      Enum.split_with(tensors, fn {name, _} -> is_map_key(matrices, parent(name)) end)

    parts = Enum.group_by(parts, fn {name, _} -> parent(name) end)

    of_matrices =
      for {name, described} <- matrices do
        parts = for {part, t} <- Map.get(parts, name, []), do: {Path.basename(part), t}

        {name,
         matrix(described, Map.new(parts)) ||
           broken!(path, "of the matrix #{name}, it has #{inspect(described)}")}
      end

    for {name, value} <- plain ++ of_matrices, reduce: %{} do
      params -> put(params, String.split(name, "/"), value, path)
    end
  end

  # What Safetensors raises of a file that is cut off or none of its own is a match that failed, or Nx's.
  defp read!(path) do
    Safetensors.read!(path)
  rescue
    error in File.Error -> reraise error, __STACKTRACE__
    MatchError -> broken!(path, "it ends within its header or a tensor")
    error -> broken!(path, Exception.message(error))
  end

  defp broken!(path, what) do
    raise ArgumentError,
          "load!: #{path} is not a whole file of Emily.Quantization.save!/2: #{what}"
  end

  # Tensors and matrices by the keys that lead to them.
  defp flat(%T{vectorized_axes: [_ | _]} = tensor, path) do
    raise ArgumentError,
          "save!: #{name(path)} is vectorized, which a file does not keep; devectorize it: #{inspect(Nx.to_template(tensor))}"
  end

  defp flat(%T{type: {:c, _}}, path) do
    raise ArgumentError,
          "save!: #{name(path)} is of complex numbers, which safetensors has not; save its real and imaginary parts"
  end

  defp flat(%Matrix{}, [""]) do
    raise ArgumentError, "save!: a matrix's key must not be empty, as its parts are named by it"
  end

  defp flat(map, path) when map == %{} and path != [] do
    raise ArgumentError,
          "save!: #{name(path)} is an empty map, which a file does not keep; leave it out"
  end

  defp flat(%module{} = leaf, path) when module in [T, Matrix] do
    [{name(path), leaf}]
  end

  defp flat(map, path) when is_map(map) and not is_struct(map) do
    Enum.flat_map(map, fn {key, value} -> flat(value, [key!(key) | path]) end)
  end

  defp flat(other, path) do
    raise ArgumentError,
          "save!: what is saved are tensors and matrices, got at #{name(path)}: " <>
            inspect(other)
  end

  defp name(path), do: path |> Enum.reverse() |> Enum.join("/")

  defp key!(key) do
    if is_binary(key) and String.valid?(key) and not String.contains?(key, "/") do
      key
    else
      raise ArgumentError,
            "save!: a key must be a text without a slash, which names have between keys, got: " <>
              inspect(key)
    end
  end

  defp tensors(entries) do
    Enum.flat_map(entries, fn
      {name, %Matrix{tensors: tensors}} -> for {part, t} <- tensors, do: {"#{name}/#{part}", t}
      {name, %T{} = tensor} -> [{name, tensor}]
    end)
  end

  defp described(%Matrix{axis: axis, type: type, options: options}) do
    Map.new([axis: axis, type: Nx.Type.to_string(type)] ++ options)
  end

  # The matrix, or `nil` where something of it is missing or unknown.
  defp matrix(%{"axis" => axis, "type" => type} = described, parts) when axis in [-2, -1] do
    with {:ok, options, needed} <- options(described),
         {:ok, type} <- Map.fetch(@types, type),
         true <- Enum.sort(Map.keys(parts)) == needed,
         tensors = Map.new(parts, fn {part, tensor} -> {Map.fetch!(@parts, part), tensor} end),
         matrix = %Matrix{tensors: tensors, axis: axis, type: type, options: options},
         true <- Matrix.whole?(matrix) do
      matrix
    else
      _ -> nil
    end
  end

  defp matrix(_described, _parts), do: nil

  defp options(%{"mode" => "affine", "group_size" => size, "bits" => bits})
       when is_integer(size) and is_integer(bits) do
    {:ok, [mode: :affine, group_size: size, bits: bits], ["biases", "packed", "scales"]}
  end

  defp options(%{"mode" => mode}) do
    with {:ok, mode} <- Map.fetch(@modes, mode), do: {:ok, [mode: mode], ["packed", "scales"]}
  end

  defp options(_described), do: :error

  defp matrices!(nil, path) do
    raise ArgumentError,
          "load!: #{path} was not written by Emily.Quantization.save!/2: it has no tensor named " <>
            "\"#{@about}\"; Safetensors.read!/2 reads it"
  end

  defp matrices!(about, path) do
    case about |> Nx.to_binary() |> Jason.decode() do
      {:ok, %{"version" => @version, "matrices" => %{} = matrices}} ->
        matrices

      {:ok, %{"version" => version}} when version != @version ->
        raise ArgumentError,
              "load!: #{path} is of version #{inspect(version)} of the format, and this is version #{@version}; " <>
                "read it with the Emily that wrote it"

      _ ->
        broken!(path, "\"#{@about}\" tells of no matrices")
    end
  end

  defp put(params, [key], value, path) do
    Map.update(params, key, value, fn _ -> broken!(path, "#{key} is there twice") end)
  end

  defp put(params, [key | keys], value, path) do
    case Map.get(params, key, %{}) do
      %{} = inner when not is_struct(inner) -> Map.put(params, key, put(inner, keys, value, path))
      _leaf -> broken!(path, "#{key} is a tensor, and a folder of tensors")
    end
  end

  defp parent(name), do: name |> String.split("/") |> Enum.drop(-1) |> Enum.join("/")

  defp needed!(name) do
    if not Code.ensure_loaded?(Safetensors) do
      raise ArgumentError,
            "#{name}: files are read and written by safetensors; add {:safetensors, \"~> 0.1\"} to the " <>
              "dependencies in mix.exs"
    end
  end
end
