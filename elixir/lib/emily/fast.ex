defmodule Emily.Fast do
  @moduledoc """
  What neural networks are made of, each as one call of the engine. `softmax/2`, `logsumexp/2` and the norms
  are one pass over memory where Nx's functions would take several.

      import Nx.Defn

      defn attend(scores, values), do: Nx.dot(Emily.Fast.softmax(scores), values)

  They are called like Nx's functions, on tensors and inside `defn`. Each is a block of Nx's
  (`Nx.block/4`) with a default made of Nx's functions: on another backend than `Emily.Backend` that
  is what runs, and it is what a gradient is derived from.

  Operands are real numbers of any type; integers are taken as `f32`. `f16` and `bf16` are computed in
  `f32` and rounded once. Complex numbers are an `ArgumentError`. Vectorized tensors are computed
  vector by vector. `einsum/2` and `gather_mm/4`, which multiply and add only, take complex numbers too, and
  integers as they are; of `gather_mm/4` vectorized tensors are refused.

  Shapes, types and options that do not fit are an `ArgumentError` that names the function, its operands and
  what would fit.

  ## Rewriting

  A model need not call them. `Emily.Compiler` with `fast: true` finds what is composed of Nx's functions in
  the expression that a function traces to, whoever wrote it, and computes it by these. `rewrites/2` counts
  what it finds.

      Nx.Defn.jit(&MyModel.predict/2, compiler: Emily.Compiler, fast: true)

  | becomes | what is composed |
  |---|---|
  | `softmax/2` | `e^(x - max(x)) / sum(e^(x - max(x)))` along any axes |
  | `layer_norm/4` | `(x - mean) / sqrt(variance + eps) * weight + bias` along the last axis; weight, bias or both may be missing |
  | `rms_norm/3` | `x / sqrt(mean(x^2) + eps) * weight` along the last axis; the weight may be missing |
  | `scaled_dot_product_attention/4` | softmax of `query . key^T`, scaled by a number, masked by an addition or by a selection against `-∞`, times the values; with up to two axes of batches and heads |
  | `rope/2` | `x * cos + rotated(x) * sin`, the halves of features being pairs, where sine and cosine are looked up at position ids |

  In any order, with any casts between floating types on the way, also in loops, conditions and functions.
  Weights are vectors along the axis or numbers; ε, scale and the number of elements stand in the expression as
  numbers. What does not fit is left alone, among it softmax without its maximum, and integers.

  So is what is needed besides: where a hook looks at it, where a gradient, which is derived first, goes back
  through it, or where it is a result. Bumblebee's models of an encoder and a decoder return the weights of
  their attention, unless asked from within a function that takes what it needs:

      fn params, inputs -> predict.(params, inputs).logits end

  A result differs from the composed one by roundings: what is computed in `f32` and rounded once was rounded
  at each step, in `f16` and `bf16` to their few bits. Where a square or a product was beyond the range of the
  type on the way, it no longer is. Attention scales the queries before they meet the keys, so a scale of 1.0e20 may
  overflow where scores scaled afterwards do not. A position id beyond the table, which `Nx.take/3` refuses, is a
  position like another.

  ## Sources

  | function | defined in |
  |---|---|
  | `softmax/2`, `logsumexp/2` | Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions" (2021), shifted by the largest element |
  | `rms_norm/3` | Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019) |
  | `layer_norm/4` | Ba, Kiros and Hinton, "Layer Normalization" (2016) |
  | `scaled_dot_product_attention/4` | Vaswani et al., "Attention Is All You Need" (2017); heads that share keys in Ainslie et al., "GQA" (2023) |
  | `rope/2` | Su et al., "RoFormer" (2021) |
  | `einsum/2` | the notation of NumPy's `einsum` |
  | `gather_mm/4` | MLX's operation of the name, with Nx's rules for types |
  """

  import Emily.Fast.Axes, only: [each_vector: 4, reduced: 3]
  import Emily.Fast.Call
  import Emily.Fast.Norms
  import Emily.Matrices, only: [dims: 1]
  import Nx.Defn

  alias Emily.Fast.{Attention, Block, Composed, Equation, Rewrite, Rotary}

  alias Emily.Matrices

  @doc """
  The exponentials along axes over their sum: `e^x / sum(e^x)`.

  The largest element is subtracted first, so that nothing overflows. An element of `-∞` becomes 0,
  as a mask wants it. Where all are `-∞`, and where there is an infinity or a NaN, all become NaN.

  The result has the tensor's shape and floating type.

  ## Options

    * `:axes` - the axes that a sum goes over, by index or name. Defaults to `[-1]`.
    * `:axis` - one axis, in place of `:axes`.

  ## Examples

      iex> Emily.Fast.softmax(Nx.tensor([[0.0, 0.0], [3.0, :neg_infinity]]))
      #Nx.Tensor<
        f32[2][2]
        [
          [0.5, 0.5],
          [1.0, 0.0]
        ]
      >

      iex> Emily.Fast.softmax(Nx.iota({4, 1}, type: :bf16), axis: 1) |> Nx.to_flat_list()
      [1.0, 1.0, 1.0, 1.0]

      iex> Emily.Fast.softmax(Nx.tensor([1, 2]), axis: 1)
      ** (ArgumentError) Emily.Fast.softmax(s32[2]): axis 1 is out of range for rank 1; it has the axes from -1 to 0

  """
  @spec softmax(Nx.Tensor.t() | number(), keyword()) :: Nx.Tensor.t()
  deftransform softmax(tensor, opts \\ []) do
    opts = Keyword.validate!(opts, [:axes, :axis])

    if opts[:axes] != nil and opts[:axis] != nil do
      raise ArgumentError,
            "#{call("softmax", [Nx.to_tensor(tensor)])}: axes and axis exclude each other; give one of them"
    end

    axes = if opts[:axes] == nil, do: [opts[:axis] || -1], else: opts[:axes]

    each_vector("softmax", tensor, axes, fn tensor, axes ->
      out = Nx.template(tensor.shape, Nx.Type.to_floating(tensor.type), names: tensor.names)
      Nx.block(%Block.Softmax{axes: axes}, [tensor], out, &Composed.softmax/2)
    end)
  end

  @doc """
  The logarithm of the sum of exponentials over axes: `log(sum(e^x))`.

  The largest element is subtracted first, so that nothing overflows. Of `-∞` alone it is `-∞`; with an
  infinity it is `∞`, and with a NaN NaN.

  The result has the tensor's floating type, and its shape without the axes.

  ## Options

    * `:axes` - the axes to reduce, by index or name. All unless given.
    * `:keep_axes` - keep reduced axes with size 1. Defaults to `false`.

  ## Examples

      iex> logs = Emily.Fast.logsumexp(Nx.tensor([[1000.0, 1000.0], [0.0, :neg_infinity]]), axes: [1])
      iex> logs |> Nx.to_flat_list() |> Enum.map(&Float.round(&1, 3))
      [1000.693, 0.0]

      iex> Emily.Fast.logsumexp(Nx.tensor([1, 2]), axes: [0, 0])
      ** (ArgumentError) Emily.Fast.logsumexp(s32[2]): axis 0 is named twice in [0, 0]; name it once

  """
  @spec logsumexp(Nx.Tensor.t() | number(), keyword()) :: Nx.Tensor.t()
  deftransform logsumexp(tensor, opts \\ []) do
    opts = Keyword.validate!(opts, [:axes, keep_axes: false])

    each_vector("logsumexp", tensor, opts[:axes], fn tensor, axes ->
      block = %Block.LogSumExp{axes: axes, keep_axes: opts[:keep_axes]}
      {dims, names} = reduced(tensor, axes, opts[:keep_axes])
      out = Nx.template(dims, Nx.Type.to_floating(tensor.type), names: names)
      Nx.block(block, [tensor], out, &Composed.logsumexp/2)
    end)
  end

  @doc """
  Rows along the last axis over the root of their mean square: `x / sqrt(mean(x^2) + eps) * weight`.

  `weight` has one axis, as long as a row. Squares may be beyond the range of the type: a row of `1.0e30`
  is one of `1.0`. What is finite beside an infinity is 0, and a NaN makes its whole row NaN.

  The result has the tensor's shape, and the floating type of both.

  ## Options

    * `:eps` - what is added to the mean square, 0 or more. Defaults to `1.0e-5`.

  With `config :emily, debug_detect_nan_inf: true` a NaN or an infinity in the result is an
  `ArithmeticError` (`Emily.Backend`).

  ## Examples

      iex> Emily.Fast.rms_norm(Nx.tensor([[4.0, -4.0], [0.0, 0.0]]), Nx.tensor([1.0, 2.0]), eps: 9.0)
      #Nx.Tensor<
        f32[2][2]
        [
          [0.8, -1.6],
          [0.0, 0.0]
        ]
      >

      iex> Emily.Fast.rms_norm(Nx.iota({2, 3}), Nx.tensor([1.0]))
      ** (ArgumentError) Emily.Fast.rms_norm(s32[2,3], f32[1]): the weight is [1], for rows of 3 elements; it must be [3]

  """
  @spec rms_norm(Nx.Tensor.t(), Nx.Tensor.t(), keyword()) :: Nx.Tensor.t()
  deftransform rms_norm(tensor, weight, opts \\ []) do
    norm("rms_norm", [tensor, weight], opts, fn eps, [tensor, _weight] = operands, out ->
      Nx.block(%Block.RmsNorm{eps: eps}, operands, out.(tensor), &Composed.rms_norm/3)
    end)
  end

  @doc """
  Rows along the last axis less their mean, over the root of their variance:
  `(x - mean) / sqrt(variance + eps) * weight + bias`.

  The variance is over the number of elements, not over one less. `weight` and `bias` have one axis, as
  long as a row. Squares may be beyond the range of the type. An infinity or a NaN makes its whole row
  NaN.

  The result has the tensor's shape, and the floating type of all three.

  ## Options

    * `:eps` - what is added to the variance, 0 or more. Defaults to `1.0e-5`.

  With `config :emily, debug_detect_nan_inf: true` a NaN or an infinity in the result is an
  `ArithmeticError` (`Emily.Backend`).

  ## Examples

      iex> weight = Nx.tensor([1.0, 2.0])
      iex> bias = Nx.tensor([10.0, 20.0])
      iex> Emily.Fast.layer_norm(Nx.tensor([[1.0, 7.0], [5.0, 5.0]]), weight, bias, eps: 7.0)
      #Nx.Tensor<
        f32[2][2]
        [
          [9.25, 21.5],
          [10.0, 20.0]
        ]
      >

  """
  @spec layer_norm(Nx.Tensor.t(), Nx.Tensor.t(), Nx.Tensor.t(), keyword()) :: Nx.Tensor.t()
  deftransform layer_norm(tensor, weight, bias, opts \\ []) do
    norm("layer_norm", [tensor, weight, bias], opts, fn eps, [tensor | _] = operands, out ->
      Nx.block(%Block.LayerNorm{eps: eps}, operands, out.(tensor), &Composed.layer_norm/4)
    end)
  end

  @doc """
  The products of matrices picked by index, as a mixture of experts takes them: for each pair of indices
  that matrix of `a` times that one of `b`.

  `a` is of shape `{..., m, k}`, `b` of `{..., k, n}`. The indices, integers of any shape, count the matrices
  of an operand in row-major order, whatever its leading axes; `nil` stands for all of them, in the shape of
  those axes. They are broadcast against each other, and the result has their shape and `{m, n}` after it. On
  the CPU, in `f16`, `bf16` and `f32`, no matrix is copied for each time that it is picked.

  The result has the type that both merge to. Integers are exact and wrap; `f16` and `bf16` are accumulated in
  `f32`, and complex numbers are taken too. Vectorized tensors are refused: devectorize them first. An index
  out of range is an `ArgumentError`, on Emily where a result is read; with `config :emily,
  debug_bounds_check: true` where it is called, and so, with `debug_detect_nan_inf: true`, is the
  `ArithmeticError` for a NaN or an infinity in the result.

  ## Examples

      iex> tokens = Nx.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
      iex> experts = Nx.tensor([[[1.0], [1.0]], [[10.0], [10.0]], [[100.0], [100.0]]])
      iex> Emily.Fast.gather_mm(tokens, experts, nil, Nx.tensor([2, 0])) |> Nx.to_flat_list()
      [300.0, 7.0]

      iex> Emily.Fast.gather_mm(Nx.iota({2, 3}), Nx.iota({2, 3}), nil, nil)
      ** (ArgumentError) Emily.Fast.gather_mm(s32[2,3], s32[2,3], s32[], s32[]): a [2,3] has rows of 3 elements, and b [2,3] columns of 2

  """
  @spec gather_mm(Nx.Tensor.t(), Nx.Tensor.t(), Nx.Tensor.t() | nil, Nx.Tensor.t() | nil) ::
          Nx.Tensor.t()
  deftransform gather_mm(a, b, lhs_indices, rhs_indices) do
    [a, b] = operands = Enum.map([a, b], &Nx.to_tensor/1)

    indices =
      for {indices, operand} <- [{lhs_indices, a}, {rhs_indices, b}] do
        if indices, do: Nx.to_tensor(indices), else: Matrices.all_indices(operand)
      end

    call = call("gather_mm", operands ++ indices)
    refuse = &raise(ArgumentError, "#{call}: #{&1}")
    Matrices.check_vectorized!(operands ++ indices, refuse)
    [[m, k], [inner, n]] = for t <- operands, do: Matrices.own!(t, refuse)

    if k != inner do
      refuse.("a #{dims(a)} has rows of #{k} elements, and b #{dims(b)} columns of #{inner}")
    end

    shape = List.to_tuple(Matrices.pairs!(indices, refuse) ++ [m, n])
    out = Nx.template(shape, Nx.Type.merge(a.type, b.type))
    Nx.block(%Block.GatherMm{}, operands ++ indices, out, &Composed.gather_mm/5)
  end

  @doc """
  What each query takes of the values: `softmax(query . key^T * scale) . value`.

  `query` is `{batch, heads, queries, features}`, `key` `{batch, shared_heads, keys, features}` and `value`
  `{batch, shared_heads, keys, width}`; the result is `{batch, heads, queries, width}`. There may be fewer
  heads of keys and values than of queries: as many consecutive heads of queries share each.

  A fully masked query is NaN, unless there are sinks; where there are no keys at all, the result is 0. The
  value of a masked key has the weight 0 and is multiplied by it, so that a NaN or an infinity there shows.

  The scores, `batch * heads * queries * keys` numbers in `f32` or `f64`, are held in memory.

  The result has the floating type of query, key and value. Scores and weights are computed in `f32`, or
  `f64`; mask and sinks are taken in that.

  ## Options

    * `:scale` - what products of queries and keys are multiplied by. Defaults to one over the root of `features`.
    * `:causal` - the last query sees all keys, the one before it all but the last, and so on. Defaults to
      `false`.
    * `:mask` - a tensor that broadcasts to `{batch, heads, queries, keys}`. Of integers, a key is seen where
      it is not 0; of floats, it is added to the scores, and `-∞` hides a key. With `:causal`, both count.
    * `:sinks` - a tensor `{heads}` of scores whose weights are of no value: what they take of the sum is dropped.

  With `config :emily, debug_detect_nan_inf: true` a NaN or an infinity in the result is an
  `ArithmeticError` (`Emily.Backend`); a fully masked query is one.

  ## Examples

      iex> query = Nx.tensor([[[[0.0], [0.0]]]])
      iex> value = Nx.tensor([[[[2.0], [4.0]]]])
      iex> Emily.Fast.scaled_dot_product_attention(query, query, value) |> Nx.to_flat_list()
      [3.0, 3.0]
      iex> Emily.Fast.scaled_dot_product_attention(query, query, value, causal: true) |> Nx.to_flat_list()
      [2.0, 3.0]
      iex> mask = Nx.tensor([[1, 1], [0, 1]])
      iex> Emily.Fast.scaled_dot_product_attention(query, query, value, mask: mask) |> Nx.to_flat_list()
      [3.0, 4.0]

  """
  @spec scaled_dot_product_attention(Nx.Tensor.t(), Nx.Tensor.t(), Nx.Tensor.t(), keyword()) ::
          Nx.Tensor.t()
  deftransform scaled_dot_product_attention(query, key, value, opts \\ []) do
    Attention.run(
      query,
      key,
      value,
      Keyword.validate!(opts, [:scale, :mask, :sinks, causal: false])
    )
  end

  @doc """
  Rotary position embedding: pairs of features rotated by an angle that grows with the position.

  The last two axes of `tensor` are positions and features. Of `2n` features that are rotated, the pair `i`
  at position `t` is rotated by `scale * (offset + t) * base ** (-i / n)`: `{a, b}` becomes
  `{a * cos - b * sin, a * sin + b * cos}`. An angle is computed in `f64` and off by up to 2^-50 of itself,
  so it loses digits as the position grows: at an angle of 2^26, by as much as the last digit of an `f32`
  near 1. On other backends what is left of it within a turn is also rounded to the type.

  The result has the tensor's shape and floating type.

  ## Options

    * `:dims` - how many of the features are rotated, the first ones; an even number. Defaults to all.
    * `:traditional` - whether neighbours are pairs, features `2i` and `2i + 1`. Else the first half of the
      features pairs with the second, `i` and `i + n`, as most models have it. Defaults to `false`.
    * `:base` - defaults to `10_000`.
    * `:freqs` - a tensor `{n}` in place of `:base`. As in MLX these are periods: the angle is
      `scale * (offset + t) / freqs[i]`, so for a model's inverse frequencies pass their reciprocals.
      Angles may then have the type's roundings, of all of the angle.
    * `:scale` - what positions, offset included, are multiplied by. Defaults to 1.
    * `:offset` - the first position: an integer of 64 bits, or a tensor of integers of shape `{}` or, one for each of
      the first axis, `{batch}`. As a tensor it may be an argument of a compiled function, which then is
      not compiled anew at each step of decoding. Defaults to 0.

  ## Examples

      iex> rotated = Emily.Fast.rope(Nx.tensor([[1.0, 0.0], [1.0, 0.0]]))
      iex> rotated |> Nx.to_flat_list() |> Enum.map(&Float.round(&1, 3))
      [1.0, 0.0, 0.54, 0.841]

      iex> x = Nx.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
      iex> rotated = Emily.Fast.rope(x, offset: Nx.tensor([0, 1]), freqs: Nx.tensor([2.0]))
      iex> rotated |> Nx.to_flat_list() |> Enum.map(&Float.round(&1, 3))
      [1.0, 0.0, 0.878, 0.479]

  """
  @spec rope(Nx.Tensor.t(), keyword()) :: Nx.Tensor.t()
  deftransform rope(tensor, opts \\ []) do
    options = [:dims, :base, :freqs, :scale, offset: 0, traditional: false]
    Rotary.run(tensor, Keyword.validate!(opts, options))
  end

  @doc """
  Sums of products, as an equation says: of `"ij,jk->ik"` the result at `i, k` is the sum of
  `left[i][j] * right[j][k]` over all `j`.

  Before `->` stand the labels of each tensor's axes, letters, tensors apart by commas; after it those of
  the result. Axes of one label have one index, also within a tensor: `"ii->i"` is a diagonal, and `"ii->"`
  its sum. Blanks mean nothing.

  Without `->` the result has the labels that are there once, by the alphabet, capitals first.

  `...` stands for axes without a label, the same of all tensors, aligned at their ends and broadcast. They
  are the result's where `...` stands in it, or first where there is no `->`.

  The result has the tensors' merged type: integers are exact, modulo their range. `f16` and `bf16` are
  computed in `f32` and rounded once. Tensors, eight at most, are multiplied from left to right, so an
  order that keeps partial results small is faster. Complex numbers are taken too.

  With `config :emily, debug_detect_nan_inf: true` a NaN or an infinity in the result is an
  `ArithmeticError` (`Emily.Backend`).

  ## Examples

      iex> a = Nx.tensor([[1, 2], [3, 4]])
      iex> Emily.Fast.einsum("ij,jk->ik", [a, a]) |> Nx.to_list()
      [[7, 10], [15, 22]]
      iex> Emily.Fast.einsum("ii", [a]) |> Nx.to_number()
      5
      iex> Emily.Fast.einsum("...i,i->...", [a, Nx.tensor([1, 10])]) |> Nx.to_list()
      [21, 43]

      iex> Emily.Fast.einsum("ij->z", [Nx.tensor([[1]])])
      ** (ArgumentError) Emily.Fast.einsum(s32[1,1]): equation "ij->z", position 4: z is no operand's label; a result has labels of operands

  """
  @spec einsum(String.t(), [Nx.Tensor.t()]) :: Nx.Tensor.t()
  deftransform einsum(equation, tensors), do: Equation.run(equation, tensors)

  @doc """
  How many nodes `fast: true` of `Emily.Compiler` would rewrite in what a function traces to, by kind.

  `fun` is a function of tensors or containers, as `Nx.Defn.jit/2` takes it; `args` are its arguments, of which
  only types and shapes count: templates will do. Nothing is computed. A node in the body of a loop is
  counted once.

  ## Examples

      iex> softmax = fn x ->
      ...>   powers = Nx.exp(Nx.subtract(x, Nx.reduce_max(x, axes: [-1], keep_axes: true)))
      ...>   Nx.divide(powers, Nx.sum(powers, axes: [-1], keep_axes: true))
      ...> end
      iex> Emily.Fast.rewrites(softmax, [Nx.template({2, 3}, :f32)])
      %{layer_norm: 0, rms_norm: 0, rope: 0, scaled_dot_product_attention: 0, softmax: 1}

  """
  @spec rewrites(function(), [Nx.Container.t()]) :: %{
          layer_norm: non_neg_integer(),
          rms_norm: non_neg_integer(),
          rope: non_neg_integer(),
          scaled_dot_product_attention: non_neg_integer(),
          softmax: non_neg_integer()
        }
  def rewrites(fun, args) do
    if not (is_list(args) and is_function(fun, length(args))) do
      raise ArgumentError,
            "Emily.Fast.rewrites(#{inspect(fun)}, #{inspect(args)}): expected a function and a list of " <>
              "as many arguments as it takes"
    end

    {_expression, counts} = fun |> Nx.Defn.debug_expr_apply(args) |> Rewrite.run()
    counts
  end
end
