defmodule Emily.Compiler.Copyable do
  @moduledoc false
  # A traced expression is a graph whose nodes share operands. In a copy for another process, as `Nx.Serving`
  # makes of a compiled function for each batch, nothing is shared: it has a node for each path through the
  # graph, and soon more than there is memory for. `Nx.Defn.Evaluator` keeps operands in a table instead, by
  # id, but two kinds of nodes whole. They are given other forms here:
  #
  #   * what a token's hook is called with becomes an operand of the hook;
  #   * a block's default expression becomes a template, since only its shapes and types are asked for.

  alias Nx.Defn.{Composite, Expr, Tree}
  alias Nx.Tensor, as: T

  @doc "The expression in the other forms; `hooks` are the functions that replace named ones."
  @spec copyable(Nx.Container.t(), %{atom() => function()}) :: Nx.Container.t()
  def copyable(expression, hooks) do
    {expression, _seen} = Composite.traverse(expression, %{}, &node(&1, &2, hooks))
    expression
  end

  # Tensors of one id may have different names, so only what is computed is kept.
  defp node(%T{data: %Expr{id: id}} = tensor, seen, hooks) do
    case seen do
      %{^id => data} ->
        {%{tensor | data: data}, seen}

      %{} ->
        {data, seen} = data(tensor, seen, hooks)
        {%{tensor | data: data}, Map.put(seen, id, data)}
    end
  end

  defp data(%T{data: %Expr{op: :hook} = data} = tensor, seen, hooks) do
    {args, seen} = Tree.apply_args(tensor, seen, &node(&1, &2, hooks))

    case args do
      [value, {:token_hook, hooked, name}, template, ref] ->
        {hook(data, value, hooked, function(name, hooks), template, ref), seen}

      _other ->
        {%{data | args: args}, seen}
    end
  end

  defp data(%T{data: %Expr{op: :block, args: [block, in_args, default, fun]} = data}, seen, hooks) do
    {in_args, seen} =
      Enum.map_reduce(in_args, seen, fn
        %T{data: %Expr{}} = arg, seen -> node(arg, seen, hooks)
        arg, seen -> {arg, seen}
      end)

    {%{data | args: [block, in_args, Nx.to_template(default), fun]}, seen}
  end

  defp data(%T{data: data} = tensor, seen, hooks) do
    {args, seen} = Tree.apply_args(tensor, seen, &node(&1, &2, hooks))
    {%{data | args: args}, seen}
  end

  defp function({:named, name, default}, hooks), do: hooks[name] || default
  defp function({:fn, function}, _hooks), do: function

  # The hook's results are its operand's leaves in order: the value's come first, as before.
  defp hook(data, value, _hooked, nil, template, ref) do
    %{data | args: [value, {:fn, &Function.identity/1}, template, ref]}
  end

  defp hook(data, value, hooked, function, %T{} = template, ref) do
    args = [{value, hooked}, only_hooked(function), {template}, ref]
    both = %T{type: {:tuple, 1}, shape: {}, names: [], data: %{data | id: Expr.id(), args: args}}
    %{data | op: :elem, args: [both, 0]}
  end

  defp hook(data, value, hooked, function, template, ref) do
    %{data | args: [{value, hooked}, only_hooked(function), template, ref]}
  end

  defp only_hooked(function), do: {:fn, fn {_value, hooked} -> function.(hooked) end}
end
