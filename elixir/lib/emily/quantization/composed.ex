defmodule Emily.Quantization.Composed do
  @moduledoc false
  # The functions of `Emily.Quantization` out of Nx's own, for backends that have no operation for them.

  import Bitwise, only: [<<<: 2]

  def dequantize([packed, scales, biases], attrs) do
    type = Nx.Type.merge(scales.type, biases.type)
    packed |> matrix(scales, biases, attrs, wide(type)) |> Nx.as_type(type)
  end

  # scale * code + bias, computed in the type.
  defp matrix(packed, scales, biases, %{group_size: group_size, bits: bits}, type) do
    per_group = &(&1 |> Nx.as_type(type) |> Nx.new_axis(-1))
    {rows, [groups]} = scales |> Nx.shape() |> Tuple.to_list() |> Enum.split(-1)

    packed
    |> codes(bits)
    |> Nx.as_type(type)
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

  # Small floats are computed in f32.
  defp wide({_class, 16}), do: {:f, 32}
  defp wide(type), do: type
end
