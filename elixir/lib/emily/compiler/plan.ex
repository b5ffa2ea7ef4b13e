defmodule Emily.Compiler.Plan do
  @moduledoc false
  # What a function became: programs, and between them what only Elixir can do.
  #
  # Steps run in order, on values by their `Emily.Compiler.Value`. A plan within a step, a branch or a loop's body,
  # sees the values of the plan around it.

  alias Emily.{Backend, Native, Reply}
  alias Emily.Backend.Call
  alias Emily.Compiler.Value
  alias Nx.Tensor, as: T

  @enforce_keys [:steps, :results]
  defstruct [:steps, :results]

  @typedoc """
  A step:

    * `{:program, number, program, inputs, outputs, notes}` - a program; `outputs` are the numbers of what it gives, with
      their templates;
    * `{:elixir, number, reason, args, fun}` - `fun` is called with `args`, of which values are the tensors by then, and
      gives a list of tensors;
    * `{:cond, number, predicate, then, else}` and `{:while, number, initial, condition, body}` - of plans.
  """
  @type step :: tuple()
  @type t :: %__MODULE__{steps: [step()], results: term()}

  @doc "Runs the plan: its results, with tensors for values. `params` are functions that give the parameters."
  def run(%__MODULE__{} = plan, params, options, gc?) do
    context = %{params: List.to_tuple(params), options: options, gc: gc?}
    {results, _env} = run_plan(plan, %{}, context)
    results
  end

  defp run_plan(%__MODULE__{steps: steps, results: results}, env, context) do
    env = Enum.reduce(steps, env, &step(&1, &2, context))
    resolve(results, env, context)
  end

  defp step({:program, number, program, inputs, outputs, notes}, env, context) do
    {tensors, env} = resolve(inputs, env, context)
    lane = Call.lane(tensors, context.options)
    refs = Enum.map(tensors, &Call.ref(&1, lane))

    for {event, measurements, metadata} <- notes,
        do: :telemetry.execute(event, measurements, metadata)

    started = System.monotonic_time()

    results = Call.queue!(refs, fn -> run_program(lane, program, refs) end)
    duration = System.monotonic_time() - started
    :telemetry.execute([:emily, :program, :run], %{duration: duration}, %{device: lane.device})
    collect(context)

    outputs
    |> Enum.zip(results)
    |> Enum.reduce(env, fn {{id, template}, ref}, env ->
      Map.put(env, {number, id}, Call.wrap(template, ref, lane))
    end)
  end

  defp step({:elixir, number, _reason, args, fun}, env, context) do
    {args, env} = resolve(args, env, context)
    tensors = fun.(args)
    collect(context)
    bind(env, number, tensors)
  end

  defp step({:cond, number, predicate, then, otherwise}, env, context) do
    {predicate, env} = resolve(predicate, env, context)
    chosen = if Nx.to_number(predicate) != 0, do: then, else: otherwise
    {tensors, _inside} = run_plan(chosen, env, context)
    bind(env, number, tensors)
  end

  defp step({:while, number, initial, condition, body}, env, context) do
    {state, env} = resolve(initial, env, context)
    bind(env, number, turns(state, number, condition, body, env, context))
  end

  defp turns(state, number, condition, body, env, context) do
    inside = bind(env, number, state)
    inside = Enum.reduce(condition.steps, inside, &step(&1, &2, context))
    {predicate, inside} = resolve(condition.results, inside, context)

    if Nx.to_number(predicate) != 0 do
      {next, _inside} = run_plan(body, inside, context)
      turns(next, number, condition, body, env, context)
    else
      state
    end
  end

  defp run_program(lane, program, refs) do
    Native.run_program(lane.worker, program, refs)
  rescue
    error in ArgumentError -> reraise Reply.explain(error, [program], :program), __STACKTRACE__
  end

  defp bind(env, number, tensors) do
    tensors
    |> Enum.with_index()
    |> Enum.reduce(env, fn {tensor, id}, env -> Map.put(env, {number, id}, tensor) end)
  end

  defp collect(%{gc: true}), do: :erlang.garbage_collect()
  defp collect(_context), do: :ok

  # Tensors for values, wherever they stand. A parameter is asked for once, when it is needed.
  defp resolve(%T{data: %Backend{ref: %Value{of: :parameter, id: id}}}, env, context) do
    case env do
      %{{:parameter, ^id} => tensor} ->
        {tensor, env}

      %{} ->
        tensor = parameter(elem(context.params, id).())
        {tensor, Map.put(env, {:parameter, id}, tensor)}
    end
  end

  defp resolve(%T{data: %Backend{ref: %Value{of: of, id: id}}}, env, _context) do
    {Map.fetch!(env, {of, id}), env}
  end

  defp resolve(list, env, context) when is_list(list) do
    Enum.map_reduce(list, env, &resolve(&1, &2, context))
  end

  defp resolve({:container, container}, env, context) do
    Nx.Defn.Composite.traverse(container, env, &resolve(&1, &2, context))
  end

  defp resolve(other, env, _context), do: {other, env}

  defp parameter(%T{data: %Nx.Defn.Expr{}} = tensor) do
    raise ArgumentError,
          "cannot pass a tensor expression as argument to defn, got: #{inspect(tensor)}"
  end

  defp parameter(%T{} = tensor), do: Nx.devectorize(tensor)
end
