defmodule Emily.Fast.Rewrite.Softmax do
  @moduledoc false
  # `exp(x - max(x)) / sum(exp(x - max(x)))`, of floats, along any axes.
  #
  # Without the maximum it is another function: it overflows. So it is of integers, whose differences wrap.

  @behaviour Emily.Fast.Rewrite

  import Emily.Fast.Rewrite.Expression

  alias Nx.Defn.Expr
  alias Nx.Tensor, as: T

  @impl true
  def match(%T{data: %Expr{op: op}} = root) when op in [:multiply, :divide] do
    with {:ok, x, axes} <- parts(root),
         {:ok, cast} <- typed([x], root.type) do
      {:ok,
       %{
         inputs: [x],
         build: fn [x] -> [x] |> cast.() |> hd() |> Emily.Fast.softmax(axes: axes) end
       }}
    end
  end

  def match(_root), do: :error

  @doc "What a node is the softmax of, and its axes."
  def parts(tensor) do
    with {[powers], [sum]} <- factors(tensor),
         {:ok, summed, axes} <- reduced(sum, :sum),
         {:ok, x} <- powers(powers, axes),
         {:ok, y} <- powers(summed, axes),
         true <- same?(x, y) and x.shape == tensor.shape do
      {:ok, x, axes}
    else
      _ -> :error
    end
  end

  defp powers(tensor, axes) do
    with {:exp, [difference]} <- op(tensor),
         {:ok, x} <- less(difference, &largest(&1, axes)),
         true <- float?(x) do
      {:ok, x}
    else
      _ -> :error
    end
  end

  defp largest(tensor, axes) do
    with {:ok, x, ^axes} <- reduced(tensor, :reduce_max), do: {:ok, x}
  end
end
