defmodule Emily.Compiler.Lowering.Needs do
  @moduledoc false
  # Which nodes of an expression only Elixir can do.

  alias Emily.Backend
  alias Emily.Backend.Block
  alias Emily.Compiler.Lowering
  alias Nx.Defn.{Composite, Expr, Tree}
  alias Nx.Tensor, as: T

  # Hooks are `:io_call` in later versions of Nx.
  @hooks [:hook, :io_call]
  @fallbacks Backend.fallbacks()

  @doc "Whether the node itself is Elixir's to do."
  def elixir?(%T{data: %Expr{op: :runtime_call}}, _hooks), do: true

  def elixir?(%T{data: %Expr{op: op, args: [_value, spec | _rest]}}, hooks) when op in @hooks do
    function(spec, hooks) != nil
  end

  def elixir?(%T{data: %Expr{op: op}}, _hooks), do: op in @fallbacks

  @doc "Whether the operation is a call of a function, if there is one."
  def call?(op), do: op in @hooks

  @doc "The function of a hook, or none."
  def function({:token_hook, _hooked, spec}, hooks), do: function(spec, hooks)
  def function({:named, name, default}, hooks), do: hooks[name] || default
  def function({:fn, function}, _hooks), do: function

  @doc "Whether any node that is not computed yet is Elixir's to do, in these expressions or deeper."
  def any?(expressions, state) do
    {found, _seen} = Enum.reduce(tensors(expressions), {false, %{}}, &look(&1, &2, state))
    found
  end

  defp look(_tensor, {true, seen}, _state), do: {true, seen}

  defp look(%T{data: %Expr{id: id}} = tensor, {false, seen}, state) do
    cond do
      is_map_key(seen, id) ->
        {false, seen}

      Lowering.known(id, state) != :error ->
        {false, seen}

      elixir?(tensor, state.hooks) ->
        {true, seen}

      true ->
        tensor |> within() |> Enum.reduce({false, Map.put(seen, id, true)}, &look(&1, &2, state))
    end
  end

  defp look(_other, acc, _state), do: acc

  @doc "The nodes in these expressions that are the outer scopes' and need Elixir, in their order."
  def outer(expressions, state) do
    {found, _seen} = Enum.reduce(tensors(expressions), {[], %{}}, &outer(&1, &2, state))
    Enum.reverse(found)
  end

  defp outer(%T{data: %Expr{id: id, op: op}} = tensor, {found, seen}, state) do
    cond do
      op == :constant or is_map_key(seen, id) or Lowering.known(id, state) != :error ->
        {found, seen}

      owned?(id, state) ->
        seen = Map.put(seen, id, true)
        if any?([tensor], state), do: {[tensor | found], seen}, else: {found, seen}

      true ->
        tensor |> within() |> Enum.reduce({found, Map.put(seen, id, true)}, &outer(&1, &2, state))
    end
  end

  defp outer(_other, acc, _state), do: acc

  defp owned?(id, state), do: is_map_key(Lowering.scope(state).own, id)

  # What a node is made of, deeper scopes too; of a block with an operation its operands alone.
  defp within(%T{data: %Expr{op: :block, args: [struct, in_args, default, _fun]}}) do
    operands = Enum.filter(in_args, &is_struct(&1, T))
    if Block.native?(struct, operands), do: operands, else: operands ++ tensors([default])
  end

  defp within(%T{} = tensor) do
    {_args, found} = Tree.apply_args(tensor, :all, [], fn arg, found -> {arg, [arg | found]} end)
    Enum.reverse(found)
  end

  defp tensors(expressions) do
    expressions
    |> List.wrap()
    |> Enum.flat_map(fn
      clauses when is_list(clauses) ->
        Enum.flat_map(clauses, fn {pred, body} -> [pred | tensors([body])] end)

      container ->
        [container] |> Composite.flatten_list()
    end)
  end
end
