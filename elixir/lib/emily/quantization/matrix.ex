defmodule Emily.Quantization.Matrix do
  @moduledoc """
  A quantised matrix as one value, which goes where a float one went: into the parameters of a model, an
  argument of `defn`, a serving, `Nx.backend_copy/2`, `Nx.serialize/2`.

      iex> kernel = Nx.iota({64, 8}, type: :f32)
      iex> matrix = Emily.Quantization.Matrix.quantize(kernel, bits: 8)
      #Emily.Quantization.Matrix<f32[64][8], axis: -2, mode: :affine, group_size: 64, bits: 8>
      iex> x = Nx.broadcast(1.0, {3, 64})
      iex> Nx.shape(Emily.Quantization.Matrix.dot(x, matrix))
      {3, 8}

  Its groups lie along `:axis`, one of the last two; what `Emily.Quantization.quantize/2` packs are rows of
  them. Nothing is as near and as fast as groups along the axis that a product sums over: -2 for a kernel of
  shape `{in, out}`, as Axon has them, -1 for one of `{out, in}` and for a table whose rows are taken. The functions
  here find that by themselves, and are for either.

  Fields:

    * `:tensors` - a map of `:packed`, `:scales` and, of affine codes, `:biases`;
    * `:axis` - -2 or -1;
    * `:type` - of the matrix it was made of, which `dequantize/1` and `take/2` give;
    * `:options` - `:mode`, and of affine codes `:group_size` and `:bits`, all of them said.

  Enumerating it gives the tensors with their names, as a map of strings would: that is how Axon counts them.
  """

  import Emily.Matrices, only: [dims: 1]
  import Nx.Defn

  alias Emily.Quantization
  alias Emily.Quantization.Call
  alias Nx.Tensor, as: T

  @derive {Nx.Container, containers: [:tensors], keep: [:axis, :type, :options]}
  @enforce_keys [:tensors, :axis, :type, :options]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          tensors: %{
            required(:packed) => Nx.Tensor.t(),
            required(:scales) => Nx.Tensor.t(),
            optional(:biases) => Nx.Tensor.t()
          },
          axis: -2 | -1,
          type: Nx.Type.t(),
          options: keyword()
        }

  @doc """
  Quantises a matrix, or several along leading axes.

  ## Options

    * `:axis` - the axis that groups lie along, one of the last two. Defaults to -2.

  and those of `Emily.Quantization.quantize/2`, which says what becomes of an element.

  ## Examples

      iex> Emily.Quantization.Matrix.quantize(Nx.iota({4, 32}, type: :f32), axis: -1, mode: :mxfp4)
      #Emily.Quantization.Matrix<f32[4][32], axis: -1, mode: :mxfp4>

  """
  @spec quantize(Nx.Tensor.t(), keyword()) :: t()
  deftransform quantize(tensor, opts \\ []) do
    tensor = Nx.to_tensor(tensor)
    {axis, opts} = Keyword.pop(opts, :axis, -2)
    axis = axis!("quantize", tensor, axis)
    options = options!([tensor], opts)
    parts = tensor |> along(axis) |> Quantization.quantize(options) |> Tuple.to_list()
    tensors = [:packed, :scales, :biases] |> Enum.zip(parts) |> Map.new()
    %__MODULE__{tensors: tensors, axis: axis, type: tensor.type, options: options}
  end

  @doc """
  The float matrix that it stands for, in its type.

  ## Examples

      iex> matrix = Emily.Quantization.Matrix.quantize(Nx.iota({32, 2}, type: :f32), group_size: 32, bits: 8)
      iex> float = Emily.Quantization.Matrix.dequantize(matrix)
      iex> {Nx.shape(float), Nx.to_number(float[31][1])}
      {{32, 2}, 63.0}

  """
  @spec dequantize(t()) :: Nx.Tensor.t()
  deftransform dequantize(%__MODULE__{} = matrix) do
    matrix.tensors |> rows(matrix) |> along(matrix.axis)
  end

  @doc """
  The rows of `x` times the matrix: `Nx.dot(x, [-1], dequantize(matrix), [axis])`.

  `x` is a float tensor of two axes or more. Leading axes of several matrices are broadcast against those of
  `x`. Sums and the result's type are those of `Emily.Quantization.quantized_matmul/5`; small floats take the type of
  `x`.

  ## Options

    * `:axis` - the axis of the matrix that is summed over, one of the last two. Defaults to -2.

  ## Examples

      iex> kernel = Nx.broadcast(0.5, {32, 2})
      iex> matrix = Emily.Quantization.Matrix.quantize(kernel, mode: :mxfp4)
      iex> Nx.to_flat_list(Emily.Quantization.Matrix.dot(Nx.broadcast(1.0, {1, 32}), matrix))
      [16.0, 16.0]

  """
  @spec dot(Nx.Tensor.t(), t(), keyword()) :: Nx.Tensor.t()
  deftransform dot(x, %__MODULE__{tensors: tensors} = matrix, opts \\ []) do
    opts = product_options("dot", matrix, opts)
    Quantization.quantized_matmul(x, tensors.packed, tensors.scales, tensors[:biases], opts)
  end

  @doc """
  The products of matrices picked by index, the latter of these: `Emily.Quantization.gather_qmm/7`.

  `x`, indices and the result are as there.

  ## Options

    * `:axis` - the axis of the matrices that is summed over, one of the last two. Defaults to -2.

  ## Examples

      iex> experts = Nx.stack([Nx.broadcast(1.0, {32, 2}), Nx.broadcast(2.0, {32, 2})])
      iex> matrix = Emily.Quantization.Matrix.quantize(experts, mode: :mxfp4)
      iex> tokens = Nx.broadcast(1.0, {3, 1, 32})
      iex> picked = Emily.Quantization.Matrix.gather_dot(tokens, matrix, nil, Nx.tensor([1, 0, 1]))
      iex> Nx.to_list(Nx.squeeze(picked))
      [[64.0, 64.0], [32.0, 32.0], [64.0, 64.0]]

  """
  @spec gather_dot(Nx.Tensor.t(), t(), Nx.Tensor.t() | nil, Nx.Tensor.t() | nil, keyword()) ::
          Nx.Tensor.t()
  deftransform gather_dot(
                 x,
                 %__MODULE__{tensors: tensors} = matrix,
                 lhs_indices,
                 rhs_indices,
                 opts \\ []
               ) do
    opts = product_options("gather_dot", matrix, opts)
    [packed, scales, biases] = [tensors.packed, tensors.scales, tensors[:biases]]
    Quantization.gather_qmm(x, packed, scales, biases, lhs_indices, rhs_indices, opts)
  end

  @doc """
  Rows by index, in the matrix's type: `Nx.take(dequantize(matrix), indices)`, without the rest of the matrix.

  The matrix is of two axes and grouped along the last. Indices are integers of any shape.

  ## Examples

      iex> table = Nx.multiply(Nx.iota({4, 32}, axis: 0), 0.5)
      iex> matrix = Emily.Quantization.Matrix.quantize(table, axis: -1, mode: :mxfp4)
      iex> rows = Emily.Quantization.Matrix.take(matrix, Nx.tensor([3, 1]))
      iex> {Nx.shape(rows), Nx.to_flat_list(rows[[.., 0]])}
      {{2, 32}, [1.5, 0.5]}

  """
  @spec take(t(), Nx.Tensor.t()) :: Nx.Tensor.t()
  deftransform take(%__MODULE__{} = matrix, indices) do
    indices = Nx.to_tensor(indices)

    if indices.vectorized_axes != [] do
      raise ArgumentError,
            "Matrix.take(#{described(matrix)}, #{described(indices)}): vectorized indices are not taken; " <>
              "devectorize them first"
    end

    {count, shape} = {Nx.size(indices), Tuple.to_list(indices.shape)}

    case {matrix.axis, shape(matrix)} do
      {-1, {_rows, length}} ->
        flat = Nx.reshape(indices, {count})

        matrix.tensors
        |> Map.new(fn {name, tensor} -> {name, Nx.take(tensor, flat)} end)
        |> rows(matrix)
        |> Nx.reshape(List.to_tuple(shape ++ [length]))

      _ ->
        raise ArgumentError,
              "Matrix.take(#{described(matrix)}, #{described(indices)}): rows are taken of a matrix of two " <>
                "axes that is grouped along the last; quantize it with axis: -1"
    end
  end

  @doc """
  The shape of the matrix that it stands for.

  ## Examples

      iex> matrix = Emily.Quantization.Matrix.quantize(Nx.iota({64, 8}, type: :f32))
      iex> Emily.Quantization.Matrix.shape(matrix)
      {64, 8}

  """
  @spec shape(t()) :: tuple()
  deftransform shape(%__MODULE__{tensors: %{scales: scales}} = matrix) do
    {leading, [rows, groups]} = scales.shape |> Tuple.to_list() |> Enum.split(-2)
    length = groups * group_size(matrix.options)
    own = if matrix.axis == -1, do: [rows, length], else: [length, rows]
    List.to_tuple(leading ++ own)
  end

  @doc false
  # Whether a tensor can be quantised along the axis with these options of `options!/2`.
  def fits?(%T{type: {class, _}, vectorized_axes: []} = tensor, axis, options) do
    class in [:f, :bf] and Nx.rank(tensor) >= 2 and
      rem(Nx.axis_size(tensor, axis!("quantize", tensor, axis)), group_size(options)) == 0
  end

  def fits?(_tensor, _axis, _options), do: false

  @doc false
  # The options with their defaults said, in one order: equal matrices have equal options.
  def options!(tensors, opts, name \\ :quantize) do
    {mode, opts} = Keyword.pop(opts, :mode, :affine)
    call = %{op: name, tensors: tensors}

    if mode == :affine do
      opts = Keyword.validate!(opts, group_size: 64, bits: 4)
      Call.coding!(Map.put(call, :attrs, Map.new(opts)))
      [mode: :affine, group_size: opts[:group_size], bits: opts[:bits]]
    else
      Call.format!(Map.put(call, :attrs, %{format: mode}))

      if opts != [] do
        raise ArgumentError,
              "#{name}: mode: #{inspect(mode)} says its own group size and bits, and takes no other option, " <>
                "got: #{inspect(opts)}"
      end

      [mode: mode]
    end
  end

  defp group_size(mode: :affine, group_size: size, bits: _bits), do: size

  defp group_size(mode: mode) do
    Call.format!(%{op: :quantize, tensors: [], attrs: %{format: mode}}).group_size
  end

  @doc false
  # Whether its tensors are of shapes and types that go together.
  def whole?(%__MODULE__{} = matrix) do
    templates = Map.new(matrix.tensors, fn {part, tensor} -> {part, Nx.to_template(tensor)} end)
    %T{} = Nx.Defn.debug_expr(&dequantize/1).(%{matrix | tensors: templates})
    true
  rescue
    ArgumentError -> false
  end

  # The matrix's own axes, that of the groups last; and back again.
  defp along(%T{} = tensor, axis) do
    rank = Nx.rank(tensor)

    if axis == -2 and rank >= 2 do
      Nx.transpose(tensor, axes: Enum.to_list(0..(rank - 3)//1) ++ [rank - 1, rank - 2])
    else
      tensor
    end
  end

  # Packed rows as floats.
  defp rows(%{packed: packed, scales: scales} = tensors, %{options: options, type: type}) do
    options = if options[:mode] == :affine, do: options, else: [type: type] ++ options

    packed
    |> Quantization.dequantize(scales, tensors[:biases], options)
    |> Nx.as_type(type)
  end

  # Codes are multiplied by rows, which is by the transposed matrix, where groups lie along what is summed.
  defp product_options(name, matrix, opts) do
    opts = Keyword.validate!(opts, axis: -2)
    [transpose: axis!(name, matrix, opts[:axis]) == matrix.axis] ++ matrix.options
  end

  defp axis!(name, operand, axis) do
    rank = tuple_size(shape_of(operand))
    from_end = if is_integer(axis) and axis >= 0, do: axis - rank, else: axis

    if from_end not in [-2, -1] do
      raise ArgumentError,
            "Matrix.#{name}(#{described(operand)}, axis: #{inspect(axis)}): the axis must be one of the last " <>
              "two, -2 or -1"
    end

    from_end
  end

  defp described(%{type: type} = operand), do: Nx.Type.to_string(type) <> dims(shape_of(operand))

  defp shape_of(%T{shape: shape}), do: shape
  defp shape_of(%__MODULE__{} = matrix), do: shape(matrix)

  defimpl Enumerable do
    # Axon walks parameters as maps, to count them where it shows a model's state.
    def reduce(matrix, acc, fun) do
      matrix.tensors
      |> Enum.map(fn {name, tensor} -> {Atom.to_string(name), tensor} end)
      |> Enumerable.reduce(acc, fun)
    end

    def count(_matrix), do: {:error, __MODULE__}
    def member?(_matrix, _element), do: {:error, __MODULE__}
    def slice(_matrix), do: {:error, __MODULE__}
  end

  defimpl Inspect do
    def inspect(matrix, _opts) do
      axes = matrix |> Emily.Quantization.Matrix.shape() |> Tuple.to_list()
      shape = Enum.map_join(axes, &"[#{&1}]")
      options = [axis: matrix.axis] ++ matrix.options
      coding = Enum.map_join(options, ", ", fn {name, value} -> "#{name}: #{inspect(value)}" end)
      type = Nx.Type.to_string(matrix.type)
      "#Emily.Quantization.Matrix<#{type}#{shape}, #{coding}>"
    end
  end
end
