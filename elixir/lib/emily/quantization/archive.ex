defmodule Emily.Quantization.Archive do
  @moduledoc false
  # Parameters in a safetensors file, as `Emily.Quantization.save!/2` documents it.

  @compile {:no_warn_undefined, [Jason, Safetensors]}

  alias Emily.Quantization.{Matrix, Params}
  alias Nx.Tensor, as: T

  @about "emily.quantization"
  @version 1

  # By their names in a file, whatever modules are loaded when it is read.
  @modes Map.new([:mxfp4, :mxfp8, :nvfp4], &{Atom.to_string(&1), &1})
  @parts Map.new([:packed, :scales, :biases], &{Atom.to_string(&1), &1})
  @types Map.new([f: 16, bf: 16, f: 32, f: 64], &{Nx.Type.to_string(&1), &1})

  def save!(params, path) do
    needed!("save!")
    entries = params |> Params.data("save!") |> flat([])

    if List.keymember?(entries, @about, 0) do
      raise ArgumentError,
            "save!: a tensor is named #{@about}, which tells of matrices; rename it"
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
    {about, tensors} = path |> Safetensors.read!() |> Map.pop(@about)
    matrices = matrices!(about, path)

    {parts, plain} =
      Enum.split_with(tensors, fn {name, _tensor} -> is_map_key(matrices, parent(name)) end)

    of_matrices =
      for {name, parts} <- Enum.group_by(parts, fn {name, _tensor} -> parent(name) end) do
        parts =
          for {part, tensor} <- parts, do: {String.replace_prefix(part, name <> "/", ""), tensor}

        {name, matrix(matrices[name], Map.new(parts))}
      end

    for {name, value} <- plain ++ of_matrices, reduce: %{} do
      params -> put(params, String.split(name, "/"), value)
    end
  end

  # Tensors and matrices by the keys that lead to them.
  defp flat(%module{} = leaf, path) when module in [T, Matrix] do
    [{path |> Enum.reverse() |> Enum.join("/"), leaf}]
  end

  defp flat(map, path) when is_map(map) and not is_struct(map) do
    Enum.flat_map(map, fn {key, value} -> flat(value, [key!(key) | path]) end)
  end

  defp flat(other, path) do
    raise ArgumentError,
          "save!: what is saved are tensors and matrices, got at #{path |> Enum.reverse() |> Enum.join("/")}: " <>
            inspect(other)
  end

  defp key!(key) do
    if is_binary(key) and not String.contains?(key, "/") do
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

  defp matrix(described, parts) do
    options =
      case described do
        %{"mode" => "affine", "group_size" => size, "bits" => bits} ->
          [mode: :affine, group_size: size, bits: bits]

        %{"mode" => mode} ->
          [mode: Map.fetch!(@modes, mode)]
      end

    %Matrix{
      tensors: Map.new(parts, fn {part, tensor} -> {Map.fetch!(@parts, part), tensor} end),
      axis: described["axis"],
      type: Map.fetch!(@types, described["type"]),
      options: options
    }
  end

  defp matrices!(nil, path) do
    raise ArgumentError,
          "load!: #{path} was not written by Emily.Quantization.save!/2: it has no tensor named " <>
            "\"#{@about}\"; Safetensors.read!/2 reads it"
  end

  defp matrices!(about, path) do
    case about |> Nx.to_binary() |> Jason.decode!() do
      %{"version" => @version, "matrices" => matrices} ->
        matrices

      %{"version" => version} ->
        raise ArgumentError,
              "load!: #{path} is of version #{version} of the format, and this is version #{@version}; read " <>
                "it with the Emily that wrote it"
    end
  end

  defp put(params, [key], value), do: Map.put(params, key, value)

  defp put(params, [key | path], value) do
    Map.put(params, key, put(Map.get(params, key, %{}), path, value))
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
