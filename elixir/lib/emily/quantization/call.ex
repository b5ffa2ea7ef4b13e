defmodule Emily.Quantization.Call do
  @moduledoc false
  # The calls of `Emily.Quantization`'s operations, checked as the engine checks them: what does not fit is
  # an `ArgumentError` that names the operation and its operands.

  import Emily.Matrices, only: [dims: 1, leading: 1, own: 1]

  alias Emily.{Matrices, Placement}
  alias Emily.Quantization.Block
  alias Nx.Tensor, as: T

  @formats %{
    mxfp4: %{group_size: 32, bits: 4},
    mxfp8: %{group_size: 32, bits: 8},
    nvfp4: %{group_size: 16, bits: 4}
  }

  # The call of an operation: its operands as tensors, and its options as attributes.
  def call!(op, tensors, opts, defaults) do
    call = %{
      op: op,
      tensors: Enum.map(tensors, &Nx.to_tensor/1),
      attrs: opts |> Keyword.validate!(defaults) |> Map.new()
    }

    Matrices.check_vectorized!(call.tensors, &refuse!(call, &1))
    call
  end

  # The biases of affine codes.
  def biases!(op, tensors, nil) do
    refuse!(
      %{op: op, tensors: Enum.map(tensors, &Nx.to_tensor/1)},
      "the biases are nil, and mode: :affine, the default, needs them; small floats have none, with " <>
        "mode: :mxfp4, :mxfp8 or :nvfp4"
    )
  end

  def biases!(_op, _tensors, biases), do: biases

  # The same of small floats, which have no biases.
  def fp_call!(op, tensors, biases, attrs) do
    call = call!(op, tensors, attrs, Keyword.keys(attrs))
    if biases != nil, do: refuse!(call, "small floats have no biases; pass nil")
    call
  end

  def run(%{op: op, attrs: attrs, tensors: tensors}, out, composed) do
    composed = fn tensors, attrs ->
      Placement.beside(tensors, fn -> composed.(tensors, attrs) end)
    end

    default =
      case tensors do
        [_] ->
          fn %Block{attrs: attrs}, a -> composed.([a], attrs) end

        [_, _] ->
          fn %Block{attrs: attrs}, a, b -> composed.([a, b], attrs) end

        [_, _, _] ->
          fn %Block{attrs: attrs}, a, b, c -> composed.([a, b, c], attrs) end

        [_, _, _, _] ->
          fn %Block{attrs: attrs}, a, b, c, d -> composed.([a, b, c, d], attrs) end

        [_, _, _, _, _] ->
          fn %Block{attrs: attrs}, a, b, c, d, e -> composed.([a, b, c, d, e], attrs) end

        [_, _, _, _, _, _] ->
          fn %Block{attrs: attrs}, a, b, c, d, e, f -> composed.([a, b, c, d, e, f], attrs) end
      end

    Nx.block(%Block{op: op, attrs: attrs}, tensors, out, default)
  end

  # The group size and bits of small floats.
  def format!(%{attrs: %{format: format}} = call) do
    @formats[format] ||
      refuse!(call, "mode must be :affine, :mxfp4, :mxfp8 or :nvfp4, got #{inspect(format)}")
  end

  # The shape of the matrix of small floats that these codes and scales are.
  def fp_unpacked!(call, packed, scales) do
    format = format!(call)

    if scales.type != {:u, 8} do
      refuse!(call, "scales must be u8, got #{Nx.Type.to_string(scales.type)}")
    end

    unpacked!(put_in(call.attrs, format), packed, [scales])
  end

  def coding!(%{attrs: %{group_size: group_size, bits: bits}} = call) do
    if group_size not in [32, 64, 128] do
      refuse!(call, "group_size must be 32, 64 or 128, got #{inspect(group_size)}")
    end

    if bits not in [2, 3, 4, 5, 6, 8] do
      refuse!(call, "bits must be 2, 3, 4, 5, 6 or 8, got #{inspect(bits)}")
    end
  end

  # The shapes of a matrix's packed codes and of what there is per group.
  def packed_shapes!(call, %{group_size: group_size, bits: bits}, matrix) do
    if Nx.rank(matrix) < 2 do
      refuse!(call, "a matrix needs two axes or more, got #{dims(matrix)}")
    end

    {rows, elements} = split(matrix)

    if rem(elements, group_size) != 0 do
      refuse!(call, "rows of #{elements} elements are no whole groups of #{group_size}; pad them")
    end

    {List.to_tuple(rows ++ [div(elements * bits, 32)]),
     List.to_tuple(rows ++ [div(elements, group_size)])}
  end

  # The shape of the matrix that these codes are, which have something per group.
  def unpacked!(call, packed, [scales | _] = per_group) do
    %{attrs: %{group_size: group_size, bits: bits}} = call
    packed!(call, packed)

    if biases = Enum.find(per_group, &(Nx.shape(&1) != Nx.shape(scales))) do
      refuse!(call, "scales #{dims(scales)} and biases #{dims(biases)} differ")
    end

    {rows, words} = split(packed)
    {rows_of_scales, groups} = split(scales)

    if rows != rows_of_scales or 32 * words != groups * group_size * bits do
      refuse!(
        call,
        "packed codes #{dims(packed)} do not fit scales #{dims(scales)}: a group of #{group_size} " <>
          "elements takes #{div(group_size * bits, 32)} words of 32 bits"
      )
    end

    List.to_tuple(rows ++ [groups * group_size])
  end

  # The shape of rows times matrices.
  def product!(call, x, matrix) do
    own = factors!(call, x, matrix)
    [batch, batches] = for shape <- [Nx.shape(x), matrix], do: leading(shape)
    List.to_tuple(Matrices.broadcast!(batch, batches, &refuse!(call, &1)) ++ own)
  end

  # The shape of matrices picked by index, multiplied.
  def picked_product!(call, x, matrix, indices) do
    own = factors!(call, x, matrix)
    List.to_tuple(Matrices.pairs!(indices, &refuse!(call, &1)) ++ own)
  end

  # The rows and columns of the product of two matrices, the latter of which may be transposed.
  defp factors!(%{attrs: %{transpose: transpose}} = call, x, matrix) do
    if Nx.rank(x) < 2, do: refuse!(call, "x needs two axes or more, got #{dims(x)}")
    [[m, k], [rows, columns]] = for shape <- [Nx.shape(x), matrix], do: own(shape)
    {inner, outer} = if transpose, do: {columns, rows}, else: {rows, columns}

    if k != inner do
      transposed = if transpose, do: ", transposed,", else: ""

      refuse!(
        call,
        "x #{dims(x)} has rows of #{k} elements, and the matrix #{dims(matrix)}#{transposed} has " <>
          "#{inner} to multiply them by"
      )
    end

    [m, outer]
  end

  defp packed!(call, %T{type: type} = packed) do
    if type != {:u, 32} do
      refuse!(call, "packed codes must be u32, got #{Nx.Type.to_string(type)}")
    end

    if Nx.rank(packed) < 2 do
      refuse!(call, "packed codes need two axes or more, got #{dims(packed)}")
    end
  end

  # The leading axes, and the size of the last one; a scalar has none.
  defp split(tensor) do
    case tensor |> Nx.shape() |> Tuple.to_list() |> Enum.split(-1) do
      {[], []} -> {nil, 0}
      {leading, [last]} -> {leading, last}
    end
  end

  def merged!(call, tensors) do
    types = Enum.map(tensors, & &1.type)
    Enum.each(types, &check_float!(call, &1))
    Enum.reduce(types, &Nx.Type.merge/2)
  end

  def check_float!(_call, {class, _bits}) when class in [:f, :bf], do: :ok

  def check_float!(call, type) do
    refuse!(
      call,
      "#{call.op} does not take #{Nx.Type.to_string(type)}; cast to one of f16 bf16 f32 f64"
    )
  end

  @spec refuse!(map(), String.t()) :: no_return()
  def refuse!(%{op: op, tensors: tensors}, sentence) do
    inputs = Enum.map_join(tensors, ", ", &(Nx.Type.to_string(&1.type) <> dims(&1)))
    raise ArgumentError, "#{op}(#{inputs}): #{sentence}"
  end
end
