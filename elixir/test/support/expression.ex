defmodule Emily.Expression do
  @moduledoc """
  What `defn` makes of a function.
  """

  @doc "The number of operations in the function's expression, each of which rounds."
  @spec operations(function(), [term()]) :: pos_integer()
  def operations(fun, args) do
    fun |> Nx.Defn.debug_expr() |> apply(args) |> count(%{}) |> map_size()
  end

  defp count(%Nx.Tensor{data: %Nx.Defn.Expr{id: id}} = tensor, seen) do
    if Map.has_key?(seen, id) do
      seen
    else
      {_args, seen} =
        Nx.Defn.Tree.apply_args(tensor, Map.put(seen, id, true), &{&1, count(&1, &2)})

      seen
    end
  end

  defp count(tuple, seen) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> count(seen)
  defp count(list, seen) when is_list(list), do: Enum.reduce(list, seen, &count/2)
  defp count(_other, seen), do: seen
end
