defmodule Emily.Compiler.Lowering do
  @moduledoc false
  # From a traced expression to a plan.
  #
  # The expression is walked once, as `Nx.Defn.Evaluator` would at each call. Ordinary nodes call `Emily.Backend`, whose
  # operations are written down (`Emily.Compiler.Recorder`). What only Elixir can do ends a segment, and the next one
  # begins after it. A node belongs to the outermost scope that uses it, and is written there the first time that
  # anything needs it.

  alias Emily.{Backend, Native, Reply}
  alias Emily.Backend.{Block, Type}
  alias Emily.Compiler.{Plan, Recorder, Value}
  alias Emily.Compiler.Lowering.{Needs, Outside}
  alias Nx.Defn.{Composite, Expr, Tree}
  alias Nx.Tensor, as: T

  @creation [:eye, :iota]

  @doc """
  The plan for a devectorized expression: its results are the leaves in order.

  `hooks` replace named ones; `options` are the backend's. Raises where the expression has something that cannot be
  written down, as a call that would be an error whenever it is made; throws `{:walk, why}` where a plan would call
  what may not be needed.
  """
  def lower(expression, hooks, options) do
    {plan, segments} =
      Recorder.record(options[:device] || :cpu, fn ->
        state = %{scopes: %{}, plans: %{}, at: nil, hooks: hooks, options: options}
        {plan, _state} = plan(expression, root(expression), state)
        plan
      end)

    compiled(plan, segments)
  end

  ## Scopes

  # A scope knows its values by their expressions' ids, and those that are its own. Its place is a plan, or a level of a
  # segment. Its roots are what is computed of it in any case.
  defp root(expression) do
    own = Tree.scope_ids(expression)
    %{parent: nil, own: own, roots: expression, known: %{}, params: :root, place: nil}
  end

  # Runs `fun` in a new scope.
  defp within(scope, state, fun) do
    number = map_size(state.scopes)
    outside = state.at
    state = %{state | scopes: Map.put(state.scopes, number, scope), at: number}
    {result, state} = fun.(state)
    {result, %{state | at: outside}}
  end

  @doc false
  def scope(state), do: Map.fetch!(state.scopes, state.at)

  # The scopes from this one outwards.
  defp outwards(nil, _state), do: []
  defp outwards(number, state), do: [number | outwards(state.scopes[number].parent, state)]

  @doc false
  def known(id, state) do
    Enum.find_value(outwards(state.at, state), :error, fn number ->
      case state.scopes[number].known do
        %{^id => value} -> {:ok, value}
        %{} -> nil
      end
    end)
  end

  # The outermost scope whose own it is, of those that are branches within each other.
  @doc false
  def owner(id, state), do: owner(id, state.at, state.at, state)

  defp owner(id, number, found, state) do
    scope = state.scopes[number]
    found = if is_map_key(scope.own, id), do: number, else: found
    if scope[:branch], do: owner(id, scope.parent, found, state), else: found
  end

  defp remember(id, value, number, state) do
    put_in(state.scopes[number].known[id], value)
  end

  # Runs `fun` with nodes going to where this scope's go.
  defp in_scope(number, state, fun) do
    outside = state.at
    state = %{state | at: number}
    {place, state} = place(state)
    {result, state} = Recorder.at(place, fn -> fun.(state) end)
    {result, %{state | at: outside}}
  end

  defp place(state) do
    case scope(state).place do
      {:plan, number} ->
        case state.plans[number] do
          %{open: nil, steps: steps} ->
            segment = Recorder.open()
            plan = %{open: segment, steps: [{:program, segment} | steps]}
            {{segment, 0}, put_in(state.plans[number], plan)}

          %{open: segment} ->
            {{segment, 0}, state}
        end

      {segment, level} ->
        {{segment, level}, state}
    end
  end

  ## Plans

  # A plan of its own: the values of a container, in a list.
  defp plan(container, scope, state) do
    {number, state} = new_plan(state)
    scope = %{scope | place: {:plan, number}}

    within(scope, state, fn state ->
      {container, state} = composite(container, state)
      results = leaves(container)
      Enum.each(results, &Recorder.export/1)
      {written(number, results, state), state}
    end)
  end

  defp new_plan(state) do
    number = Recorder.number()
    {number, emptied(number, state)}
  end

  defp emptied(number, state), do: put_in(state.plans[number], %{open: nil, steps: []})

  defp written(number, results, state) do
    %Plan{steps: Enum.reverse(state.plans[number].steps), results: results}
  end

  # Ends the open segment with a step of Elixir's: of so many results like these.
  defp step(reason, args, fun, templates, state) do
    number = Recorder.number()
    export(args)
    state = add_step({:elixir, number, reason, args, fun}, state)
    {values(number, templates), state}
  end

  defp add_step(step, state) do
    {:plan, plan} = scope(state).place
    steps = [step | state.plans[plan].steps]
    put_in(state.plans[plan], %{open: nil, steps: steps})
  end

  defp export(args) when is_list(args), do: Enum.each(args, &export/1)

  defp export({:container, container}) do
    Composite.reduce(container, :ok, fn tensor, :ok -> Recorder.export(tensor) end)
  end

  defp export(other), do: Recorder.export(other)

  # A step's results.
  defp values(of, templates), do: values(of, 0..(length(templates) - 1)//1, templates)

  defp values(of, ids, templates) do
    for {template, id} <- Enum.zip(templates, ids), do: symbolic(template, of, id)
  end

  defp symbolic(template, of, id) do
    %{template | data: %Backend{ref: %Value{of: of, id: id}, device: :cpu, f64: true}}
  end

  defp leaves(container), do: Composite.flatten_list([container])

  ## Nodes

  defp composite(container, state), do: Composite.traverse(container, state, &value/2)

  @doc false
  def value(%T{data: %Expr{op: :metadata, args: [inner, _metadata]}}, state) do
    composite(inner, state)
  end

  def value(%T{data: %Expr{op: :tensor, args: [tensor]}}, state), do: {tensor, state}

  def value(%T{data: %Expr{op: :constant, args: [number]}} = tensor, state) do
    in_scope(state.at, state, fn state ->
      {Backend.constant(bare(tensor), number, []), state}
    end)
  end

  def value(%T{data: %Expr{id: id}} = tensor, state) do
    case known(id, state) do
      {:ok, value} ->
        {value, state}

      :error ->
        owner = owner(id, state)
        outside = state.at
        {value, state} = node(tensor, %{state | at: owner})
        {value, remember(id, value, owner, %{state | at: outside})}
    end
  end

  defp bare(tensor), do: Nx.to_template(tensor)

  defp node(%T{data: %Expr{op: :parameter, args: [index]}} = tensor, state) do
    case params(state.at, state) do
      :root -> {symbolic(bare(tensor), :parameter, index), state}
      values -> {Enum.fetch!(values, index), state}
    end
  end

  defp node(%T{data: %Expr{op: :elem, args: [tuple, index]}}, state) do
    {tuple, state} = composite(tuple, state)
    {elem(tuple, index), state}
  end

  defp node(%T{data: %Expr{op: :cond, args: [clauses, last]}} = tensor, state) do
    state = prepare([clauses, last], state)

    {results, state} =
      if walked?([clauses, last], state),
        do: walked_cond(clauses, last, state),
        else: branches(clauses, last, state)

    {whole(results, tensor), state}
  end

  defp node(%T{data: %Expr{op: :while, args: [initial, _arg, pred, body]}} = tensor, state) do
    {initial, state} = composite(initial, state)
    initial = leaves(initial)

    {results, state} =
      if walked?([pred, body], state),
        do: walked_while(initial, pred, body, state),
        else: loop(initial, pred, body, state)

    {whole(results, tensor), state}
  end

  defp node(%T{data: %Expr{op: :block, args: [struct, in_args, default, _fun]}} = tensor, state) do
    {tensors, options} = Enum.split_while(in_args, &(not is_list(&1)))
    {tensors, state} = Enum.map_reduce(tensors, state, &value/2)

    out =
      case tensor do
        %T{type: {:tuple, _size}} -> Nx.to_template(default)
        _one -> bare(tensor)
      end

    if Block.native?(struct, tensors) do
      in_scope(state.at, state, fn state ->
        {Block.native(struct, out, tensors ++ options), state}
      end)
    else
      in_scope(state.at, state, fn state -> {Block.note_default(struct, tensors), state} end)
      |> elem(1)
      |> inline(default, tensors)
    end
  end

  defp node(%T{data: %Expr{op: op, args: args}} = tensor, state) do
    cond do
      Needs.elixir?(tensor, state.hooks) -> outside(tensor, state)
      Needs.call?(op) -> through(args, tensor, state)
      true -> ordinary(tensor, state)
    end
  end

  # A call of Elixir's without a function: the value goes through.
  defp through([value | _rest], tensor, state) do
    {value, state} = composite(value, state)
    {whole(leaves(value), tensor), state}
  end

  # A call that only Elixir can make.
  defp outside(tensor, state) do
    {reason, args, fun, templates} = Outside.call(tensor, state.hooks)
    {args, state} = Enum.map_reduce(args, state, &argument/2)

    case templates do
      :same ->
        {_none, state} = step(reason, args, fun, [], state)
        [{:container, value} | _rest] = args
        {whole(leaves(value), tensor), state}

      templates ->
        {results, state} = step(reason, args, fun, templates, state)
        {whole(results, tensor), state}
    end
  end

  defp argument({:container, container}, state) do
    {container, state} = composite(container, state)
    {{:container, container}, state}
  end

  defp argument(%T{data: %Expr{}} = tensor, state), do: value(tensor, state)
  defp argument(other, state), do: {other, state}

  # As Nx.Defn.Evaluator calls a backend.
  defp ordinary(%T{data: %Expr{op: op}} = tensor, state) do
    {args, state} = Tree.apply_args(tensor, state, &value/2)

    args =
      cond do
        op in @creation -> [bare(tensor) | args] ++ [[]]
        match?({:tuple, _size}, tensor.type) -> args
        true -> [bare(tensor) | args]
      end

    in_scope(state.at, state, fn state -> {apply(Backend, op, args), state} end)
  end

  # A default expression, of whose parameters these are the values.
  defp inline(state, default, values) do
    scope = %{
      parent: state.at,
      own: Tree.scope_ids(default),
      roots: default,
      known: %{},
      params: values,
      place: scope(state).place
    }

    within(scope, state, &composite(default, &1))
  end

  defp params(number, state) do
    case state.scopes[number] do
      %{params: nil, parent: parent} -> params(parent, state)
      %{params: params} -> params
    end
  end

  defp whole(results, %T{type: {:tuple, _size}}), do: List.to_tuple(results)
  defp whole([result], %T{}), do: result

  ## Branches and loops

  # What of the outer scopes' needs Elixir comes first, so that the branches need not be walked for it. What may not be
  # needed at all is not called, and a plan has no place for a call that the first of several branches makes.
  defp prepare(expressions, state) do
    state =
      for tensor <- Needs.certain(expressions, state), reduce: state do
        state -> tensor |> value(state) |> elem(1)
      end

    case Needs.outer(expressions, state) do
      [] -> state
      needless -> throw({:walk, "#{Needs.first(needless, state)} is used in branches alone"})
    end
  end

  defp walked?(expressions, state) do
    match?({:plan, _number}, scope(state).place) and Needs.any?(expressions, state)
  end

  defp branch(state, place, expression) do
    own = Tree.scope_ids(expression, scope(state).own)
    scope = %{parent: state.at, own: own, roots: expression, known: %{}, params: nil}
    Map.merge(scope, %{place: place, branch: true})
  end

  defp branches([{pred, body} | clauses], last, state) do
    {pred, state} = value(pred, state)
    {{segment, level}, state} = place(state)

    Recorder.at({segment, level}, fn ->
      scope = &branch(state, {segment, level + 1}, &1)
      {then, {templates, state}} = region(state, scope.(body), &composite(body, &1))

      {otherwise, {_templates, state}} =
        case clauses do
          [] -> region(state, scope.(last), &composite(last, &1))
          [{pred, _body} | _rest] -> region(state, scope.(pred), &nested(clauses, last, &1))
        end

      ids = Recorder.fresh(length(templates))
      Recorder.append({ids, :if, Recorder.operand(pred), then, otherwise})

      {values(segment, ids, templates), state}
    end)
  end

  defp nested(clauses, last, state) do
    {results, state} = branches(clauses, last, state)
    {List.to_tuple(results), state}
  end

  # A region, and the templates of its results. Its scope's own are what it computes in any case.
  defp region(state, scope, fun) do
    Recorder.region(fn ->
      {container, state} = within(scope, state, fun)
      results = leaves(container)
      operands = Enum.map(results, &Recorder.operand/1)
      {operands, {Enum.map(results, &Nx.to_template/1), state}}
    end)
  end

  defp loop(initial, pred, body, state) do
    {{segment, level}, state} = place(state)

    Recorder.at({segment, level}, fn ->
      templates = Enum.map(initial, &Nx.to_template/1)
      operands = Enum.map(initial, &Recorder.operand/1)
      ids = Recorder.fresh(length(initial))

      scope = %{
        parent: state.at,
        own: Tree.scope_ids({pred, body}),
        roots: pred,
        known: %{},
        params: values(segment, ids, templates),
        place: {segment, level + 1}
      }

      # One scope: the body sees what the condition computed.
      {regions, state} =
        within(scope, state, fn state ->
          inside = fn state, expression ->
            Recorder.region(fn ->
              {container, state} = composite(expression, state)
              {Enum.map(leaves(container), fn tensor -> Recorder.operand(tensor) end), state}
            end)
          end

          {condition, state} = inside.(state, pred)
          {body, state} = inside.(state, body)
          {{condition, body}, state}
        end)

      {condition, body} = regions
      results = Recorder.fresh(length(initial))
      Recorder.append({results, :while, operands, ids, condition, body})
      {values(segment, results, templates), state}
    end)
  end

  # In Elixir, as what is within needs it.
  defp walked_cond([{pred, body} | clauses], last, state) do
    {pred, state} = value(pred, state)
    {then, state} = plan(body, branch(state, nil, body), state)

    {otherwise, state} =
      case clauses do
        [] -> plan(last, branch(state, nil, last), state)
        clauses -> else_plan(clauses, last, state)
      end

    Recorder.export(pred)
    number = Recorder.number()
    templates = Enum.map(then.results, &Nx.to_template/1)
    {values(number, templates), add_step({:cond, number, pred, then, otherwise}, state)}
  end

  defp else_plan([{pred, _body} | _rest] = clauses, last, state) do
    {number, state} = new_plan(state)
    scope = branch(state, {:plan, number}, pred)

    within(scope, state, fn state ->
      {results, state} = walked_cond(clauses, last, state)
      {written(number, results, state), state}
    end)
  end

  defp walked_while(initial, pred, body, state) do
    number = Recorder.number()
    Enum.each(initial, &Recorder.export/1)
    templates = Enum.map(initial, &Nx.to_template/1)
    {plan, state} = new_plan(state)

    scope = %{
      parent: state.at,
      own: Tree.scope_ids({pred, body}),
      roots: pred,
      known: %{},
      params: values(number, templates),
      place: {:plan, plan}
    }

    {{condition, body}, state} =
      within(scope, state, fn state ->
        {pred, state} = value(pred, state)
        Recorder.export(pred)
        condition = written(plan, pred, state)
        state = put_in(state.scopes[state.at].roots, {pred, body})
        {next, state} = composite(body, emptied(plan, state))
        next = leaves(next)
        Enum.each(next, &Recorder.export/1)
        {{condition, written(plan, next, state)}, state}
      end)

    {values(number, templates), add_step({:while, number, initial, condition, body}, state)}
  end

  ## Programs

  defp compiled(%Plan{steps: steps} = plan, segments) do
    %{plan | steps: Enum.flat_map(steps, &compiled_step(&1, segments))}
  end

  defp compiled_step({:program, number}, segments) do
    case segments[number] do
      # What nobody needs.
      %{exports: []} -> []
      segment -> [program(number, segment)]
    end
  end

  defp compiled_step({:cond, number, predicate, then, otherwise}, segments) do
    [{:cond, number, predicate, compiled(then, segments), compiled(otherwise, segments)}]
  end

  defp compiled_step({:while, number, initial, condition, body}, segments) do
    [{:while, number, initial, compiled(condition, segments), compiled(body, segments)}]
  end

  defp compiled_step(step, _segments), do: [step]

  defp program(number, segment) do
    inputs = Enum.reverse(segment.inputs)
    constants = Enum.reverse(segment.constants)
    exports = Enum.reverse(segment.exports)
    first = length(inputs)
    places = for {{place, _}, index} <- Enum.with_index(constants), into: %{}, do: {place, index}
    offsets = {first, places}
    region = {Enum.reverse(segment.levels[0]), Enum.map(exports, &elem(&1, 0))}
    parameters = for input <- inputs, do: {Type.to_dtype!(input.type, true), input.shape}
    constants = for {_place, constant} <- constants, do: constant
    program = Reply.ok!(Native.compile_program({parameters, constants, placed(region, offsets)}))
    {:program, number, program, inputs, exports, Enum.reverse(segment.notes)}
  end

  # With numbers for inputs and constants, which come first.
  defp placed({nodes, results}, offsets) do
    {Enum.map(nodes, &placed_node(&1, offsets)), ids(results, offsets)}
  end

  defp placed_node({results, op, attrs, operands}, offsets) do
    {ids(results, offsets), op, attrs, ids(operands, offsets)}
  end

  defp placed_node({results, :if, predicate, then, otherwise}, offsets) do
    [predicate] = ids([predicate], offsets)
    {ids(results, offsets), :if, predicate, placed(then, offsets), placed(otherwise, offsets)}
  end

  defp placed_node({results, :while, initial, state, condition, body}, offsets) do
    {ids(results, offsets), :while, ids(initial, offsets), ids(state, offsets),
     placed(condition, offsets), placed(body, offsets)}
  end

  defp ids(ids, {inputs, places}) do
    Enum.map(ids, fn
      {:input, place} -> place
      {:constant, place} -> inputs + Map.fetch!(places, place)
      id -> inputs + map_size(places) + id
    end)
  end
end
