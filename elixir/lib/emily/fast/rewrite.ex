defmodule Emily.Fast.Rewrite do
  @moduledoc false
  # Puts `Emily.Fast`'s operations in the place of what is composed of Nx's, in a traced expression.
  #
  # A pattern is a module of this behaviour. It looks at what is computed, never at who wrote it, and every number
  # it needs has to stand in the expression. What lies between node and inputs is left out, so nothing there may be
  # of use to anyone else, but for what is below `shared`: that is checked here, for all patterns.
  #
  # The tree is walked from its results: what a larger pattern takes, no smaller one sees.

  alias Emily.Graph
  alias Emily.Fast.Rewrite.{Attention, Expression, LayerNorm, RmsNorm, Rope, Softmax}
  alias Nx.Defn.{Composite, Expr, Tree}
  alias Nx.Tensor, as: T

  @patterns [
    layer_norm: LayerNorm,
    rms_norm: RmsNorm,
    rope: Rope,
    scaled_dot_product_attention: Attention,
    softmax: Softmax
  ]

  @typedoc "The node is what `build` makes of `inputs`, nodes below it."
  @type match :: %{
          required(:inputs) => [T.t()],
          required(:build) => ([T.t()] -> T.t()),
          optional(:shared) => [T.t()]
        }

  @doc "Whether a node is of the pattern."
  @callback match(T.t()) :: {:ok, match()} | :error

  # What is there at no cost, or is the same wherever it is asked for.
  @leaves [:constant, :tensor, :parameter]

  @doc "The expression rewritten, and how many nodes of each kind were."
  @spec run(Nx.Container.t()) :: {Nx.Container.t(), %{atom() => non_neg_integer()}}
  def run(expression) do
    state = %{
      users: users(expression),
      done: %{},
      counts: Map.new(@patterns, fn {kind, _} -> {kind, 0} end)
    }

    {rewritten, state} =
      Nx.with_default_backend(Expr, fn ->
        Composite.traverse(expression, state, fn tensor, state ->
          {rewritten, state} = tensor |> Nx.devectorize() |> rewrite(state)
          {%{tensor | data: rewritten.data}, state}
        end)
      end)

    {rewritten, state.counts}
  end

  defp rewrite(%T{data: %Expr{op: op}} = tensor, state) when op in @leaves, do: {tensor, state}

  defp rewrite(node, state), do: Graph.once(node, state, &replace/2)

  defp replace(tensor, state) do
    case Enum.find_value(@patterns, &match(&1, tensor, state.users)) do
      nil ->
        {args, state} = Tree.apply_args(tensor, scope(tensor), state, &rewrite/2)
        {Tree.put_args(tensor, args), state}

      {kind, inputs, build} ->
        {inputs, state} = Enum.map_reduce(inputs, state, &rewrite/2)
        rewritten = %T{} = build.(inputs)
        check!(kind, rewritten, tensor)
        {rewritten, update_in(state.counts[kind], &(&1 + 1))}
    end
  end

  defp check!(_kind, %T{type: type, shape: shape}, %T{type: type, shape: shape}), do: :ok

  defp check!(kind, rewritten, tensor) do
    [rewritten, tensor] = for tensor <- [rewritten, tensor], do: inspect(Nx.to_template(tensor))

    raise "a fault of Emily: fast: true made #{rewritten} by #{kind} of what is #{tensor}; " <>
            "compile without it, and please report this"
  end

  # A block is evaluated by its arguments and its callback: what that traced to is for gradients.
  defp scope(%T{data: %Expr{op: :block}}), do: :scope
  defp scope(_tensor), do: :all

  defp match({kind, pattern}, tensor, users) do
    with {:ok, match} <- pattern.match(tensor),
         true <- own?(tensor, match.inputs ++ Map.get(match, :shared, []), users) do
      {kind, match.inputs, match.build}
    else
      _ -> nil
    end
  end

  # Whether what is computed between these nodes and this one is used for this one alone.
  defp own?(tensor, given, users) do
    given = MapSet.new(given, &(&1 |> Expression.bare() |> Expression.id()))
    root = Expression.id(tensor)
    between = tensor |> args() |> Enum.reduce(%{root => true}, &between(&1, given, &2))

    Enum.all?(Map.delete(between, root), fn {id, _} ->
      Enum.all?(Map.fetch!(users, id), &is_map_key(between, &1))
    end)
  end

  defp between(%T{data: %Expr{id: id}} = tensor, given, seen) do
    if is_map_key(seen, id) or given?(tensor, given) do
      seen
    else
      tensor |> args() |> Enum.reduce(Map.put(seen, id, true), &between(&1, given, &2))
    end
  end

  defp given?(%T{data: %Expr{op: op}}, _given) when op in @leaves, do: true

  defp given?(%T{data: %Expr{id: id}} = tensor, given) do
    id in given or (Expression.view?(tensor) and Enum.all?(args(tensor), &given?(&1, given)))
  end

  # The nodes that use each node, by ids; `:result` for who asked for the expression.
  defp users(expression) do
    {users, _seen} = Composite.reduce(expression, {%{}, %{}}, &used(&1, :result, &2))
    users
  end

  defp used(%T{data: %Expr{op: op}}, _by, acc) when op in @leaves, do: acc

  defp used(%T{data: %Expr{op: :metadata, args: [%T{} = inner, _]}}, by, acc) do
    used(inner, by, acc)
  end

  defp used(%T{data: %Expr{id: id}} = tensor, by, {users, seen}) do
    users = Map.update(users, id, [by], &[by | &1])

    if is_map_key(seen, id) do
      {users, seen}
    else
      tensor |> args() |> Enum.reduce({users, Map.put(seen, id, true)}, &used(&1, id, &2))
    end
  end

  defp args(tensor) do
    collect = fn
      %T{data: %Expr{}} = arg, args -> {arg, [Expression.bare(arg) | args]}
      other, args -> {other, args}
    end

    {_args, collected} = Tree.apply_args(tensor, scope(tensor), [], collect)
    collected
  end
end
