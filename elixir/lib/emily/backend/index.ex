defmodule Emily.Backend.Index do
  @moduledoc false
  # Reading and writing parts of a tensor.

  require Emily.Debug

  alias Emily.Backend.Call
  alias Emily.Native.Ops
  alias Nx.Tensor, as: T

  def slice(out, tensor, starts, lengths, strides) do
    attrs = %{lengths: lengths, strides: strides}

    if Enum.all?(starts, &is_integer/1) do
      Call.run(:slice, out, [tensor], Map.put(attrs, :starts, starts))
    else
      Call.run(:dynamic_slice, out, [tensor | Enum.map(starts, &start/1)], attrs)
    end
  end

  def put_slice(out, tensor, starts, slice) do
    if Enum.all?(starts, &is_integer/1) do
      Call.run(:put_slice, out, [tensor, slice], %{starts: Enum.map(starts, &in_s64/1)})
    else
      Call.run(:dynamic_put_slice, out, [tensor, slice | Enum.map(starts, &start/1)])
    end
  end

  defp start(%T{} = tensor), do: tensor

  defp start(number) do
    Nx.BinaryBackend.constant(%T{type: {:s, 64}, shape: {}, names: []}, in_s64(number), [])
  end

  # A start is clamped to the tensor, and so may be to what an integer of 64 bits holds.
  defp in_s64(number), do: number |> max(-0x8000_0000_0000_0000) |> min(0x7FFF_FFFF_FFFF_FFFF)

  def gather(out, tensor, indices, opts) do
    Emily.Debug.bounds_checked(Call.run(:gather, out, [tensor, indices], %{axes: opts[:axes]}))
  end

  def take(out, tensor, indices, axis) do
    Emily.Debug.bounds_checked(Call.run(:take, out, [tensor, indices], %{axis: axis}))
  end

  def take_along_axis(out, tensor, indices, axis) do
    Emily.Debug.bounds_checked(Call.run(:take_along_axis, out, [tensor, indices], %{axis: axis}))
  end

  for %{name: name} <- Ops.of_kind(:indexed) do
    def unquote(name)(out, tensor, indices, updates, opts) do
      operands = [tensor, indices, parts(updates, tensor, indices, opts[:axes])]
      Emily.Debug.bounds_checked(Call.run(unquote(name), out, operands, %{axes: opts[:axes]}))
    end
  end

  # Of vectorized tensors Nx gives all updates in one axis, also where each is a part of the tensor.
  defp parts(updates, tensor, indices, axes) do
    counted = indices.shape |> Tuple.to_list() |> Enum.drop(-1)

    own =
      for {size, axis} <- Enum.with_index(Tuple.to_list(tensor.shape)), axis not in axes, do: size

    shape = List.to_tuple(counted ++ own)

    case tuple_size(shape) == tuple_size(updates.shape) do
      true -> updates
      false -> Nx.reshape(updates, shape, names: List.duplicate(nil, tuple_size(shape)))
    end
  end
end
