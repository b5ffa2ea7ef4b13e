defmodule Emily.Fast.Rewrite.LayerNorm do
  @moduledoc false
  # `(x - mean(x)) / sqrt(variance(x) + eps) * weight + bias`, of floats, along the last axis; with or
  # without weight and bias. The variance is over the number of elements.

  @behaviour Emily.Fast.Rewrite

  import Emily.Fast.Rewrite.Expression

  alias Emily.Fast.Rewrite.Norm
  alias Nx.Defn.Expr
  alias Nx.Tensor, as: T

  @impl true
  def match(%T{data: %Expr{op: :add, args: args}} = root) do
    either_way(args, &match(root, &1, [&2]))
  end

  def match(%T{data: %Expr{op: op}} = root) when op in [:multiply, :divide] do
    match(root, root, [])
  end

  def match(_root), do: :error

  defp match(root, product, bias) do
    with {:ok, x, eps, weights} <- Norm.parts(product, &variance/1, &centered?/2),
         true <- x.shape == root.shape and Enum.all?(weights ++ bias, &Norm.vector?(&1, x)),
         [weights, bias] =
           for(vectors <- [weights, bias], do: Enum.map(vectors, &unreshaped_operand/1)),
         {:ok, cast} <- typed([x | weights ++ bias], root.type) do
      {:ok,
       %{
         inputs: [x | weights ++ bias],
         build: fn inputs ->
           [x | vectors] = cast.(inputs)
           {weights, bias} = Enum.split(vectors, length(weights))
           length = Nx.axis_size(x, -1)
           weight = Norm.vector(weights, length, 1, x.type)
           bias = Norm.vector(bias, length, 0, x.type)
           Emily.Fast.layer_norm(x, weight, bias, eps: eps)
         end
       }}
    else
      _ -> :error
    end
  end

  defp variance(tensor) do
    with {:ok, square} <- mean(tensor), {:ok, centered} <- square(square), do: centered(centered)
  end

  defp centered?(tensor, x) do
    case centered(tensor) do
      {:ok, y} -> same?(x, y)
      :error -> false
    end
  end

  defp centered(tensor), do: less(tensor, &mean/1)
end
