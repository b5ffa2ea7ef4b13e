defmodule Emily.Compiler do
  @moduledoc """
  A `defn` compiler that runs on `Emily.Backend`, whatever the default backend is.

      Nx.Defn.default_options(compiler: Emily.Compiler)
      Nx.Defn.jit(&MyModel.predict/2, compiler: Emily.Compiler)

  The expression is traced once, when the function is compiled, and becomes a program: one call into the engine runs
  it, with its branches and loops. Hooks, `Nx.runtime_call/4` and reductions by a function of the caller's are Elixir's; the
  function is then several programs with those calls between them. Where such a call is used in branches of several
  conditionals and nowhere else, the function runs operation by operation, as it does by `Nx.Defn.Evaluator`: the
  call is made only if a branch that is taken needs it.

  A program runs on its worker's thread without a break, its loops too. Until it ends, what other processes ask of
  that worker waits, and so do the streams on the same thread: there are as many threads as cores, eight at least,
  and more streams share them. Where programs are long, give each process an `Emily.Stream`, and have no more
  streams than threads.

  Arguments of other backends are copied in, and results are tensors of `Emily.Backend`. Any
  process may call what was compiled, and a copy for another is small.

  ## Options

    * `:device`, `:f64` - as of `Emily.Backend`. Where neither is given, those of the default
      backend, if that is `Emily.Backend`, as it is when the function is compiled. Arguments on another device than
      the one given are copied there; where none is given, the first argument's is taken, as without a compiler.
    * `:fast` - whether norms, softmax, attention and rotary positions that are composed of Nx's operations
      become calls of `Emily.Fast`, whose documentation says which do ("Rewriting"). What they give differs in
      its last digits, mostly for the better. `Emily.Fast.rewrites/2` counts them. Defaults to `false`.
    * `:hooks` - functions that replace named hooks, as a map.
    * `:garbage_collect` - collect garbage after every program and call of Elixir's.
    * `:max_concurrency` - accepted, and taken as 1: one device runs one computation at a time. For
      more at once, give each process an `Emily.Stream`.
    * `:batch_keys` - accepted, and not used: `Nx.Serving` hands it on with the options that it was
      given.
    * `:debug`, `:global_layer_options`, `:mode`, `:print_values`, `:raise_on_none`, `:seed` - likewise:
      `Axon.build/2` hands on all that it was given.

  Any other option is an error, also in a serving.

  ## Examples

      iex> double = Nx.Defn.jit(&Nx.add(&1, &1), compiler: Emily.Compiler)
      iex> double.(Nx.tensor([1, 2], type: :u8)) |> Nx.to_binary()
      <<2, 4>>
      iex> Nx.Defn.jit(&Nx.exp/1, compiler: Emily.Compiler, devise: :cpu).(1)
      ** (ArgumentError) unknown option :devise of Emily.Compiler; known are :batch_keys, :debug, :device, :f64, :fast, :garbage_collect, :global_layer_options, :hooks, :max_concurrency, :mode, :print_values, :raise_on_none, :seed

  """

  @behaviour Nx.Defn.Compiler

  alias Emily.{Backend, Case, Debug, Lane}
  alias Emily.Compiler.{Copyable, Explanation, Lowering, Plan}
  alias Emily.Fast.Rewrite
  alias Nx.Defn.{Composite, Evaluator}
  alias Nx.Tensor, as: T

  @backend_options [:device, :f64]
  @evaluator_options [:garbage_collect, :hooks]
  @own_options [:fast]
  @nx_options [:batch_keys, :max_concurrency]
  @axon_options [:debug, :global_layer_options, :mode, :print_values, :raise_on_none, :seed]
  @options Enum.sort(
             @backend_options ++
               @evaluator_options ++ @own_options ++ @nx_options ++ @axon_options
           )

  @impl true
  def __partitions_options__(opts) do
    validate!(opts)
    [Keyword.put(opts, :max_concurrency, 1)]
  end

  @impl true
  def __to_backend__(opts) do
    case {Keyword.take(validate!(opts), @backend_options), Nx.default_backend()} do
      {[], {Backend, _options} = default} -> default
      {options, _default} -> {Backend, options}
    end
  end

  @impl true
  def __jit__(key, vars, fun, args_list, opts) do
    __compile__(key, vars, fun, opts).(args_list)
  end

  # What is compiled lives in the closure that this returns, and nowhere else: who holds the
  # closure skips the trace, and nothing is to be looked up or thrown away.
  @impl true
  def __compile__(key, vars, fun, opts) do
    backend = __to_backend__(opts)
    expression = fun.(vars)
    expression = if opts[:fast], do: rewritten(expression), else: expression

    case lowered(expression, backend, opts) do
      {:ok, plan, outputs} -> program(plan, outputs, backend, opts)
      {:walk, _why} -> walk(key, vars, expression, backend, opts)
    end
  end

  # A plan, and the results' templates; or why the expression is walked at each call.
  @doc false
  def lowered(expression, {Backend, options}, opts) do
    if Debug.on?() or Case.recording?() do
      {:walk, "every operation is looked at"}
    else
      lower(expression, options, opts)
    end
  end

  defp lower(expression, options, opts) do
    started = System.monotonic_time()

    {flat, outputs} =
      Composite.traverse(expression, [], &{Nx.devectorize(&1), [Nx.to_template(&1) | &2]})

    plan = Lowering.lower(flat, Keyword.get(opts, :hooks, %{}), options)
    duration = System.monotonic_time() - started
    :telemetry.execute([:emily, :program, :compile], %{duration: duration}, %{})
    {:ok, plan, {Nx.to_template(expression), Enum.reverse(outputs)}}
  rescue
    # What is wrong is told where it was: by the call, if that comes to it.
    error -> walked(Exception.format(:error, error, __STACKTRACE__))
  catch
    {:walk, why} -> walked(why)
  end

  defp walked(why) do
    :telemetry.execute([:emily, :program, :walk], %{count: 1}, %{why: why})
    {:walk, why}
  end

  defp program(plan, {container, outputs}, {_backend, options} = backend, opts) do
    gc? = Keyword.get(opts, :garbage_collect, false)
    device = opts[:device]

    fn [params] ->
      Nx.with_default_backend(backend, fn ->
        params = Enum.map(params, &parameter(&1, backend, device))
        tensors = Plan.run(plan, params, options, gc?)
        pairs = Enum.zip(outputs, tensors)

        {result, []} =
          Composite.traverse(container, pairs, fn _template, [{output, tensor} | rest] ->
            {given(%{output | data: transfer(tensor, backend, device).data}), rest}
          end)

        [result]
      end)
    end
  end

  # As Nx.Defn.Evaluator does it: operation by operation.
  defp walk(key, vars, expression, backend, opts) do
    hooks = Keyword.get(opts, :hooks, %{})
    traced = fn _vars -> Copyable.copyable(expression, hooks) end
    run = Evaluator.__compile__(key, vars, traced, Keyword.take(opts, @evaluator_options))
    device = opts[:device]

    fn [params] ->
      Nx.with_default_backend(backend, fn ->
        [Enum.map(params, &parameter(&1, backend, device))]
        |> run.()
        |> Enum.map(&pin(&1, backend, device))
      end)
    end
  end

  @doc """
  What this compiler makes of a function with arguments like these: its programs, where Elixir has to come between them
  and why. `opts` are those of the compiler. Nothing is run.

  ## Examples

      iex> explanation = Emily.Compiler.explain(fn t -> Nx.exp(Nx.negate(t)) end, [Nx.template({2}, :f32)])
      iex> {explanation.programs, explanation.nodes, explanation.splits}
      {1, 2, []}
      iex> inspect(explanation) =~ "%2 = exp(%1) : f32[2]"
      true

  """
  @spec explain(fun(), [Nx.Container.t()], keyword()) :: Explanation.t()
  def explain(fun, args, opts \\ []) do
    expression = Nx.Defn.debug_expr_apply(fun, args)
    expression = if opts[:fast], do: rewritten(expression), else: expression
    expression |> lowered(__to_backend__(opts), opts) |> Explanation.of()
  end

  defp rewritten(expression) do
    {expression, _counts} = Rewrite.run(expression)
    expression
  end

  # A parameter is a function, so that one that is not used is not copied in.
  defp parameter(fun, backend, device), do: fn -> transfer(fun.(), backend, device) end

  defp pin(result, backend, device) do
    Composite.traverse(result, &given(transfer(&1, backend, device)))
  end

  # A result is its caller's, who has not asked to donate it, not even where it is a donated argument as it is.
  # Nx 0.13 has no such mark.
  defp given(tensor), do: Map.replace(tensor, :donatable?, false)

  # A tensor of ours stays where it is, unless the options ask for another device.
  defp transfer(%T{data: %Backend{device: there}} = tensor, _backend, device)
       when device in [nil, there],
       do: tensor

  defp transfer(%T{data: %Nx.Defn.Expr{}} = expression, _backend, _device), do: expression
  defp transfer(%T{} = tensor, backend, _device), do: Nx.backend_copy(tensor, backend)

  defp validate!(opts) do
    # `:compiler` is still among the options that partitions are asked for with.
    if option = Enum.find(Keyword.keys(opts), &(&1 not in [:compiler | @options])) do
      raise ArgumentError,
            "unknown option #{inspect(option)} of Emily.Compiler; " <>
              "known are #{Enum.map_join(@options, ", ", &inspect/1)}"
    end

    validate_concurrency!(Keyword.get(opts, :max_concurrency, 1))
    validate_fast!(Keyword.get(opts, :fast, false))
    Lane.validate_values!(opts)
  end

  defp validate_concurrency!(count) when is_integer(count) and count > 0, do: :ok

  defp validate_concurrency!(other) do
    raise ArgumentError,
          "expected :max_concurrency to be a positive integer, got: #{inspect(other)}"
  end

  defp validate_fast!(fast) when is_boolean(fast), do: :ok

  defp validate_fast!(other) do
    raise ArgumentError, "expected :fast to be true or false, got: #{inspect(other)}"
  end
end
