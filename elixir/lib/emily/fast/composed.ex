defmodule Emily.Fast.Composed do
  @moduledoc false
  # The default functions of `Emily.Fast`'s blocks, made of Nx's: what another backend runs, and what a
  # gradient is derived from. As the native operations they compute in f32 at least, and round once.

  import Emily.Fast.Call, only: [type: 1, wide: 1]

  alias Emily.Fast
  alias Nx.Tensor, as: T

  def softmax(%Fast.Softmax{axes: axes}, tensor) do
    rounded([tensor], fn [x] ->
      {_largest, powers} = powers(x, axes)
      Nx.divide(powers, Nx.sum(powers, axes: axes, keep_axes: true))
    end)
  end

  def logsumexp(%Fast.LogSumExp{axes: axes, keep_axes: keep_axes}, tensor) do
    rounded([tensor], fn [x] ->
      {largest, powers} = powers(x, axes, &Nx.select(Nx.is_infinity(&1), 0, &1))
      logs = powers |> Nx.sum(axes: axes, keep_axes: true) |> Nx.log() |> Nx.add(largest)
      if keep_axes, do: logs, else: Nx.squeeze(logs, axes: axes)
    end)
  end

  def rms_norm(%Fast.RmsNorm{eps: eps}, tensor, weight) do
    rounded([tensor, weight], fn [x, weight] -> x |> sized(eps, & &1) |> Nx.multiply(weight) end)
  end

  def layer_norm(%Fast.LayerNorm{eps: eps}, tensor, weight, bias) do
    rounded([tensor, weight, bias], fn [x, weight, bias] ->
      x |> sized(eps, &Nx.subtract(&1, mean(&1))) |> Nx.multiply(weight) |> Nx.add(bias)
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

  # Heads that share one of keys are rows of one matrix.
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
      shares = Nx.divide(powers, Nx.sum(powers, axes: [3], keep_axes: true))

      shares[[.., .., .., 0..(keys - 1)]]
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

  defp nameless(tensor), do: Nx.rename(tensor, List.duplicate(nil, Nx.rank(tensor)))

  # Rows over the root of their mean square. Elements are taken as parts of the largest, or of the root
  # of eps where that is larger, so that no square overflows.
  defp sized(x, eps, adjust) do
    # A number would be an f32 in Nx, also beside an f64.
    root = Nx.tensor(:math.sqrt(eps), type: x.type)
    scale = x |> Nx.abs() |> Nx.reduce_max(axes: [-1], keep_axes: true) |> Nx.max(root)
    scale = constant(Nx.select(Nx.is_infinity(scale), 1, scale))
    parts = x |> Nx.divide(scale) |> adjust.()
    # Beside a variance of 0 it counts, however small.
    least = if eps > 0, do: Nx.Constants.smallest_positive_normal(x.type), else: 0
    eps = root |> Nx.divide(scale) |> Nx.pow(2) |> Nx.max(least)
    Nx.divide(parts, parts |> Nx.pow(2) |> mean() |> Nx.add(eps) |> Nx.sqrt())
  end

  defp mean(x), do: Nx.mean(x, axes: [-1], keep_axes: true)

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

    tensors
    |> Enum.map(&(&1 |> Nx.as_type(type) |> Nx.as_type(wide(type))))
    |> fun.()
    |> Nx.as_type(type)
  end
end
