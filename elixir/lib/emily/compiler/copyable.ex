defmodule Emily.Compiler.Copyable do
  @moduledoc false
  # A traced expression is a graph whose nodes share operands. In a copy for another process, as `Nx.Serving`
  # makes of a compiled function for each batch, nothing is shared: it has a node for each path through the
  # graph, and soon more than there is memory for. `Nx.Defn.Evaluator` keeps operands in a table instead, by
  # id, but two kinds of nodes whole. They are given other forms here:
  #
  #   * what a token's hook is called with becomes an operand of the hook;
  #   * a block's default expression becomes a template, since only its shapes and types are asked for.

  alias Emily.Graph
  alias Nx.Defn.{Composite, Expr, Tree}
  alias Nx.Tensor, as: T

  @doc "The expression in the other forms; `hooks` are the functions that replace named ones."
  @spec copyable(Nx.Container.t(), %{atom() => function()}) :: Nx.Container.t()
  def copyable(expression, hooks) do
    {expression, _state} = Composite.traverse(expression, %{done: %{}, hooks: hooks}, &node/2)
    expression
  end

  defp node(node, state), do: Graph.once(node, state, &reformed/2)

  defp reformed(%T{data: %Expr{op: :hook} = data} = tensor, state) do
    {args, state} = Tree.apply_args(tensor, state, &node/2)

    case args do
      [value, {:token_hook, hooked, name}, template, ref] ->
        data = hook(data, value, hooked, function(name, state.hooks), template, ref)
        {%{tensor | data: data}, state}

      _other ->
        {with_args(tensor, args), state}
    end
  end

  defp reformed(%T{data: %Expr{op: :block, args: [block, in_args, default, fun]}} = tensor, state) do
    {in_args, state} = Enum.map_reduce(in_args, state, &node/2)
    {with_args(tensor, [block, in_args, Nx.to_template(default), fun]), state}
  end

  defp reformed(tensor, state) do
    {args, state} = Tree.apply_args(tensor, state, &node/2)
    {with_args(tensor, args), state}
  end

  # The node that it was: of its id.
  defp with_args(tensor, args), do: put_in(tensor.data.args, args)

  defp function({:named, name, default}, hooks), do: hooks[name] || default
  defp function({:fn, function}, _hooks), do: function

  # Without a function the value goes through. With one, the operand is the pair of the value and what is hooked; the
  # hook's results are the operand's leaves in order, as many as the template has, and so the value's. A lone tensor is
  # then a tuple of one, of which the element is taken.
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
