defmodule Emily.Fast.Rewrite.RmsNorm do
  @moduledoc false
  # `x / sqrt(mean(x^2) + eps) * weight`, of floats, along the last axis; with or without the weight.

  @behaviour Emily.Fast.Rewrite

  import Emily.Fast.Rewrite.Expression

  alias Emily.Fast.Rewrite.Norm
  alias Nx.Defn.Expr
  alias Nx.Tensor, as: T

  @impl true
  def match(%T{data: %Expr{op: op}} = root) when op in [:multiply, :divide] do
    with {:ok, x, eps, weights} <- Norm.parts(root, &mean_square/1, &same?(operand(&1), &2)),
         true <- x.shape == root.shape and Enum.all?(weights, &Norm.vector?(&1, x)),
         weights = Enum.map(weights, &unreshaped_operand/1),
         {:ok, cast} <- typed([x | weights], root.type) do
      {:ok,
       %{
         inputs: [x | weights],
         build: fn inputs ->
           [x | weights] = cast.(inputs)
           weight = Norm.vector(weights, Nx.axis_size(x, -1), 1, x.type)
           Emily.Fast.rms_norm(x, weight, eps: eps)
         end
       }}
    else
      _ -> :error
    end
  end

  def match(_root), do: :error

  defp mean_square(tensor) do
    with {:ok, square} <- mean(tensor), {:ok, x} <- square(square), do: {:ok, operand(x)}
  end
end
