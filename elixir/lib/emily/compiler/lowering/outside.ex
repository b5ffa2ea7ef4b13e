defmodule Emily.Compiler.Lowering.Outside do
  @moduledoc false
  # The calls that only Elixir can make: what they are called with, and what they give.

  alias Emily.Backend
  alias Emily.Compiler.Copyable
  alias Emily.Compiler.Lowering.Needs
  alias Nx.Defn.{Composite, Evaluator, Expr}
  alias Nx.Tensor, as: T

  @doc """
  Why, the arguments, the function of them in a list, and the templates of what it gives; `:same` where its first
  argument goes through.
  """
  def call(%T{data: %Expr{op: :runtime_call, args: [container, fun, template, opts]}}, _hooks) do
    called = fn [value] ->
      result = fun.(value, opts)

      if not Nx.compatible?(template, result) do
        raise "expected the runtime_call function to match the given output template"
      end

      Composite.flatten_list([result])
    end

    {:runtime_call, [{:container, container}], called, Composite.flatten_list([template])}
  end

  def call(%T{data: %Expr{op: op, args: [value, {:token_hook, hooked, _} = spec | _]}}, hooks) do
    fun = Needs.function(spec, hooks)

    called = fn [_value, hooked] ->
      fun.(hooked)
      []
    end

    {op, [{:container, value}, {:container, hooked}], called, :same}
  end

  def call(%T{data: %Expr{op: op, args: [value, spec, _template, _ref]}}, hooks)
      when op in [:hook, :io_call] do
    fun = Needs.function(spec, hooks)

    called = fn [value] ->
      fun.(value)
      []
    end

    {op, [{:container, value}], called, :same}
  end

  def call(%T{data: %Expr{op: op, args: args}} = tensor, hooks) do
    out = Nx.to_template(tensor)
    args = Enum.map(args, &function(&1, hooks))
    {op, args, fn args -> [apply(Backend, op, [out | args])] end, [out]}
  end

  # A function of tensors, which Nx.Defn.Evaluator evaluates.
  defp function(%T{data: %Expr{op: :fun, args: [params, expression, _mfa]}}, hooks) do
    run =
      Evaluator.__compile__(
        nil,
        params,
        fn _params -> Copyable.copyable(expression, hooks) end,
        hooks: hooks
      )

    call = fn args ->
      [result] = run.([Enum.map(args, fn arg -> fn -> Nx.to_tensor(arg) end end)])
      result
    end

    case length(params) do
      1 -> fn a -> call.([a]) end
      2 -> fn a, b -> call.([a, b]) end
    end
  end

  defp function(other, _hooks), do: other
end
