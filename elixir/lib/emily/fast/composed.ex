defmodule Emily.Fast.Composed do
  @moduledoc false
  # The default functions of `Emily.Fast`'s blocks, made of Nx's: what another backend runs, and what a
  # gradient is derived from. As the native operations they compute in f32 at least, and round once.

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

  def gather_mm(%Fast.GatherMm{}, a, b, lhs_indices, rhs_indices) do
    type = Nx.Type.merge(a.type, b.type)
    # Cast to the type first, which may hold less than what is computed in.
    [a, b] =
      for t <- [a, b], do: t |> in_a_row() |> Nx.as_type(type) |> Nx.as_type(wide(type))

    a |> Nx.take(lhs_indices) |> product(Nx.take(b, rhs_indices), [-2]) |> Nx.as_type(type)
  end

  @doc false
  # The matrices of all leading axes, one after the other.
  def in_a_row(tensor) do
    {leading, own} = tensor |> Nx.shape() |> Tuple.to_list() |> Enum.split(-2)
    Nx.reshape(tensor, List.to_tuple([Enum.product(leading) | own]))
  end

  @doc false
  # The rows of matrices times the vectors along an axis of others, of leading axes that are broadcast: Nx's
  # batch axes are of one size.
  def product(a, b, inner) do
    [of_a, of_b] = for t <- [a, b], do: t |> Nx.shape() |> Tuple.to_list() |> Enum.drop(-2)
    rank = max(length(of_a), length(of_b))
    padded = for dims <- [of_a, of_b], do: List.duplicate(1, rank - length(dims)) ++ dims
    leading = Enum.zip_with(padded, fn [x, y] -> if x == 1, do: y, else: x end)
    axes = Enum.to_list(0..(length(leading) - 1)//1)
    Nx.dot(stretched(a, leading), [-1], axes, stretched(b, leading), inner, axes)
  end

  defp stretched(tensor, []), do: tensor

  defp stretched(tensor, leading) do
    own = tensor |> Nx.shape() |> Tuple.to_list() |> Enum.take(-2)
    Nx.broadcast(tensor, List.to_tuple(leading ++ own))
  end

  # Small floats are computed in f32.
  defp wide({class, 16}) when class in [:f, :bf], do: {:f, 32}
  defp wide(type), do: type

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
    type = Fast.type(tensors)
    wide = if type == {:f, 64}, do: type, else: {:f, 32}

    tensors
    |> Enum.map(&(&1 |> Nx.as_type(type) |> Nx.as_type(wide)))
    |> fun.()
    |> Nx.as_type(type)
  end
end
