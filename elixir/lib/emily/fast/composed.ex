defmodule Emily.Fast.Composed do
  @moduledoc false
  # The default functions of `Emily.Fast`'s blocks, made of Nx's: what another backend runs, and what a
  # gradient is derived from. As the native operations they compute in f32 at least, and round once.

  import Emily.Fast.Call, only: [type: 1, wide: 1]
  import Emily.Matrices, only: [accumulated_in: 1]

  alias Emily.Fast.Block
  alias Emily.{Matrices, Placement}
  alias Nx.Tensor, as: T

  def softmax(%Block.Softmax{axes: axes}, tensor) do
    rounded([tensor], fn [x] ->
      {_largest, powers} = powers(x, axes)
      Nx.divide(powers, Nx.sum(powers, axes: axes, keep_axes: true))
    end)
  end

  def logsumexp(%Block.LogSumExp{axes: axes, keep_axes: keep_axes}, tensor) do
    rounded([tensor], fn [x] ->
      {largest, powers} = powers(x, axes, &Nx.select(Nx.is_infinity(&1), 0, &1))
      logs = powers |> Nx.sum(axes: axes, keep_axes: true) |> Nx.log() |> Nx.add(largest)
      if keep_axes, do: logs, else: Nx.squeeze(logs, axes: axes)
    end)
  end

  def rms_norm(%Block.RmsNorm{eps: eps}, tensor, weight) do
    rounded([tensor, weight], fn [x, weight] ->
      # A part that vanishes beside the largest is still no 0 to an infinite weight.
      infinite = weight |> Nx.is_infinity() |> nameless() |> Nx.broadcast(x.shape, names: x.names)
      x |> sized(eps, & &1, &Nx.select(infinite, x, &1)) |> Nx.multiply(weight)
    end)
  end

  def layer_norm(%Block.LayerNorm{eps: eps}, tensor, weight, bias) do
    rounded([tensor, weight, bias], fn [x, weight, bias] ->
      x |> sized(eps, &centered/1) |> Nx.multiply(weight) |> Nx.add(bias)
    end)
  end

  def scaled_dot_product_attention(block, query, key, value),
    do: attend(block, [query, key, value])

  def scaled_dot_product_attention(%{sinks: false} = block, query, key, value, mask) do
    attend(block, [query, key, value], mask)
  end

  def scaled_dot_product_attention(%{sinks: true} = block, query, key, value, sinks) do
    attend(block, [query, key, value], nil, sinks)
  end

  def scaled_dot_product_attention(block, query, key, value, mask, sinks) do
    attend(block, [query, key, value], mask, sinks)
  end

  # The queries of heads that share one of keys are rows of one matrix.
  defp attend(%{scale: scale} = block, data, mask \\ nil, sinks \\ nil) do
    rounded(data, fn [query, key, value] ->
      {batch, heads, queries, features} = query.shape
      {_batch, shared, keys, width} = value.shape
      rows = div(heads, shared) * queries
      scale = Nx.tensor(scale || 1 / :math.sqrt(features), type: query.type)

      scores =
        query
        |> Nx.multiply(scale)
        |> Nx.reshape({batch, shared, rows, features}, names: List.duplicate(nil, 4))
        |> Nx.dot([3], [0, 1], nameless(key), [3], [0, 1])
        |> Nx.reshape({batch, heads, queries, keys})
        |> masked(mask)
        |> causal(block)
        |> with_sinks(sinks)

      {_largest, powers} = powers(scores, [3])
      weights = Nx.divide(powers, Nx.sum(powers, axes: [3], keep_axes: true))

      weights[[.., .., .., 0..(keys - 1)]]
      |> Nx.reshape({batch, shared, rows, keys})
      |> Nx.dot([3], [0, 1], nameless(value), [2], [0, 1])
      |> Nx.reshape({batch, heads, queries, width})
    end)
  end

  defp masked(scores, nil), do: scores

  defp masked(scores, %T{type: {class, _size}} = mask) when class in [:s, :u] do
    hide(scores, Nx.not_equal(mask, 0))
  end

  defp masked(scores, mask), do: Nx.add(scores, mask |> nameless() |> Nx.as_type(scores.type))

  defp causal(scores, %{causal: false}), do: scores

  defp causal(scores, %{causal: true}) do
    {_batch, _heads, queries, keys} = scores.shape
    last = Nx.iota({queries, keys}, axis: 0) |> Nx.add(keys - queries)
    hide(scores, Nx.less_equal(Nx.iota({queries, keys}, axis: 1), last))
  end

  defp hide(scores, seen) do
    seen = seen |> nameless() |> Nx.broadcast(scores.shape)
    Nx.select(seen, scores, Nx.Constants.neg_infinity(scores.type))
  end

  defp with_sinks(scores, nil), do: scores

  defp with_sinks(scores, sinks) do
    {batch, heads, queries, _keys} = scores.shape

    column =
      sinks
      |> Nx.as_type(scores.type)
      |> Nx.reshape({1, heads, 1, 1}, names: List.duplicate(nil, 4))
      |> Nx.broadcast({batch, heads, queries, 1})

    Nx.concatenate([scores, column], axis: 3)
  end

  def rope(block, tensor, offset, freqs \\ nil) do
    rounded([tensor], fn [x] ->
      axis = Nx.rank(x) - 1
      dims = block.dims || Nx.axis_size(x, axis)
      angles = x |> positions(offset) |> angles(block, freqs, div(dims, 2), x.type)
      {sin, cos} = {Nx.sin(angles), Nx.cos(angles)}
      {a, b} = pairs(block, x, dims)
      first = Nx.subtract(Nx.multiply(a, cos), Nx.multiply(b, sin))
      second = Nx.add(Nx.multiply(a, sin), Nx.multiply(b, cos))

      rotated =
        if block.traditional do
          apart = Nx.stack([first, second], axis: axis + 1)
          Nx.reshape(apart, put_elem(x.shape, axis, dims), names: x.names)
        else
          Nx.concatenate([first, second], axis: axis)
        end

      case Nx.axis_size(x, axis) - dims do
        0 ->
          rotated

        rest ->
          Nx.concatenate([rotated, Nx.slice_along_axis(x, dims, rest, axis: axis)], axis: axis)
      end
    end)
  end

  defp pairs(%{traditional: false}, x, dims) do
    half = div(dims, 2)
    axis = Nx.rank(x) - 1
    {Nx.slice_along_axis(x, 0, half, axis: axis), Nx.slice_along_axis(x, half, half, axis: axis)}
  end

  defp pairs(%{traditional: true}, x, dims) do
    axis = Nx.rank(x) - 1
    of = &Nx.slice_along_axis(x, &1, dims - 1, axis: axis, strides: 2)
    {of.(0), of.(1)}
  end

  # One for each of the next to last axis, and for each of the first where offsets differ.
  defp positions(x, offset) do
    rank = Nx.rank(x)
    steps = Nx.iota({Nx.axis_size(x, rank - 2), 1}, type: :s64)
    offset = Nx.as_type(offset, :s64)

    case Nx.shape(offset) do
      {} ->
        Nx.add(offset, steps)

      {count} ->
        Nx.add(
          Nx.reshape(nameless(offset), List.to_tuple([count | List.duplicate(1, rank - 1)])),
          steps
        )
    end
  end

  # A turn is 2^64, at which integers begin anew. A step is a double's, whose error the position multiplies;
  # what is left of the turn is rounded to the type.
  defp angles(positions, %{base: base, scale: scale}, nil, pairs, type) do
    turn = 2 ** 64

    steps =
      for i <- 0..(pairs - 1) do
        turns = (scale || 1) * :math.pow(base || 10_000, -i / pairs) / (2 * :math.pi())
        trunc((turns - Float.floor(turns)) * turn)
      end

    positions
    |> Nx.bitcast(:u64)
    |> Nx.multiply(Nx.tensor(steps, type: :u64))
    |> Nx.bitcast(:s64)
    |> Nx.as_type(type)
    |> Nx.multiply(Nx.tensor(2 * :math.pi() / turn, type: type))
  end

  defp angles(positions, %{scale: scale}, freqs, _pairs, type) do
    positions
    |> Nx.as_type(type)
    |> Nx.multiply(Nx.tensor(scale || 1, type: type))
    |> Nx.divide(Nx.as_type(freqs, type))
  end

  # From left to right, what neither the result nor a later operand has summed over.
  def einsum(%Block.Einsum{labels: labels, result: result}, tensors) do
    type = tensors |> Enum.map(& &1.type) |> Enum.reduce(&Nx.Type.merge/2)
    wide = accumulated_in(type)

    {operands, []} =
      Enum.map_reduce(tensors, labels, fn tensor, labels ->
        {own, rest} = Enum.split(labels, Nx.rank(tensor))
        {diagonals(tensor |> Nx.as_type(type) |> Nx.as_type(wide), own), rest}
      end)

    [first | others] = operands
    kept = &Enum.flat_map(&1, fn {_tensor, labels} -> labels end)

    {tensor, labels} =
      reduce_rest(others, summed(first, kept.(others) ++ result, wide), fn own, later, product ->
        own = summed(own, elem(product, 1) ++ kept.(later) ++ result, wide)
        times(product, own, kept.(later) ++ result)
      end)

    order = Enum.map(result, fn label -> Enum.find_index(labels, &(&1 == label)) end)
    tensor |> Nx.transpose(axes: order) |> Nx.as_type(type)
  end

  defp reduce_rest([], product, _fun), do: product

  defp reduce_rest([own | later], product, fun),
    do: reduce_rest(later, fun.(own, later, product), fun)

  # Of axes with one label the elements whose indices are the same: every (n + 1)th of n * n.
  defp diagonals(tensor, labels) do
    case labels -- Enum.uniq(labels) do
      [] ->
        {tensor, labels}

      [label | _] ->
        [first, second | _] = for {^label, axis} <- Enum.with_index(labels), do: axis
        others = Enum.to_list(0..(length(labels) - 1)) -- [first, second]
        apart = Nx.transpose(tensor, axes: [first, second | others])
        [size, size | rest] = Tuple.to_list(apart.shape)
        flat = Nx.reshape(apart, List.to_tuple([size * size | rest]))
        diagonal = Nx.slice_along_axis(flat, 0, size * size, axis: 0, strides: size + 1)
        diagonals(diagonal, [label | Enum.map(others, &Enum.at(labels, &1))])
    end
  end

  defp summed({tensor, labels}, kept, type) do
    case for {label, axis} <- Enum.with_index(labels), label not in kept, do: axis do
      [] ->
        {tensor, labels}

      axes ->
        {tensor |> Nx.sum(axes: axes) |> Nx.as_type(type), Enum.filter(labels, &(&1 in kept))}
    end
  end

  # The product of both, summed over what both have and what is not kept.
  defp times({left, left_labels}, {right, right_labels}, kept) do
    both = Enum.filter(left_labels, &(&1 in right_labels))
    {batch, contract} = Enum.split_with(both, &(&1 in kept))

    [{left, left_free}, {right, right_free}] =
      for {tensor, labels} <- [{left, left_labels}, {right, right_labels}] do
        free = labels -- both

        axes =
          Enum.map(batch ++ contract ++ free, fn label ->
            Enum.find_index(labels, &(&1 == label))
          end)

        {Nx.transpose(tensor, axes: axes), free}
      end

    batches = Enum.to_list(0..(length(batch) - 1)//1)
    contracted = Enum.map(Enum.to_list(0..(length(contract) - 1)//1), &(&1 + length(batch)))
    product = Nx.dot(left, contracted, batches, right, contracted, batches)
    {product, batch ++ left_free ++ right_free}
  end

  defp nameless(tensor), do: Nx.rename(tensor, List.duplicate(nil, Nx.rank(tensor)))

  def gather_mm(%Block.GatherMm{}, a, b, lhs_indices, rhs_indices) do
    type = Nx.Type.merge(a.type, b.type)
    # Cast to the type first, which may hold less than what is computed in.
    [a, b] =
      for t <- [a, b] do
        t |> Matrices.flatten_leading() |> Nx.as_type(type) |> Nx.as_type(accumulated_in(type))
      end

    a |> Nx.take(lhs_indices) |> Matrices.product(Nx.take(b, rhs_indices), -2) |> Nx.as_type(type)
  end

  # Rows over the root of their mean square. Elements are taken as parts of the power of two below the
  # largest, or below the root of eps where that is larger, so that no square overflows and none is rounded.
  defp sized(x, eps, adjust, finish \\ & &1) do
    # A number would be an f32 in Nx, also beside an f64.
    root = Nx.tensor(:math.sqrt(eps), type: x.type)
    scale = x |> Nx.abs() |> Nx.reduce_max(axes: [-1], keep_axes: true) |> Nx.max(root)
    scale = constant(scale) |> power_of_two()
    scale = Nx.select(Nx.is_infinity(scale), 1, scale)
    parts = x |> Nx.divide(scale) |> adjust.()
    # Beside a variance of 0 it counts, however small.
    least = if eps > 0, do: Nx.Constants.smallest_positive_normal(x.type), else: 0
    eps = root |> Nx.divide(scale) |> Nx.pow(2) |> Nx.max(least)
    Nx.divide(finish.(parts), parts |> Nx.pow(2) |> mean() |> Nx.add(eps) |> Nx.sqrt())
  end

  defp mean(x), do: Nx.mean(x, axes: [-1], keep_axes: true)

  # Taken twice, the second time of what the first leaves: its rounding is then relative to that.
  defp centered(x) do
    x = Nx.subtract(x, mean(x))
    Nx.subtract(x, mean(x))
  end

  # The bits of the exponent alone; an infinity of what is not finite.
  defp power_of_two(%T{type: {:f, size} = type} = x) do
    infinity = Nx.bitcast(Nx.Constants.infinity(type), {:u, size})

    x
    |> Nx.bitcast({:u, size})
    |> Nx.bitwise_and(infinity)
    |> Nx.bitcast(type)
    |> Nx.max(Nx.Constants.smallest_positive_normal(type))
  end

  # The largest element of each row, and the exponentials of what the others are below it.
  defp powers(x, axes, adjust \\ & &1) do
    largest = x |> Nx.reduce_max(axes: axes, keep_axes: true) |> adjust.() |> constant()
    {largest, x |> Nx.subtract(largest) |> Nx.exp()}
  end

  # What an element is held against cancels, and so does its gradient.
  defp constant(%T{data: %Nx.Defn.Expr{}} = tensor), do: Nx.Defn.Kernel.stop_grad(tensor)
  defp constant(%T{} = tensor), do: tensor

  defp rounded(tensors, fun) do
    type = type(tensors)

    Placement.beside(tensors, fn ->
      tensors
      |> Enum.map(&(&1 |> Nx.as_type(type) |> Nx.as_type(wide(type))))
      |> fun.()
      |> Nx.as_type(type)
    end)
  end
end
