defmodule Emily.ProgramTest do
  use ExUnit.Case, async: true

  import Nx.Defn

  alias Emily.Compiler.{Lowering, Plan}
  alias Nx.Defn.Composite

  # The plan of a function with arguments like these.
  defp plan(fun, args, hooks \\ %{}) do
    flat = fun |> Nx.Defn.debug_expr_apply(args) |> Composite.traverse(&Nx.devectorize/1)
    Lowering.lower(flat, hooks, [])
  end

  defp kinds(%Plan{steps: steps}), do: Enum.map(steps, &elem(&1, 0))

  defp text(%Plan{steps: [{:program, _number, program, _inputs, _outputs, _notes}]}) do
    {text, _nodes, _bytes} = Emily.Native.program_info(program)
    text
  end

  defp compiled(fun, opts \\ []), do: Nx.Defn.jit(fun, [compiler: Emily.Compiler] ++ opts)
  defp walked(fun), do: Nx.Defn.jit(fun, compiler: Nx.Defn.Evaluator)

  defp assert_same_bits(fun, args) do
    args = Enum.map(args, &Nx.backend_copy(Nx.to_tensor(&1), Emily.Backend))

    Nx.with_default_backend(Emily.Backend, fn ->
      [got, want] = for run <- [compiled(fun), walked(fun)], do: apply(run, args)

      for {got, want} <- Enum.zip(Composite.flatten_list([got]), Composite.flatten_list([want])) do
        assert {got.type, got.shape, Nx.to_binary(got)} ==
                 {want.type, want.shape, Nx.to_binary(want)}
      end
    end)
  end

  defn collatz(n) do
    {_n, steps} =
      while {n, steps = 0}, n != 1 do
        next = if Nx.remainder(n, 2) == 0, do: Nx.quotient(n, 2), else: 3 * n + 1
        {next, steps + 1}
      end

    steps
  end

  defn three_ways(t) do
    total = Nx.sum(t)

    cond do
      total > 10 -> {Nx.exp(t), total}
      total > 5 -> {t * 2, total - 1}
      true -> {-t, Nx.as_type(0, :f32)}
    end
  end

  defn nested_loops(t) do
    {t, _i} =
      while {t, i = 0}, i < 3 do
        {t, _j, _i} =
          while {t, j = 0, i}, j < i do
            {t * 1.5 + 0.25, j + 1, i}
          end

        {t, i + 1}
      end

    t
  end

  defn shared_by_two_conds(t) do
    heavy = Nx.exp(t)
    a = if Nx.sum(t) > 0, do: heavy + 1, else: t
    b = if Nx.sum(t) < 0, do: heavy + 2, else: t
    {a, b}
  end

  test "a function is one program, with its branches and loops" do
    assert kinds(plan(&collatz/1, [Nx.template({}, :s32)])) == [:program]
    assert kinds(plan(&three_ways/1, [Nx.template({2}, :f32)])) == [:program]
    text = text(plan(&collatz/1, [Nx.template({}, :s32)]))
    assert text =~ "while"
    assert text =~ "if"
  end

  test "a program gives the bits of its operations" do
    for n <- [1, 6, 27], do: assert_same_bits(&collatz/1, [n])

    for list <- [[6.0, 7.0], [3.0, 3.0], [-1.0, 2.0]],
        do: assert_same_bits(&three_ways/1, [Nx.tensor(list)])

    assert_same_bits(&nested_loops/1, [Nx.tensor([1.0, -2.0, 3.5])])
    assert_same_bits(&shared_by_two_conds/1, [Nx.tensor([1.0, 2.0])])
    assert_same_bits(&shared_by_two_conds/1, [Nx.tensor([-1.0, -2.0])])
    assert_same_bits(&Nx.LinAlg.svd/1, [Nx.tensor([[1.0, 2.0], [3.0, 5.0]])])
    assert_same_bits(&Nx.LinAlg.norm/1, [Nx.tensor([[1.0, 2.0], [3.0, 5.0]])])
    assert_same_bits(&Nx.sort/1, [Nx.tensor([3, 1, 2])])
    assert_same_bits(fn t -> Nx.slice(t, [Nx.argmax(t)], [2]) end, [Nx.tensor([1, 5, 2, 9])])
    assert_same_bits(fn t -> {t, Nx.tensor([1, 2]), 7, t} end, [Nx.tensor([1, 2])])
  end

  test "a branch that is not taken is not computed" do
    safe = compiled(&guarded/1)
    assert Nx.to_number(safe.(0)) == 0
    assert Nx.to_number(safe.(2)) == 3
  end

  defn guarded(x), do: if(x == 0, do: x, else: Nx.quotient(7, x))

  def not_called(_value, _opts), do: raise("no branch that is taken uses it")

  defn called_in_two_conds(x) do
    called = Nx.runtime_call(x, x, &not_called/2)
    a = if Nx.sum(x) > -1000, do: x, else: called
    b = if Nx.sum(x) > 0, do: x, else: called
    a + b
  end

  defn reduced_in_two_conds(x) do
    reduced = x |> Nx.reduce(0, fn a, b -> a / (b - b) end) |> Nx.broadcast({2})
    a = if Nx.sum(x) > -1000, do: x, else: reduced
    if Nx.sum(a) > 0, do: x, else: reduced
  end

  defn cond_in_two_conds(x) do
    called = if Nx.sum(x) > 1, do: Nx.runtime_call(x, x, &not_called/2), else: x
    a = if Nx.sum(x) > -1000, do: x, else: called
    b = if Nx.sum(x) > 0, do: x, else: called
    a + b
  end

  defn called_in_the_body_alone(n) do
    {_i, x} =
      while {i = n, x = 1}, i > 0 do
        called = Nx.runtime_call(x, x, &not_called/2)
        a = if x > 0, do: x, else: called
        {i - 1, if(a > 0, do: a + 1, else: called)}
      end

    x
  end

  defn hooked_in_two_conds(x) do
    seen = hook(x * 2, :seen)
    a = if Nx.sum(x) > 0, do: x, else: seen
    b = if Nx.sum(a) > 0, do: x, else: seen
    a + b
  end

  defn hooked_in_any_case(x) do
    seen = hook(x * 2, :seen)
    double = seen * 2
    a = if Nx.sum(x) > 0, do: x, else: double
    b = if Nx.sum(a) > 0, do: x, else: double
    {a + b, seen}
  end

  test "what only Elixir can do is not called for branches that are not taken" do
    x = Nx.tensor([1.0, 2.0])

    for fun <- [&called_in_two_conds/1, &cond_in_two_conds/1, &reduced_in_two_conds/1] do
      assert_same_bits(fun, [x])
      assert Emily.Compiler.explain(fun, [x]).walked =~ "in branches alone"
    end

    assert_same_bits(&called_in_the_body_alone/1, [3])

    test = self()
    hooks = %{seen: &send(test, {:seen, Nx.to_list(&1)})}
    hooked = compiled(&hooked_in_two_conds/1, hooks: hooks)
    assert Nx.to_list(hooked.(x)) == [2.0, 4.0]
    refute_received {:seen, _never_needed}
    assert Nx.to_list(hooked.(Nx.negate(x))) == [-4.0, -8.0]
    assert_received {:seen, [-2.0, -4.0]}
    refute_received {:seen, _again}

    # Without a function the hook is none, and the value is the engine's.
    assert Emily.Compiler.explain(&hooked_in_two_conds/1, [x]).walked == nil
  end

  test "what only Elixir can do, and is needed in any case, comes before the branches" do
    test = self()
    hooks = %{seen: &send(test, {:seen, Nx.to_list(&1)})}
    x = Nx.tensor([1.0, 2.0])
    assert kinds(plan(&hooked_in_any_case/1, [x], hooks)) == [:program, :elixir, :program]
    {sum, _seen} = compiled(&hooked_in_any_case/1, hooks: hooks).(x)
    assert Nx.to_list(sum) == [2.0, 4.0]
    assert_received {:seen, [2.0, 4.0]}
    refute_received {:seen, _again}
  end

  defn hooked_in_loop(n) do
    {_i, sum} =
      while {i = n, sum = 0}, i > 0 do
        {i - 1, hook(sum + i, :sum)}
      end

    sum * 2
  end

  test "what only Elixir can do splits a function there and nowhere else" do
    test = self()
    hooks = %{seen: &send(test, {:seen, Nx.to_number(&1)})}

    fun = fn t ->
      t |> Nx.add(1) |> Nx.multiply(2) |> Emily.TestServings.hooked(:seen) |> Nx.exp()
    end

    template = Nx.template({}, :f32)
    assert kinds(plan(fun, [template])) == [:program]
    assert kinds(plan(fun, [template], hooks)) == [:program, :elixir, :program]
    compiled(fun, hooks: hooks).(1.0)
    assert_received {:seen, 4.0}

    hooks = %{sum: &send(test, {:sum, Nx.to_number(&1)})}

    plan = plan(&hooked_in_loop/1, [Nx.template({}, :s32)], hooks)
    assert kinds(plan) == [:program, :while, :program]

    assert Nx.to_number(compiled(&hooked_in_loop/1, hooks: hooks).(3)) == 12
    for sum <- [3, 5, 6], do: assert_received({:sum, ^sum})
    assert Nx.to_number(compiled(&hooked_in_loop/1).(3)) == 12
  end

  test "a reduction by a function of the caller's is Elixir's, and the rest is not" do
    fun = fn t ->
      t |> Nx.multiply(2) |> Nx.reduce(0, fn a, b -> Nx.add(a, b) end) |> Nx.negate()
    end

    assert kinds(plan(fun, [Nx.template({3}, :s32)])) == [:program, :elixir, :program]
    assert Nx.to_number(compiled(fun).(Nx.tensor([1, 2, 3]))) == -12
  end

  test "a call at run time gets tensors and gives them" do
    fun = fn t ->
      out = Nx.template({2}, :s32)
      Nx.add(Nx.runtime_call(out, Nx.add(t, 1), [by: 10], &Nx.multiply(&1, &2[:by])), 1)
    end

    assert kinds(plan(fun, [Nx.template({2}, :s32)])) == [:program, :elixir, :program]
    assert Nx.to_list(compiled(fun).(Nx.tensor([1, 2]))) == [21, 31]
  end

  test "an error in a program names the operation" do
    error =
      assert_raise ArgumentError, fn ->
        fun = fn t, i -> t |> Nx.gather(i) |> Nx.add(1) end
        compiled(fun).(Nx.tensor([1, 2, 3]), Nx.tensor([[7]])) |> Nx.to_binary()
      end

    assert error.message =~ "gather(s32[3]"
  end

  test "which stream runs it is decided at the call" do
    run = Nx.Defn.compile(&Nx.exp/1, [Nx.template({}, :f32)], compiler: Emily.Compiler)
    stream = Emily.Stream.new(device: :cpu)
    assert %Nx.Tensor{} = Emily.Stream.with_stream(stream, fn -> run.(1.0) end)
    Emily.Stream.close(stream)

    assert_raise Emily.Error, ~r/was stopped/, fn ->
      Emily.Stream.with_stream(stream, fn -> run.(1.0) |> Nx.to_binary() end)
    end

    assert Nx.to_number(run.(0.0)) == 1.0
  end

  test "telemetry tells of compiling and running" do
    test = self()
    handler = make_ref()
    events = [[:emily, :program, :compile], [:emily, :program, :run]]
    :telemetry.attach_many(handler, events, &__MODULE__.tell/4, test)
    compiled(&Nx.cos/1).(1.0)
    :telemetry.detach(handler)
    assert_received {[:emily, :program, :compile], %{duration: _}, _}
    assert_received {[:emily, :program, :run], %{duration: _}, %{device: _}}
  end

  test "what cannot be written down is walked, and says so; the error is the call's" do
    test = self()
    handler = make_ref()
    :telemetry.attach(handler, [:emily, :program, :walk], &__MODULE__.tell/4, test)
    fun = fn t -> Nx.as_type(t, {:f8_e4m3fn, 8}) end
    run = Nx.Defn.compile(fun, [Nx.template({}, :f32)], compiler: Emily.Compiler)
    :telemetry.detach(handler)
    assert_received {[:emily, :program, :walk], %{count: 1}, %{why: why}}
    assert why =~ "does not support"
    assert Emily.Compiler.explain(fun, [1.0]).walked =~ "does not support"
    assert_raise ArgumentError, ~r/does not support/, fn -> run.(1.0) end
  end

  def tell(event, measurements, metadata, test), do: send(test, {event, measurements, metadata})
end
