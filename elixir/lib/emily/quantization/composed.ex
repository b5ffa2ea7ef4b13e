defmodule Emily.Quantization.Composed do
  @moduledoc false
  # The functions of `Emily.Quantization` out of Nx's own, for backends that have no operation for them.

  import Bitwise, only: [<<<: 2]

  def dequantize([packed, scales, biases], attrs) do
    type = merged([scales, biases])
    packed |> matrix(scales, biases, attrs, type) |> Nx.as_type(type)
  end

  def quantized_matmul([x, packed, scales, biases], attrs) do
    type = merged([x, scales, biases])
    matrix = matrix(packed, scales, biases, attrs, type)
    x |> widened(type) |> product(matrix, attrs.transpose) |> Nx.as_type(type)
  end

  # Rows times the matrices' rows, or their columns; Nx's batch axes are of one size.
  defp product(x, matrix, transpose) do
    inner = if transpose, do: [-1], else: [-2]

    [batch, batches] =
      for t <- [x, matrix], do: t |> Nx.shape() |> Tuple.to_list() |> Enum.drop(-2)

    batch = if batches == [], do: [], else: broadcast(batch, batches)
    axes = Enum.to_list(0..(length(batch) - 1)//1)
    Nx.dot(stretched(x, batch), [-1], axes, stretched(matrix, batch), inner, axes)
  end

  defp stretched(tensor, []), do: tensor

  defp stretched(tensor, batch) do
    own = tensor |> Nx.shape() |> Tuple.to_list() |> Enum.take(-2)
    Nx.broadcast(tensor, List.to_tuple(batch ++ own))
  end

  defp broadcast(left, right) do
    rank = max(length(left), length(right))
    pad = &(List.duplicate(1, rank - length(&1)) ++ &1)
    Enum.zip_with(pad.(left), pad.(right), fn a, b -> if a == 1, do: b, else: a end)
  end

  # scale * code + bias, computed as wide as the type asks for.
  defp matrix(packed, scales, biases, %{group_size: group_size, bits: bits}, type) do
    per_group = &(&1 |> widened(type) |> Nx.new_axis(-1))
    {rows, [groups]} = scales |> Nx.shape() |> Tuple.to_list() |> Enum.split(-1)

    packed
    |> codes(bits)
    |> Nx.as_type(wide(type))
    |> Nx.reshape(List.to_tuple(rows ++ [groups, group_size]))
    |> Nx.multiply(per_group.(scales))
    |> Nx.add(per_group.(biases))
    |> Nx.reshape(List.to_tuple(rows ++ [groups * group_size]))
  end

  # A code begins at bit number `bits * i` of its row, and may end in the next word.
  defp codes(packed, bits) do
    words = Nx.axis_size(packed, -1)
    start = Nx.multiply(Nx.iota({div(words * 32, bits)}, type: :u32), bits)
    word = Nx.quotient(start, 32)
    shift = Nx.remainder(start, 32)
    next = Nx.min(Nx.add(word, 1), words - 1)
    low = packed |> Nx.take(word, axis: -1) |> Nx.right_shift(shift)
    high = packed |> Nx.take(next, axis: -1) |> Nx.left_shift(Nx.subtract(32, shift))
    low |> Nx.bitwise_or(high) |> Nx.bitwise_and((1 <<< bits) - 1)
  end

  defp merged(tensors), do: tensors |> Enum.map(& &1.type) |> Enum.reduce(&Nx.Type.merge/2)

  # An operand in the type, as wide as that is computed in.
  defp widened(tensor, type), do: tensor |> Nx.as_type(type) |> Nx.as_type(wide(type))

  # Small floats are computed in f32.
  defp wide({_class, 16}), do: {:f, 32}
  defp wide(type), do: type
end
