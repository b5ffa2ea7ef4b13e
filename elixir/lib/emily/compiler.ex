defmodule Emily.Compiler do
  @moduledoc """
  A `defn` compiler that runs on `Emily.Backend`, whatever the default backend is.

      Nx.Defn.default_options(compiler: Emily.Compiler)
      Nx.Defn.jit(&MyModel.predict/2, compiler: Emily.Compiler)

  The expression is traced once, when the function is compiled; calls of what `Nx.Defn.compile/3`
  returned walk the traced expression and queue its operations. `Nx.Defn.Evaluator` does the walk.
  Arguments of other backends are copied in, and results are tensors of `Emily.Backend`. Any
  process may call what was compiled, and a copy for another is small.

  ## Options

    * `:device`, `:f64` - as of `Emily.Backend`. Where neither is given, those of the default
      backend, if that is `Emily.Backend`, as it is when the function is compiled.
    * `:fast` - whether norms, softmax, attention and rotary positions that are composed of Nx's operations
      become calls of `Emily.Fast`, whose documentation says which do ("Rewriting"). What they give differs in
      its last digits, mostly for the better. `Emily.Fast.rewrites/2` counts them. Defaults to `false`.
    * `:hooks` - functions that replace named hooks, as a map.
    * `:garbage_collect` - collect garbage after every operation.
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

  alias Emily.{Backend, Lane}
  alias Emily.Compiler.Copyable
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
    hooks = Keyword.get(opts, :hooks, %{})

    traced = fn vars ->
      expression = fun.(vars)
      expression = if opts[:fast], do: rewritten(expression), else: expression
      Copyable.copyable(expression, hooks)
    end

    run = Evaluator.__compile__(key, vars, traced, Keyword.take(opts, @evaluator_options))

    fn [params] ->
      Nx.with_default_backend(backend, fn ->
        [Enum.map(params, &parameter(&1, backend))]
        |> run.()
        |> Enum.map(&pin(&1, backend))
      end)
    end
  end

  defp rewritten(expression) do
    {expression, _counts} = Rewrite.run(expression)
    expression
  end

  # A parameter is a function, so that one that is not used is not copied in.
  defp parameter(fun, backend), do: fn -> transfer(fun.(), backend) end

  defp pin(result, backend), do: Composite.traverse(result, &transfer(&1, backend))

  defp transfer(%T{data: %Backend{}} = tensor, _backend), do: tensor
  defp transfer(%T{data: %Nx.Defn.Expr{}} = expression, _backend), do: expression
  defp transfer(%T{} = tensor, backend), do: Nx.backend_copy(tensor, backend)

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
