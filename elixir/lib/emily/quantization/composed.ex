defmodule Emily.Quantization.Composed do
  @moduledoc false
  # The functions of `Emily.Quantization` out of Nx's own, for backends that have no operation for them.

  import Bitwise, only: [<<<: 2]
  import Emily.Matrices, only: [accumulated_in: 1]

  alias Emily.Matrices

  def quantize([matrix], %{group_size: group_size, bits: bits}) do
    type = matrix.type
    {rows, [elements]} = matrix |> Nx.shape() |> Tuple.to_list() |> Enum.split(-1)
    per_group = rows ++ [div(elements, group_size)]
    groups = matrix |> Nx.as_type(:f32) |> Nx.reshape(List.to_tuple(per_group ++ [group_size]))
    largest = Nx.reduce_max(groups, axes: [-1], keep_axes: true)
    least = Nx.reduce_min(groups, axes: [-1], keep_axes: true)

    most = (1 <<< bits) - 1
    step = largest |> Nx.subtract(least) |> Nx.divide(most) |> Nx.max(1.0e-7)
    below = Nx.greater(Nx.abs(least), Nx.abs(largest))
    edge = Nx.select(below, least, largest)
    scale = Nx.select(below, step, Nx.negate(step))
    whole = edge |> Nx.divide(scale) |> to_even()
    none = Nx.equal(whole, 0)
    scale = Nx.select(none, scale, Nx.divide(edge, Nx.select(none, 1, whole)))
    bias = Nx.select(none, 0, edge)

    codes =
      groups
      |> Nx.subtract(bias)
      |> Nx.divide(scale)
      |> to_even()
      |> Nx.clip(0, most)
      |> Nx.as_type(:u32)

    packed =
      codes |> packed(bits) |> Nx.reshape(List.to_tuple(rows ++ [div(elements, 32) * bits]))

    of_group = &(&1 |> Nx.reshape(List.to_tuple(per_group)) |> Nx.as_type(type))
    {packed, of_group.(scale), of_group.(bias)}
  end

  # Whole numbers, halves to even; `Nx.round/1` takes them away from zero.
  defp to_even(x) do
    halfway = x |> Nx.subtract(Nx.floor(x)) |> Nx.equal(0.5)
    Nx.select(halfway, x |> Nx.multiply(0.5) |> Nx.round() |> Nx.multiply(2.0), Nx.round(x))
  end

  # 32 codes make `bits` words: code number i begins at bit bits * i - 32 * w of word number w, where a
  # shift beyond the word leaves nothing.
  defp packed(codes, bits) do
    codes = Nx.reshape(codes, {:auto, 1, 32})
    [code, word] = for axis <- [1, 0], do: Nx.iota({bits, 32}, axis: axis, type: :s32)
    start = Nx.subtract(Nx.multiply(code, bits), Nx.multiply(word, 32))
    [up, down] = for t <- [start, Nx.negate(start)], do: t |> Nx.max(0) |> Nx.as_type(:u32)
    codes |> Nx.left_shift(up) |> Nx.right_shift(down) |> Nx.sum(axes: [-1]) |> Nx.as_type(:u32)
  end

  def dequantize([packed, scales, biases], attrs) do
    type = merged([scales, biases])
    packed |> matrix(scales, biases, attrs, type) |> Nx.as_type(type)
  end

  def quantized_matmul([x, packed, scales, biases], attrs) do
    type = merged([x, scales, biases])
    matrix = matrix(packed, scales, biases, attrs, type)
    x |> widened(type) |> product(matrix, attrs.transpose) |> Nx.as_type(type)
  end

  # Codes are picked before they are taken apart, and x first, whose index out of range is the one named.
  def gather_qmm([x, packed, scales, biases, lhs, rhs], attrs) do
    type = merged([x, scales, biases])
    x = x |> widened(type) |> picked(lhs)
    [packed, scales, biases] = for t <- [packed, scales, biases], do: picked(t, rhs)
    matrix = matrix(packed, scales, biases, attrs, type)
    x |> product(matrix, attrs.transpose) |> Nx.as_type(type)
  end

  def fp_gather_qmm([x, packed, scales, lhs, rhs], %{format: format, transpose: transpose}) do
    type = x.type
    x = x |> widened(type) |> picked(lhs)
    matrix = fp_matrix(picked(packed, rhs), picked(scales, rhs), format, accumulated_in(type))
    x |> product(matrix, transpose) |> Nx.as_type(type)
  end

  defp picked(tensor, indices), do: tensor |> Matrices.flatten_leading() |> Nx.take(indices)

  # Rows times the matrices' rows, or their columns.
  defp product(x, matrix, transpose) do
    Matrices.product(x, matrix, if(transpose, do: -1, else: -2))
  end

  def fp_quantize([matrix], %{format: format}) do
    {element, scale, group_size} = small_floats(format)
    {rows, [elements]} = matrix |> Nx.shape() |> Tuple.to_list() |> Enum.split(-1)
    per_group = rows ++ [div(elements, group_size)]
    groups = matrix |> Nx.as_type(:f32) |> Nx.reshape(List.to_tuple(per_group ++ [group_size]))

    largest = groups |> modulus() |> Nx.reduce_max(axes: [-1], keep_axes: true)
    finite = Nx.less(largest, word(0x7F800000))
    largest = Nx.select(finite, largest, word(0))

    {scales, nan} =
      case format do
        :mxfp4 -> {power_below(largest, 2), 0xFF}
        :mxfp8 -> {power_below(largest, 8), 0xFF}
        :nvfp4 -> {largest |> Nx.bitcast(:f32) |> Nx.divide(6) |> encoded(e4m3()), 0x7F}
      end

    divisors = scale |> table(:f32) |> Nx.take(scales)
    given = Nx.logical_and(finite, Nx.greater(divisors, 0))

    bits = Nx.select(Nx.broadcast(given, groups), Nx.bitcast(groups, :u32), word(0))
    divisors = Nx.select(given, divisors, 1)
    codes = bits |> Nx.bitcast(:f32) |> Nx.divide(divisors) |> encoded(element)
    scales = Nx.select(finite, scales, word(nan))

    per_word = div(32, element.bits)
    codes = Nx.reshape(codes, List.to_tuple(rows ++ [div(elements, per_word), per_word]))
    shifts = Nx.multiply(Nx.iota({per_word}, type: :u32), element.bits)
    packed = codes |> Nx.left_shift(shifts) |> Nx.sum(axes: [-1]) |> Nx.as_type(:u32)
    {packed, scales |> Nx.as_type(:u8) |> Nx.reshape(List.to_tuple(per_group))}
  end

  # The code e8m0 of the largest power of two that times 2 ** exponent is within the modulus of these bits, or
  # of the least.
  defp power_below(modulus, exponent) do
    modulus |> Nx.right_shift(23) |> Nx.max(exponent) |> Nx.subtract(exponent) |> Nx.as_type(:u32)
  end

  # The codes of what is nearest to each f32, of two the even one. At an exponent values are the multiples of
  # a power of two; one rounded up to the next exponent is the first one there, whose code comes next.
  defp encoded(x, %{bits: bits, mantissa: mantissa, least: least, largest: largest}) do
    modulus = x |> modulus() |> Nx.bitcast(:f32) |> Nx.min(largest)
    exponent = modulus |> Nx.bitcast(:u32) |> Nx.right_shift(23) |> Nx.max(127 + least)
    unit = exponent |> Nx.subtract(mantissa) |> Nx.left_shift(23) |> Nx.as_type(:u32)
    units = modulus |> Nx.divide(Nx.bitcast(unit, :f32)) |> to_even() |> Nx.as_type(:u32)
    sign = x |> Nx.bitcast(:u32) |> Nx.right_shift(31) |> Nx.left_shift(bits - 1)

    exponent
    |> Nx.subtract(127 + least)
    |> Nx.left_shift(mantissa)
    |> Nx.add(units)
    |> Nx.add(sign)
    |> Nx.as_type(:u32)
  end

  # Bits without their sign, which are in the numbers' order, NaN above all.
  defp modulus(x), do: x |> Nx.bitcast(:u32) |> Nx.bitwise_and(word(0x7FFFFFFF))

  defp word(value), do: Nx.tensor(value, type: :u32)

  def fp_dequantize([packed, scales], %{format: format, dtype: type}) do
    packed |> fp_matrix(scales, format, accumulated_in(type)) |> Nx.as_type(type)
  end

  def fp_quantized_matmul([x, packed, scales], %{format: format, transpose: transpose}) do
    matrix = fp_matrix(packed, scales, format, accumulated_in(x.type))
    x |> widened(x.type) |> product(matrix, transpose) |> Nx.as_type(x.type)
  end

  defp fp_matrix(packed, scales, format, wide) do
    {element, scale, group_size} = small_floats(format)
    {rows, [groups]} = scales |> Nx.shape() |> Tuple.to_list() |> Enum.split(-1)
    look_up = fn codes, values -> values |> table(wide) |> Nx.take(codes) end

    packed
    |> codes(element.bits)
    |> look_up.(element.values)
    |> Nx.reshape(List.to_tuple(rows ++ [groups, group_size]))
    |> Nx.multiply(scales |> look_up.(scale) |> Nx.new_axis(-1))
    |> Nx.reshape(List.to_tuple(rows ++ [groups * group_size]))
  end

  defp table(values, type), do: Nx.tensor(values, type: type)

  # Elements, the values of scales, and how many elements share one.
  defp small_floats(:mxfp4), do: {e2m1(), e8m0(), 32}
  defp small_floats(:mxfp8), do: {e4m3(), e8m0(), 32}
  defp small_floats(:nvfp4), do: {e2m1(), e4m3().values, 16}

  # The values of all codes: sign, two bits of exponent, one of mantissa.
  defp e2m1 do
    values = signed([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
    %{bits: 4, mantissa: 1, least: 0, largest: 6, values: values}
  end

  # Sign, four bits of exponent, three of mantissa; all of them set are NaN.
  defp e4m3 do
    subnormal = for mantissa <- 0..7, do: mantissa / 512
    normal = for exponent <- 1..15, mantissa <- 0..7, do: (8 + mantissa) * 2.0 ** (exponent - 10)
    values = signed(Enum.drop(subnormal ++ normal, -1) ++ [:nan])
    %{bits: 8, mantissa: 3, least: -6, largest: 448, values: values}
  end

  defp e8m0, do: for(exponent <- 0..254, do: 2.0 ** (exponent - 127)) ++ [:nan]

  defp signed(values), do: values ++ for(x <- values, do: if(x == :nan, do: x, else: -x))

  # scale * code + bias, computed as wide as the type asks for.
  defp matrix(packed, scales, biases, %{group_size: group_size, bits: bits}, type) do
    per_group = &(&1 |> widened(type) |> Nx.new_axis(-1))
    {rows, [groups]} = scales |> Nx.shape() |> Tuple.to_list() |> Enum.split(-1)

    packed
    |> codes(bits)
    |> Nx.as_type(accumulated_in(type))
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
  defp widened(tensor, type), do: tensor |> Nx.as_type(type) |> Nx.as_type(accumulated_in(type))
end
