defmodule Emily.Graph do
  @moduledoc false
  # A traced expression is a graph: nodes share operands, and an id tells a node.

  alias Nx.Defn.Expr
  alias Nx.Tensor, as: T

  @doc """
  What `fun` makes of a node and of the state, once for each id: `state.done` has what was made before. What else is
  among a node's arguments, as a block's options, stays.
  """
  @spec once(T.t() | term(), state, (T.t(), state -> {T.t(), state})) :: {T.t() | term(), state}
        when state: %{:done => map(), optional(atom()) => term()}
  def once(%T{data: %Expr{id: id}} = tensor, state, fun) do
    # Two tensors of one id may have different names: only what is computed is kept.
    case state.done do
      %{^id => data} ->
        {%{tensor | data: data}, state}

      %{} ->
        {%T{data: data}, state} = fun.(tensor, state)
        {%{tensor | data: data}, put_in(state.done[id], data)}
    end
  end

  def once(other, state, _fun), do: {other, state}
end
