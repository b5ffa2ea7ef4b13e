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
    * `:bits` - 2, 3, 4 (the default), 5, 6 or 8;
    * `:mode` - `:affine` (the default), or one of the small floats that `dequantize/4` describes, which say
      how many elements share a scale, and of how many bits.

  ## Where it runs

  On `Emily.Backend` each function is one native operation. On any other backend, and under any `defn`
  compiler, it is composed of Nx's functions, to the same meaning; gradients are taken of that.

  Shapes, types and options that do not fit are an `ArgumentError` that names the function and its
  operands. Vectorized tensors are refused: devectorize them first.

  ## Quantised inference

  `Emily.Quantization.Matrix` is a quantised matrix as one value, `quantize_params/2` puts them in place of a model's
  kernels, and `save!/2` and `load!/1` keep them in safetensors. `Emily.Quantization.Axon` does it to models of Axon
  and Bumblebee, embeddings and heads included:

      {:ok, info} = Bumblebee.load_model({:hf, "sentence-transformers/all-MiniLM-L6-v2"})
      {model, params} = Emily.Quantization.Axon.quantize(info.model, info.params, bits: 8)
      Emily.Quantization.save!(params, "minilm-8bit.safetensors")
      serving = Bumblebee.Text.text_embedding(%{info | model: model, params: params}, tokenizer)

  Later the file will do, without the floats:

      params = Axon.ModelState.new(Emily.Quantization.load!("minilm-8bit.safetensors"))
      model = Emily.Quantization.Axon.rewrite(model)

  An element takes its bits and its share of the group's scale and bias, in the type of the matrix. Of that model, 90.9 MB
  in f32, and its embeddings of a hundred sentences was measured:

  | options | bytes an element | MB | cosine to f32's: mean, least | of 10 searches, as in f32 |
  |---|---|---|---|---|
  | `bits: 8` | 1.125 | 25.6 | 0.9999, 0.9998 | 10 |
  | `mode: :mxfp8` | 1.031 | 23.5 | 0.9981, 0.9975 | 10 |
  | `group_size: 32, bits: 4` | 0.75 | 17.1 | 0.9755, 0.9679 | 9 |
  | `bits: 4` | 0.625 | 14.3 | 0.9675, 0.9581 | 8 |
  | `mode: :nvfp4` | 0.563 | 12.9 | 0.9781, 0.9685 | 8 |
  | `mode: :mxfp4` | 0.531 | 12.2 | 0.9640, 0.9530 | 9 |

  On the CPU this saves memory, not time: products are slower than in floats. From eight rows on, and always with small
  floats, a product unpacks the whole matrix meanwhile, in f32: it has to fit once beside the packed ones.

  ## Sources

  The affine codes and the order of packed bits are MLX's. `:mxfp4` and `:mxfp8` are defined in the Open
  Compute Project's "OCP Microscaling Formats (MX) Specification" 1.0, `:nvfp4` by NVIDIA.

      iex> packed = Nx.tensor([[0x76543210, 0xFEDCBA98, 0x76543210, 0xFEDCBA98]], type: :u32)
      iex> matrix = Emily.Quantization.dequantize(packed, Nx.tensor([[0.5]]), Nx.tensor([[-1.0]]), group_size: 32)
      iex> Nx.shape(matrix)
      {1, 32}
      iex> Nx.to_flat_list(matrix[0][0..5])
      [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5]

  """

  import Emily.Quantization.Call
  import Nx.Defn

  alias Emily.Matrices
  alias Emily.Quantization.{Archive, Composed, Params}

  @defaults [group_size: 64, bits: 4]

  @doc """
  Packed codes, scales and biases of a matrix: what `dequantize/4` takes.

  The matrix is of shape `{..., m, n}`, `n` a multiple of `:group_size`, in f16, bf16, f32 or f64. Scales
  and biases have its type; everything is computed in f32.

  A group's edge, whichever of its largest and its least element is further from 0, is its bias and so is
  exact, and 0 is exact where it is within the group's range. The scale is 1.0e-7 at least: the edge of a
  group that is nearer to 0 than half of that may become 0. An element is off by half of the scale at most; towards the end away from the edge, where codes may run out, by all of it. Where scale and bias
  are rounded to the matrix's type, what they lose is added.

  On Emily a NaN, an infinity, or a group that spans more than f32 holds is an error when a result is read.
  On other backends nothing looks for them.

  ## Small floats

  With `mode: :mxfp4`, `:mxfp8` or `:nvfp4`, and no other option, the result is packed small floats and their
  scales, as `dequantize/4` has them. Everything is computed in f32.

  The scale of `:mxfp4` and `:mxfp8` is the one that the OCP microscaling formats define, which is not MLX's:
  the power of two at or below the largest modulus in the group, divided by the largest power of two that an
  element is, 4 or 256. That of `:nvfp4` is this modulus divided by 6, rounded to e4m3, 448 at most: there is
  no scale of the whole matrix. An element is the
  nearest to `x / scale`, of two the even one; what is beyond the largest becomes the largest. A group with a
  NaN or an infinity has the scale NaN, and is NaN altogether.

      iex> matrix = Nx.tile(Nx.tensor([[0.1, 1.0, -4.0, 7.9]]), [1, 8])
      iex> {packed, scales} = Emily.Quantization.quantize(matrix, mode: :mxfp4)
      iex> back = Emily.Quantization.dequantize(packed, scales, nil, mode: :mxfp4, type: :f32)
      iex> Nx.to_flat_list(back[0][0..3])
      [0.0, 1.0, -4.0, 6.0]

  ## Examples

      iex> matrix = Nx.tile(Nx.tensor([[-1.0, 0.0, 1.0, 2.0]]), [1, 8])
      iex> {packed, scales, biases} = Emily.Quantization.quantize(matrix, group_size: 32, bits: 2)
      iex> {Nx.shape(packed), Nx.to_flat_list(scales), Nx.to_flat_list(biases)}
      {{1, 2}, [-1.0], [2.0]}
      iex> back = Emily.Quantization.dequantize(packed, scales, biases, group_size: 32, bits: 2)
      iex> Nx.to_number(Nx.all(Nx.equal(back, matrix)))
      1

  """
  @spec quantize(Nx.Tensor.t(), keyword()) ::
          {packed :: Nx.Tensor.t(), scales :: Nx.Tensor.t(), biases :: Nx.Tensor.t()}
          | {packed :: Nx.Tensor.t(), scales :: Nx.Tensor.t()}
  deftransform quantize(matrix, opts \\ []) do
    case Keyword.pop(opts, :mode, :affine) do
      {:affine, opts} -> affine_quantize(matrix, opts)
      {mode, opts} -> fp_quantize(matrix, mode, opts)
    end
  end

  defp fp_quantize(matrix, mode, opts) do
    attrs = [format: mode] ++ Keyword.validate!(opts, [])
    call = fp_call!(:fp_quantize, [matrix], nil, attrs)
    [matrix] = call.tensors
    {packed, scales} = packed_shapes!(call, format!(call), matrix)
    check_float!(call, matrix.type)
    run(call, {Nx.template(packed, :u32), Nx.template(scales, :u8)}, &Composed.fp_quantize/2)
  end

  defp affine_quantize(matrix, opts) do
    call = call!(:quantize, [matrix], opts, @defaults)
    [matrix] = call.tensors
    coding!(call)
    type = merged!(call, [matrix])
    {packed, per_group} = packed_shapes!(call, call.attrs, matrix)
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

  as the OCP microscaling formats and NVFP4 have them; an NVFP4 file's scale of the whole tensor is to be
  multiplied by. The options are then `:mode` and `:type`, the result's
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
  @spec dequantize(Nx.Tensor.t(), Nx.Tensor.t(), Nx.Tensor.t() | nil, keyword()) :: Nx.Tensor.t()
  deftransform dequantize(packed, scales, biases, opts \\ []) do
    case Keyword.pop(opts, :mode, :affine) do
      {:affine, opts} -> affine_dequantize(packed, scales, biases, opts)
      {mode, opts} -> fp_dequantize(packed, scales, biases, mode, opts)
    end
  end

  defp fp_dequantize(packed, scales, biases, mode, opts) do
    opts = Keyword.validate!(opts, type: {:bf, 16})
    attrs = [format: mode, dtype: Nx.Type.normalize!(opts[:type])]
    call = fp_call!(:fp_dequantize, [packed, scales], biases, attrs)
    [packed, scales] = call.tensors
    shape = fp_unpacked!(call, packed, scales)
    check_float!(call, call.attrs.dtype)
    run(call, Nx.template(shape, call.attrs.dtype), &Composed.fp_dequantize/2)
  end

  defp affine_dequantize(packed, scales, biases, opts) do
    biases = biases!(:dequantize, [packed, scales], biases)
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

  With a `:mode` of small floats, as `dequantize/4` has them, biases are `nil` and the result has the type of
  `x`; the matrix's elements are in f32, or f64 for f64.

  ## Examples

      iex> packed = Nx.tensor([[0x55555555, 0x55555555], [0xFFFFFFFF, 0xFFFFFFFF]], type: :u32)
      iex> [scales, biases] = [Nx.tensor([[1.0], [2.0]]), Nx.tensor([[0.0], [-1.0]])]
      iex> x = Nx.broadcast(1.0, {1, 32})
      iex> y = Emily.Quantization.quantized_matmul(x, packed, scales, biases, group_size: 32, bits: 2)
      iex> Nx.to_flat_list(y)
      [32.0, 160.0]

  """
  @spec quantized_matmul(
          Nx.Tensor.t(),
          Nx.Tensor.t(),
          Nx.Tensor.t(),
          Nx.Tensor.t() | nil,
          keyword()
        ) :: Nx.Tensor.t()
  deftransform quantized_matmul(x, packed, scales, biases, opts \\ []) do
    case Keyword.pop(opts, :mode, :affine) do
      {:affine, opts} -> affine_matmul(x, packed, scales, biases, opts)
      {mode, opts} -> fp_matmul(x, packed, scales, biases, mode, opts)
    end
  end

  defp fp_matmul(x, packed, scales, biases, mode, opts) do
    attrs = [format: mode] ++ Keyword.validate!(opts, transpose: true)
    call = fp_call!(:fp_quantized_matmul, [x, packed, scales], biases, attrs)
    [x, packed, scales] = call.tensors
    shape = product!(call, x, fp_unpacked!(call, packed, scales))
    check_float!(call, x.type)
    run(call, Nx.template(shape, x.type), &Composed.fp_quantized_matmul/2)
  end

  defp affine_matmul(x, packed, scales, biases, opts) do
    defaults = [transpose: true] ++ @defaults
    biases = biases!(:quantized_matmul, [x, packed, scales], biases)
    call = call!(:quantized_matmul, [x, packed, scales, biases], opts, defaults)
    [x, packed, scales, biases] = call.tensors
    coding!(call)
    type = merged!(call, [x, scales, biases])
    shape = product!(call, x, unpacked!(call, packed, [scales, biases]))
    run(call, Nx.template(shape, type), &Composed.quantized_matmul/2)
  end

  @doc """
  The products of matrices picked by index, the latter of packed codes, as a mixture of experts takes them:
  `Emily.Fast.gather_mm/4` of `x` and `dequantize/4`'s matrices, or their transposes.

  `x` is of shape `{..., m, k}`. With `transpose: true`, the default, the matrices are of `{..., n, k}`, else of
  `{..., k, n}`. The indices, integers of any shape, count the matrices of `x` and of the codes in row-major
  order, whatever their leading axes; `nil` stands for all of them, in the shape of those axes. They are
  broadcast against each other, and the result has their shape and `{m, n}` after it. An index out of range is
  an `ArgumentError`, on Emily where a result is read, or called with `config :emily,
  debug_bounds_check: true`.

  Types, sums and the options are those of `quantized_matmul/5`, with its `:mode` for small floats.

  ## Examples

      iex> packed = Nx.tensor([[[0x55555555, 0x55555555]], [[0xFFFFFFFF, 0xFFFFFFFF]]], type: :u32)
      iex> [scales, biases] = [Nx.tensor([[[1.0]], [[2.0]]]), Nx.tensor([[[0.0]], [[-1.0]]])]
      iex> tokens = Nx.broadcast(1.0, {3, 1, 32})
      iex> experts = Nx.tensor([1, 0, 1])
      iex> opts = [group_size: 32, bits: 2]
      iex> y = Emily.Quantization.gather_qmm(tokens, packed, scales, biases, nil, experts, opts)
      iex> {Nx.shape(y), Nx.to_flat_list(y)}
      {{3, 1, 1}, [160.0, 32.0, 160.0]}

  """
  @spec gather_qmm(
          Nx.Tensor.t(),
          Nx.Tensor.t(),
          Nx.Tensor.t(),
          Nx.Tensor.t() | nil,
          Nx.Tensor.t() | nil,
          Nx.Tensor.t() | nil,
          keyword()
        ) :: Nx.Tensor.t()
  deftransform gather_qmm(x, packed, scales, biases, lhs_indices, rhs_indices, opts \\ []) do
    [x, packed] = Enum.map([x, packed], &Nx.to_tensor/1)

    indices = [
      lhs_indices || Matrices.all_indices(x),
      rhs_indices || Matrices.all_indices(packed)
    ]

    case Keyword.pop(opts, :mode, :affine) do
      {:affine, opts} -> affine_gather(x, packed, scales, biases, indices, opts)
      {mode, opts} -> fp_gather(x, packed, scales, biases, indices, mode, opts)
    end
  end

  defp fp_gather(x, packed, scales, biases, indices, mode, opts) do
    attrs = [format: mode] ++ Keyword.validate!(opts, transpose: true)
    call = fp_call!(:fp_gather_qmm, [x, packed, scales | indices], biases, attrs)
    [x, packed, scales | indices] = call.tensors
    shape = picked_product!(call, x, fp_unpacked!(call, packed, scales), indices)
    check_float!(call, x.type)
    run(call, Nx.template(shape, x.type), &Composed.fp_gather_qmm/2)
  end

  defp affine_gather(x, packed, scales, biases, indices, opts) do
    defaults = [transpose: true] ++ @defaults
    biases = biases!(:gather_qmm, [x, packed, scales | indices], biases)
    call = call!(:gather_qmm, [x, packed, scales, biases | indices], opts, defaults)
    [x, packed, scales, biases | indices] = call.tensors
    coding!(call)
    type = merged!(call, [x, scales, biases])
    matrix = unpacked!(call, packed, [scales, biases])
    shape = picked_product!(call, x, matrix, indices)
    run(call, Nx.template(shape, type), &Composed.gather_qmm/2)
  end

  @doc """
  A model's parameters with matrices quantised: `Emily.Quantization.Matrix` values in place of tensors.

  Parameters are a map of tensors, nested at will, or a model's state that has such a map as its `:data`, as
  `Axon.ModelState` does. The result is the same with matrices in it; a matrix that is one already stays.
  `Emily.Quantization.Matrix` has the functions that a `defn` calls on them, and `Emily.Quantization.Axon` makes
  an Axon model call these.

  ## Options

    * `:axis` - the axis that groups lie along, or a function of the path and the tensor that gives it. Defaults
      to -2, which is what a product with a kernel of shape `{in, out}` sums over.
    * `:filter` - a function of a path, a list of keys, and a tensor that tells whether to quantise it. It is
      asked of what can be: of floats of two axes or more with whole groups along the axis. What cannot, stays
      as it is. By default those of two axes are quantised.

  and those of `quantize/2`.

  Raises an `ArgumentError` for options that do not go together, and where `params` are no map of tensors.

  ## Examples

      iex> params = %{"dense" => %{"kernel" => Nx.iota({64, 8}, type: :f32), "bias" => Nx.iota({8}, type: :f32)}}
      iex> quantised = Emily.Quantization.quantize_params(params, bits: 8)
      iex> quantised["dense"]["kernel"]
      #Emily.Quantization.Matrix<f32[64][8], axis: -2, mode: :affine, group_size: 64, bits: 8>
      iex> quantised["dense"]["bias"] == params["dense"]["bias"]
      true

  """
  @spec quantize_params(map(), keyword()) :: map()
  def quantize_params(params, opts \\ []), do: Params.quantize(params, opts)

  @doc """
  Parameters with quantised matrices as tensors again: those that a model in floats computes the same with,
  but for rounding.

  ## Examples

      iex> params = %{kernel: Nx.iota({64, 8}, type: :f32)}
      iex> quantised = Emily.Quantization.quantize_params(params, bits: 8)
      iex> Nx.shape(Emily.Quantization.dequantize_params(quantised).kernel)
      {64, 8}

  """
  @spec dequantize_params(map()) :: map()
  def dequantize_params(params), do: Params.dequantize(params)

  @doc """
  Writes parameters, quantised or not, to a safetensors file, which `load!/1` reads to the bit.

  Parameters are as `quantize_params/2` takes them, and keys are texts without a slash. It needs
  `{:safetensors, "~> 0.1"}` among your dependencies.

  Raises an `ArgumentError` that names what a file would lose: vectorized axes, complex numbers, empty maps, a key that
  is no text or stands for another tensor. Names of axes are not kept.

  ## The file

  A tensor's name is the keys that lead to it, with slashes between them: `dense/bias`. A matrix is its two or three
  tensors, of these names and `/packed`, `/scales` and `/biases`. A tensor of u8 named `emily.quantization` holds
  a text in JSON:

      {"version": 1,
       "matrices": {"dense/kernel": {"mode": "affine", "group_size": 64, "bits": 4, "axis": -2, "type": "f32"}}}

  with the fields of `Emily.Quantization.Matrix`; small floats have no group size and bits.

  ## Examples

      iex> path = Path.join(System.tmp_dir!(), "emily_\#{System.unique_integer([:positive])}.safetensors")
      iex> params = Emily.Quantization.quantize_params(%{"kernel" => Nx.iota({64, 8}, type: :f32)})
      iex> Emily.Quantization.save!(params, path)
      :ok
      iex> File.rm!(path)
      :ok

  """
  @spec save!(map(), Path.t()) :: :ok
  def save!(params, path), do: Archive.save!(params, path)

  @doc """
  The parameters in a file of `save!/2`: a map of tensors and matrices on the default backend.

  `Axon.ModelState.new/1` makes a model's state of it, for a model of `Emily.Quantization.Axon.rewrite/1`.

  Raises an `ArgumentError` that names the file where it is no whole one of `save!/2`, and a `File.Error` where there is
  none.

  ## Examples

      iex> path = Path.join(System.tmp_dir!(), "emily_\#{System.unique_integer([:positive])}.safetensors")
      iex> params = Emily.Quantization.quantize_params(%{"kernel" => Nx.iota({64, 8}, type: :f32)})
      iex> Emily.Quantization.save!(params, path)
      iex> Emily.Quantization.load!(path)["kernel"]
      #Emily.Quantization.Matrix<f32[64][8], axis: -2, mode: :affine, group_size: 64, bits: 4>
      iex> File.rm!(path)
      :ok

  """
  @spec load!(Path.t()) :: map()
  def load!(path), do: Archive.load!(path)
end
