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
  def any?(expressions, state), do: first(expressions, state) != nil

  @doc "The operation of the first of those nodes, or `nil`."
  def first(expressions, state) do
    {found, _seen} = Enum.reduce(tensors(expressions), {nil, %{}}, &look(&1, &2, state))
    found
  end

  defp look(%T{data: %Expr{id: id, op: op}} = tensor, {nil, seen}, state) do
    cond do
      is_map_key(seen, id) ->
        {nil, seen}

      Lowering.known(id, state) != :error ->
        {nil, seen}

      elixir?(tensor, state.hooks) ->
        {op, seen}

      true ->
        tensor |> within() |> Enum.reduce({nil, Map.put(seen, id, true)}, &look(&1, &2, state))
    end
  end

  defp look(_other, acc, _state), do: acc

  @doc "The nodes in these expressions that are the outer scopes' and need Elixir, in their order."
  def outer(expressions, state), do: found(expressions, Lowering.scope(state).own, state)

  @doc "Those of them that the scope computes whatever branches are taken."
  def certain(expressions, state) do
    case outer(expressions, state) do
      [] -> []
      _some -> found(expressions, computed(Lowering.scope(state).roots), state)
    end
  end

  # The nodes among these that need Elixir.
  defp found(expressions, among, state) do
    {found, _seen} = Enum.reduce(tensors(expressions), {[], %{}}, &found(&1, &2, among, state))
    Enum.reverse(found)
  end

  defp found(%T{data: %Expr{id: id, op: op}} = tensor, {found, seen}, among, state) do
    cond do
      op == :constant or is_map_key(seen, id) or Lowering.known(id, state) != :error ->
        {found, seen}

      is_map_key(among, id) ->
        seen = Map.put(seen, id, true)
        if any?([tensor], state), do: {[tensor | found], seen}, else: {found, seen}

      true ->
        seen = Map.put(seen, id, true)
        tensor |> within() |> Enum.reduce({found, seen}, &found(&1, &2, among, state))
    end
  end

  defp found(_other, acc, _among, _state), do: acc

  # What is computed for these in any case: of a conditional the first predicate.
  defp computed(roots) do
    Composite.reduce(roots, %{}, &computed/2)
  end

  defp computed(%T{data: %Expr{id: id}}, ids) when is_map_key(ids, id), do: ids

  defp computed(
         %T{data: %Expr{id: id, op: :cond, args: [[{pred, _body} | _clauses], _last]}},
         ids
       ),
       do: computed(pred, Map.put(ids, id, true))

  defp computed(%T{data: %Expr{id: id}} = tensor, ids) do
    {_args, ids} =
      Tree.apply_args(tensor, :scope, Map.put(ids, id, true), &{&1, computed(&1, &2)})

    ids
  end

  defp computed(_other, ids), do: ids

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
