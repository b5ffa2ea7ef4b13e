defmodule Emily.Fast.Rotary do
  @moduledoc false
  # `Emily.Fast.rope/2`: what it checks, and its vectors.

  import Emily.Fast.Call
  import Emily.Matrices, only: [dims: 1]

  alias Emily.Fast.{Block, Composed}
  alias Emily.Placement

  def run(tensor, opts) do
    tensor = Nx.to_tensor(tensor)
    offset = offset(opts[:offset], tensor)
    freqs = opts[:freqs] && Nx.to_tensor(opts[:freqs])
    operands = Enum.reject([tensor, offset, freqs], &is_nil/1)
    call = call("rope", operands)
    Enum.each([tensor | List.wrap(freqs)], &real!(call, "rope", &1))

    if message = misfit(tensor, offset, freqs, opts) do
      raise ArgumentError, "#{call}: #{message}"
    end

    block = struct!(Block.Rope, Keyword.take(opts, [:dims, :traditional, :base, :scale]))

    case {tensor.vectorized_axes, offset.vectorized_axes} do
      {[], []} -> rotate(block, tensor, offset, freqs)
      {_, _} -> each_vector(block, tensor, offset, freqs)
    end
  end

  defp offset(offset, tensor)
       when is_integer(offset) and offset not in -0x8000_0000_0000_0000..0x7FFF_FFFF_FFFF_FFFF do
    raise ArgumentError,
          "#{call("rope", [tensor])}: an offset must be an integer of 64 bits, got: #{offset}"
  end

  defp offset(offset, tensor) when is_integer(offset) do
    Placement.beside([tensor], fn -> Nx.tensor(offset, type: :s64) end)
  end

  defp offset(offset, _tensor), do: Nx.to_tensor(offset)

  defp rotate(%{dims: 0}, tensor, _offset, _freqs), do: Nx.as_type(tensor, type([tensor]))

  defp rotate(block, tensor, offset, freqs) do
    out = Nx.template(tensor.shape, type([tensor]), names: tensor.names)

    case freqs do
      nil -> Nx.block(block, [tensor, offset], out, &Composed.rope/3)
      freqs -> Nx.block(block, [tensor, offset, freqs], out, &Composed.rope/4)
    end
  end

  # Vectors are a first axis, with an offset each.
  defp each_vector(block, tensor, offset, freqs) do
    [tensor, offset] = Nx.broadcast_vectors([tensor, offset])
    vectors = tensor.vectorized_axes
    count = vectors |> Keyword.values() |> Enum.product()
    sizes = Tuple.to_list(tensor.shape)
    {batch, rest} = if length(sizes) > 2, do: {hd(sizes), tl(sizes)}, else: {1, sizes}
    unnamed = List.duplicate(nil, length(rest) + 1)

    offsets =
      offset
      |> Nx.reshape({Nx.size(offset)}, names: [nil])
      |> Nx.broadcast({batch})
      |> Nx.devectorize(keep_names: false)
      |> Nx.reshape({count * batch})

    tensor
    |> Nx.devectorize(keep_names: false)
    |> Nx.reshape(List.to_tuple([count * batch | rest]), names: unnamed)
    |> then(&rotate(block, &1, offsets, freqs))
    |> Nx.reshape(List.to_tuple(Keyword.values(vectors) ++ sizes),
      names: List.duplicate(nil, length(vectors)) ++ tensor.names
    )
    |> Nx.vectorize(Keyword.keys(vectors))
  end

  defp misfit(tensor, offset, freqs, opts) do
    wrong_tensor(tensor, opts[:dims]) || wrong_offset(tensor, offset) ||
      wrong_freqs(tensor, freqs, opts[:dims]) || wrong_options(opts)
  end

  defp wrong_tensor(tensor, dims) do
    features = if Nx.rank(tensor) > 1, do: Nx.axis_size(tensor, -1)
    dims = dims || features

    cond do
      features == nil ->
        "the tensor is #{dims(tensor)}; its last two axes must be positions and features"

      not is_integer(dims) or dims < 0 or rem(dims, 2) == 1 or dims > features ->
        "#{inspect(dims)} of #{features} features cannot be rotated in pairs; " <>
          "dims must be even and no more than there are"

      true ->
        nil
    end
  end

  defp wrong_offset(tensor, offset) do
    batch = if Nx.rank(tensor) > 2, do: {elem(tensor.shape, 0)}

    cond do
      not Nx.Type.integer?(offset.type) ->
        "an offset must be an integer, got #{Nx.Type.to_string(offset.type)}"

      offset.shape not in [{}, batch] ->
        "the offset is #{dims(offset)}, for a tensor #{dims(tensor)}; it must be []" <>
          if(batch, do: " or #{dims(batch)}", else: "")

      true ->
        nil
    end
  end

  defp wrong_freqs(_tensor, nil, _dims), do: nil

  defp wrong_freqs(tensor, freqs, dims) do
    pairs = div(dims || Nx.axis_size(tensor, -1), 2)

    cond do
      freqs.shape != {pairs} ->
        "the freqs are #{dims(freqs)}, for #{pairs} pairs of features; they must be [#{pairs}]"

      freqs.vectorized_axes != [] ->
        "the freqs must be the same for all vectors; devectorize them"

      true ->
        nil
    end
  end

  defp wrong_options(opts) do
    {base, scale} = {opts[:base], opts[:scale]}

    cond do
      base != nil and opts[:freqs] != nil ->
        "base and freqs exclude each other; give one of them"

      not (base == nil or (is_number(base) and base > 0)) ->
        "base must be a real number above 0"

      not (scale == nil or is_number(scale)) ->
        "scale must be a real number"

      not is_boolean(opts[:traditional]) ->
        "traditional must be true or false"

      true ->
        nil
    end
  end
end
