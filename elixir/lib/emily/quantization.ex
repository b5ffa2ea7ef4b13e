defmodule Emily.Quantization do
  @moduledoc """
  Matrices in a few bits an element, as MLX has them, for any backend.

  A row of a matrix is cut into groups of `:group_size` elements. An element is a code, a whole number of
  `:bits` bits, and stands for `scale * code + bias`, with a scale and a bias for each group. Three tensors
  make a matrix of shape `{..., n}`:

    * `packed`, u32 of shape `{..., n * bits / 32}`: the codes, from the lowest bit of a row's first word
      up, one after the other, across the ends of words;
    * `scales` and `biases`, floats of shape `{..., n / group_size}`.

  ## Options

  Every function takes

    * `:group_size` - 32, 64 (the default) or 128;
    * `:bits` - 2, 3, 4 (the default), 5, 6 or 8.

  ## Where it runs

  On `Emily.Backend` each function is one native operation. On any other backend, and under any `defn`
  compiler, it is composed of Nx's functions, to the same meaning; gradients are taken of that.

  Shapes, types and options that do not fit are an `ArgumentError` that names the function and its
  operands. Vectorized tensors are refused: devectorize them first.

      iex> packed = Nx.tensor([[0x76543210, 0xFEDCBA98, 0x76543210, 0xFEDCBA98]], type: :u32)
      iex> matrix = Emily.Quantization.dequantize(packed, Nx.tensor([[0.5]]), Nx.tensor([[-1.0]]), group_size: 32)
      iex> Nx.shape(matrix)
      {1, 32}
      iex> Nx.to_flat_list(matrix[0][0..5])
      [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5]

  """

  import Nx.Defn

  alias Emily.Quantization.{Block, Composed}
  alias Nx.Tensor, as: T

  @defaults [group_size: 64, bits: 4]

  @formats %{
    mxfp4: %{group_size: 32, bits: 4},
    mxfp8: %{group_size: 32, bits: 8},
    nvfp4: %{group_size: 16, bits: 4}
  }

  @doc """
  Packed codes, scales and biases of a matrix: what `dequantize/4` takes.

  The matrix is of shape `{..., m, n}`, `n` a multiple of `:group_size`, in f16, bf16, f32 or f64. Scales
  and biases have its type; everything is computed in f32.

  A group's edge, whichever of its largest and its least element is further from 0, is its bias and so is
  exact, and 0 is exact where it is within the group's range. An element is off by half of the scale at
  most; towards the end away from the edge, where codes may run out, by all of it. Where scale and bias
  are rounded to the matrix's type, what they lose is added.

  On Emily a NaN, an infinity, or a group that spans more than f32 holds is an error when a result is read.
  On other backends nothing looks for them.

  ## Examples

      iex> matrix = Nx.tile(Nx.tensor([[-1.0, 0.0, 1.0, 2.0]]), [1, 8])
      iex> {packed, scales, biases} = Emily.Quantization.quantize(matrix, group_size: 32, bits: 2)
      iex> {Nx.shape(packed), Nx.to_flat_list(scales), Nx.to_flat_list(biases)}
      {{1, 2}, [-1.0], [2.0]}
      iex> back = Emily.Quantization.dequantize(packed, scales, biases, group_size: 32, bits: 2)
      iex> Nx.to_number(Nx.all(Nx.equal(back, matrix)))
      1

  """
  deftransform quantize(matrix, opts \\ []) do
    call = call!(:quantize, [matrix], opts, @defaults)
    [matrix] = call.tensors
    coding!(call)
    type = merged!(call, [matrix])
    {packed, per_group} = packed_shapes!(call, matrix)
    per_group = Nx.template(per_group, type)
    run(call, {Nx.template(packed, :u32), per_group, per_group}, &Composed.quantize/2)
  end

  @doc """
  The matrix of packed codes: `scale * code + bias`.

  Its type is what scales and biases merge to. Small floats are computed in f32 and rounded once.

  ## Small floats

  With `:mode` other than `:affine` elements are small floats, an element is `scale * element`, there are no
  biases (pass `nil`), and scales are u8:

  | mode | elements | scales | group size |
  |---|---|---|---|
  | `:mxfp4` | e2m1 | e8m0 | 32 |
  | `:mxfp8` | e4m3 | e8m0 | 32 |
  | `:nvfp4` | e2m1 | e4m3 | 16 |

  as the OCP microscaling formats and NVFP4 have them. The options are then `:mode` and `:type`, the result's
  type, bf16 by default. An element is rounded once.

      iex> packed = Nx.tensor([[0x76543210, 0xFEDCBA98]], type: :u32)
      iex> scales = Nx.tensor([[0x40]], type: :u8)
      iex> matrix = Emily.Quantization.dequantize(packed, scales, nil, mode: :nvfp4, type: :f32)
      iex> Nx.to_flat_list(matrix[0][0..7])
      [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0]

  ## Examples

      iex> packed = Nx.tensor([[0xE4E4E4E4, 0xE4E4E4E4]], type: :u32)
      iex> [scales, biases] = [Nx.tensor([[2.0]]), Nx.tensor([[1.0]])]
      iex> matrix = Emily.Quantization.dequantize(packed, scales, biases, group_size: 32, bits: 2)
      iex> Nx.to_flat_list(matrix[0][0..4])
      [1.0, 3.0, 5.0, 7.0, 1.0]

  """
  deftransform dequantize(packed, scales, biases, opts \\ []) do
    case Keyword.pop(opts, :mode, :affine) do
      {:affine, opts} -> affine_dequantize(packed, scales, biases, opts)
      {mode, opts} -> fp_dequantize(packed, scales, biases, mode, opts)
    end
  end

  defp fp_dequantize(packed, scales, biases, mode, opts) do
    opts = Keyword.validate!(opts, type: {:bf, 16})
    tensors = [packed, scales | List.wrap(biases)]
    attrs = [format: mode, dtype: Nx.Type.normalize!(opts[:type])]
    call = call!(:fp_dequantize, tensors, attrs, [:format, :dtype])

    if biases != nil do
      refuse!(call, "fp_dequantize takes 2 operands (packed, scales), got 3")
    end

    if not is_map_key(@formats, mode) do
      refuse!(call, "mode must be :affine, :mxfp4, :mxfp8 or :nvfp4, got #{inspect(mode)}")
    end

    [packed, scales] = call.tensors
    check_float!(call, call.attrs.dtype)

    if scales.type != {:u, 8} do
      refuse!(call, "scales must be u8, got #{Nx.Type.to_string(scales.type)}")
    end

    shape = unpacked!(put_in(call.attrs, @formats[mode]), packed, [scales])
    run(call, Nx.template(shape, call.attrs.dtype), &Composed.fp_dequantize/2)
  end

  defp affine_dequantize(packed, scales, biases, opts) do
    call = call!(:dequantize, [packed, scales, biases], opts, @defaults)
    [packed, scales, biases] = call.tensors
    coding!(call)
    shape = unpacked!(call, packed, [scales, biases])
    out = Nx.template(shape, merged!(call, [scales, biases]))
    run(call, out, &Composed.dequantize/2)
  end

  @doc """
  The rows of `x` times a quantised matrix, as `Nx.dot/2` of it and `dequantize/4`'s matrix.

  With `transpose: true`, the default, rows are multiplied by the matrix's rows, which is x · wᵀ: `x` is of
  shape `{..., m, k}`, the matrix of `{..., n, k}`. With `transpose: false` it is x · w, the matrix of
  `{..., k, n}`. The result is of shape `{..., m, n}`; leading axes are broadcast.

  Its type is what `x`, scales and biases merge to. Sums are accumulated in f32, or f64 for f64, and rounded
  once.

  ## Examples

      iex> packed = Nx.tensor([[0x55555555, 0x55555555], [0xFFFFFFFF, 0xFFFFFFFF]], type: :u32)
      iex> [scales, biases] = [Nx.tensor([[1.0], [2.0]]), Nx.tensor([[0.0], [-1.0]])]
      iex> x = Nx.broadcast(1.0, {1, 32})
      iex> y = Emily.Quantization.quantized_matmul(x, packed, scales, biases, group_size: 32, bits: 2)
      iex> Nx.to_flat_list(y)
      [32.0, 160.0]

  """
  deftransform quantized_matmul(x, packed, scales, biases, opts \\ []) do
    defaults = [transpose: true] ++ @defaults
    call = call!(:quantized_matmul, [x, packed, scales, biases], opts, defaults)
    [x, packed, scales, biases] = call.tensors
    coding!(call)
    type = merged!(call, [x, scales, biases])
    shape = product!(call, x, unpacked!(call, packed, [scales, biases]))
    run(call, Nx.template(shape, type), &Composed.quantized_matmul/2)
  end

  # The call of an operation: its operands as tensors, and its options as attributes.
  defp call!(op, tensors, opts, defaults) do
    call = %{
      op: op,
      tensors: Enum.map(tensors, &Nx.to_tensor/1),
      attrs: opts |> Keyword.validate!(defaults) |> Map.new()
    }

    Enum.each(call.tensors, &check_vectorized!(call, &1))
    call
  end

  defp run(%{op: op, attrs: attrs, tensors: tensors}, out, composed) do
    default =
      case tensors do
        [_] -> fn %Block{attrs: attrs}, a -> composed.([a], attrs) end
        [_, _] -> fn %Block{attrs: attrs}, a, b -> composed.([a, b], attrs) end
        [_, _, _] -> fn %Block{attrs: attrs}, a, b, c -> composed.([a, b, c], attrs) end
        [_, _, _, _] -> fn %Block{attrs: attrs}, a, b, c, d -> composed.([a, b, c, d], attrs) end
      end

    Nx.block(%Block{op: op, attrs: attrs}, tensors, out, default)
  end

  defp check_vectorized!(_call, %T{vectorized_axes: []}), do: :ok

  defp check_vectorized!(call, %T{}) do
    refuse!(call, "vectorized tensors are not taken; use Nx.devectorize/2 first")
  end

  defp coding!(%{attrs: %{group_size: group_size, bits: bits}} = call) do
    if group_size not in [32, 64, 128] do
      refuse!(call, "group_size must be 32, 64 or 128, got #{inspect(group_size)}")
    end

    if bits not in [2, 3, 4, 5, 6, 8] do
      refuse!(call, "bits must be 2, 3, 4, 5, 6 or 8, got #{inspect(bits)}")
    end
  end

  # The shapes of a matrix's packed codes and of what there is per group.
  defp packed_shapes!(%{attrs: %{group_size: group_size, bits: bits}} = call, matrix) do
    if Nx.rank(matrix) < 2 do
      refuse!(call, "a matrix needs two axes or more, got #{dims(matrix)}")
    end

    {rows, elements} = split(matrix)

    if rem(elements, group_size) != 0 do
      refuse!(call, "rows of #{elements} elements are no whole groups of #{group_size}; pad them")
    end

    {List.to_tuple(rows ++ [div(elements, 32) * bits]),
     List.to_tuple(rows ++ [div(elements, group_size)])}
  end

  # The shape of the matrix that these codes are, which have something per group.
  defp unpacked!(call, packed, [scales | _] = per_group) do
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
  defp product!(%{attrs: %{transpose: transpose}} = call, x, matrix) do
    if Nx.rank(x) < 2, do: refuse!(call, "x needs two axes or more, got #{dims(x)}")
    {batch, [m, k]} = x |> Nx.shape() |> Tuple.to_list() |> Enum.split(-2)
    {batches, [rows, columns]} = matrix |> Tuple.to_list() |> Enum.split(-2)
    {inner, outer} = if transpose, do: {columns, rows}, else: {rows, columns}

    if k != inner do
      transposed = if transpose, do: ", transposed,", else: ""

      refuse!(
        call,
        "x #{dims(x)} has rows of #{k} elements, and the matrix #{dims(matrix)}#{transposed} has " <>
          "#{inner} to multiply them by"
      )
    end

    List.to_tuple(broadcast!(call, batch, batches) ++ [m, outer])
  end

  # The shape that both broadcast to.
  defp broadcast!(call, left, right) do
    rank = max(length(left), length(right))
    pad = &(List.duplicate(1, rank - length(&1)) ++ &1)

    for {{a, b}, axis} <- Enum.with_index(Enum.zip(pad.(left), pad.(right))) do
      if a != b and a != 1 and b != 1 do
        refuse!(
          call,
          "#{dims(left)} and #{dims(right)} do not broadcast: axis #{axis} is #{a} against #{b}; " <>
            "make them equal, or one of them 1"
        )
      end

      if a == 1, do: b, else: a
    end
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

  defp merged!(call, tensors) do
    types = Enum.map(tensors, & &1.type)
    Enum.each(types, &check_float!(call, &1))
    Enum.reduce(types, &Nx.Type.merge/2)
  end

  defp check_float!(_call, {class, _bits}) when class in [:f, :bf], do: :ok

  defp check_float!(call, type) do
    refuse!(
      call,
      "#{call.op} does not take #{Nx.Type.to_string(type)}; cast to one of f16 bf16 f32 f64"
    )
  end

  @spec refuse!(map(), String.t()) :: no_return()
  defp refuse!(%{op: op, tensors: tensors}, sentence) do
    inputs = Enum.map_join(tensors, ", ", &(Nx.Type.to_string(&1.type) <> dims(&1)))
    raise ArgumentError, "#{op}(#{inputs}): #{sentence}"
  end

  defp dims(dims) when is_list(dims), do: "[#{Enum.join(dims, ",")}]"
  defp dims(tensor), do: tensor |> Nx.shape() |> Tuple.to_list() |> dims()
end
