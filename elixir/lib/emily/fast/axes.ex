defmodule Emily.Fast.Axes do
  @moduledoc false
  # The axes that a call goes along, and tensors of vectors.

  import Emily.Fast.Call

  alias Nx.Tensor, as: T

  @doc """
  Calls `fun` with the tensor and its axes, all of them where none are given; those of vectors are the leading ones
  while it runs.
  """
  def each_vector(name, tensor, axes, fun) do
    tensor = Nx.to_tensor(tensor)
    call = call(name, [tensor])
    real!(call, name, tensor)
    axes = axes!(call, tensor, axes || Nx.axes(tensor))
    unvectorized(tensor, fn tensor, vectors -> fun.(tensor, Enum.map(axes, &(&1 + vectors))) end)
  end

  @doc "Calls `fun` with the tensor whose first axes are those of its vectors, and their number."
  def unvectorized(%T{vectorized_axes: []} = tensor, fun), do: fun.(tensor, 0)

  def unvectorized(%T{vectorized_axes: axes} = tensor, fun) do
    tensor
    |> Nx.devectorize(keep_names: false)
    |> fun.(length(axes))
    |> Nx.vectorize(Keyword.keys(axes))
  end

  defp axes!(call, _tensor, axes) when not is_list(axes) do
    raise ArgumentError, "#{call}: axes must be a list of axes, got: #{inspect(axes)}"
  end

  defp axes!(call, tensor, axes) do
    indices = Enum.map(axes, &axis!(call, tensor, &1))

    if twice = List.first(indices -- Enum.uniq(indices)) do
      raise ArgumentError,
            "#{call}: axis #{twice} is named twice in #{inspect(indices, charlists: :as_lists)}; " <>
              "name it once"
    end

    indices
  end

  defp axis!(call, tensor, axis) do
    rank = Nx.rank(tensor)

    cond do
      is_integer(axis) and axis in -rank..(rank - 1)//1 ->
        Integer.mod(axis, rank)

      is_atom(axis) and axis != nil and axis in tensor.names ->
        Enum.find_index(tensor.names, &(&1 == axis))

      true ->
        raise ArgumentError,
              "#{call}: axis #{inspect(axis)} is out of range for rank #{rank}; " <>
                known_axes(tensor, rank)
    end
  end

  defp known_axes(_tensor, 0), do: "a scalar has none"

  defp known_axes(tensor, rank) do
    names = for name <- tensor.names, name != nil, do: ", " <> inspect(name)
    "it has the axes from -#{rank} to #{rank - 1}#{names}"
  end

  @doc "The shape and names of what is left when these axes are reduced, or kept with size 1."
  def reduced(%T{shape: shape, names: names}, axes, keep?) do
    axes_of_result =
      for {{dim, name}, axis} <- shape |> Tuple.to_list() |> Enum.zip(names) |> Enum.with_index(),
          axis not in axes or keep?,
          do: {if(axis in axes, do: 1, else: dim), name}

    {dims, names} = Enum.unzip(axes_of_result)
    {List.to_tuple(dims), names}
  end
end
