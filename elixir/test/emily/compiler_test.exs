defmodule Emily.CompilerTest do
  use ExUnit.Case, async: true

  import Nx.Defn, only: [defn: 2]

  defn softmax(t), do: Nx.exp(t) / Nx.sum(Nx.exp(t), axes: [-1], keep_axes: true)

  defn collatz(n) do
    {_n, steps} =
      while {n, steps = 0}, n != 1 do
        next = if Nx.remainder(n, 2) == 0, do: Nx.quotient(n, 2), else: 3 * n + 1
        {next, steps + 1}
      end

    steps
  end

  defn hooked(t), do: t |> Nx.add(1) |> Emily.TestServings.hooked(:seen) |> Nx.multiply(2)

  defn constant, do: Nx.iota({3}) + 0.5

  defn with_captured(t), do: t + Nx.tensor([10, 20])

  @opts [compiler: Emily.Compiler]

  defp compiled(fun, opts \\ []), do: Nx.Defn.jit(fun, @opts ++ opts)

  test "results are Emily's, whatever the arguments and the default backend are" do
    for backend <- [Nx.BinaryBackend, Emily.Backend] do
      Nx.with_default_backend(backend, fn ->
        t = Nx.iota({2, 3}, type: :f32)
        assert %Nx.Tensor{data: %Emily.Backend{}, shape: {2, 3}} = compiled(&softmax/1).(t)
        assert %Nx.Tensor{data: %Emily.Backend{}} = compiled(&constant/0).()
        assert %Nx.Tensor{data: %Emily.Backend{}} = compiled(&Function.identity/1).(t)
        assert Nx.default_backend() == {backend, []}
      end)
    end
  end

  # What DIVERGENCES.md says of whole functions. Where this fails, Nx has mended it: take the line away.
  test "what Nx's tracing makes of a function is the same wrong on every backend" do
    row = Nx.tensor([[-1.0, 4.125, 0.0]], backend: Nx.BinaryBackend)
    broadcast = &(&1 |> Nx.broadcast({3, 3}) |> Nx.broadcast({2, 3, 3}))
    y = Nx.tensor([1, 2, 3, 4], backend: Nx.BinaryBackend)
    slice = fn y, i -> y |> Nx.slice([2], [1]) |> Nx.slice([i], [1]) end

    zero = Nx.tensor([-0.0], backend: Nx.BinaryBackend)
    add = &Nx.add(&1, 0.0)

    for {fun, args} <- [{broadcast, [row]}, {slice, [y, Nx.tensor(1)]}, {add, [zero]}] do
      called = Nx.to_binary(apply(fun, args))
      emily = fun |> compiled() |> apply(args) |> Nx.to_binary()
      nx = fun |> Nx.Defn.jit(compiler: Nx.Defn.Evaluator) |> apply(args) |> Nx.to_binary()
      assert emily == nx
      assert emily != called
    end
  end

  test "results are the backend's own, to the bit" do
    t = Nx.iota({2, 3}, type: :f32, backend: Emily.Backend)
    eager = Nx.with_default_backend(Emily.Backend, fn -> softmax(t) end)
    assert Nx.to_binary(compiled(&softmax/1).(t)) == Nx.to_binary(eager)
  end

  test "loops, conditions, captured tensors, vectorized and container arguments" do
    assert Nx.to_number(compiled(&collatz/1).(27)) == 111
    assert Nx.to_list(compiled(&with_captured/1).(Nx.tensor([1, 2]))) == [11, 22]
    v = Nx.vectorize(Nx.tensor([[1, 2], [3, 4]]), :x)
    assert compiled(&Nx.sum/1).(v).vectorized_axes == [x: 2]
    swap = compiled(fn %{a: {x, y}} -> {y, x} end)
    assert {y, x} = swap.(%{a: {1, 2}})
    assert {Nx.to_number(y), Nx.to_number(x)} == {2, 1}
  end

  test "gradients" do
    grad = compiled(fn t -> Nx.Defn.grad(t, &Nx.sum(Nx.pow(&1, 3))) end)
    assert Nx.to_list(grad.(Nx.tensor([1.0, 2.0]))) == [3.0, 12.0]
  end

  test "a compiled function is traced once, and needs its closure only" do
    parent = self()

    trace = fn t ->
      send(parent, :traced)
      Nx.add(t, 1)
    end

    compiled = Nx.Defn.compile(trace, [Nx.template({2}, :s32)], @opts)
    assert_received :traced
    for n <- 1..3, do: assert(Nx.to_list(compiled.(Nx.tensor([n, n]))) == [n + 1, n + 1])
    task = Task.async(fn -> Nx.to_list(compiled.(Nx.tensor([1, 2]))) end)
    assert Task.await(task) == [2, 3]
    refute_received :traced
  end

  test "hooks are called with tensors of ours" do
    parent = self()
    hooks = %{seen: &send(parent, {:seen, &1})}
    assert Nx.to_list(compiled(&hooked/1, hooks: hooks).(Nx.tensor([1]))) == [4]
    assert_received {:seen, %Nx.Tensor{data: %Emily.Backend{}} = seen}
    assert Nx.to_list(seen) == [2]
  end

  # Nx 0.13 has no such mark, so it is put beside what a tensor has there.
  @tag :tmp_dir
  test "a result is not donatable, not even an argument that was, as it is", %{tmp_dir: folder} do
    for backend <- [Nx.BinaryBackend, Emily.Backend] do
      donated = Map.put(Nx.tensor([1, 2], backend: backend), :donatable?, true)
      call = fn -> compiled(&{&1, Nx.negate(&1)}).(donated) end

      # What is recorded is walked, operation by operation.
      walked = fn -> send(self(), {:walked, call.()}) end
      Emily.Case.record(walked, [], to: folder)
      assert_received {:walked, {_kept, _new} = walked}

      for result <- [call.(), walked], tensor <- Tuple.to_list(result) do
        refute Map.get(tensor, :donatable?, false)
      end
    end
  end

  test "options are checked, and those of Nx.Serving are known" do
    assert_raise ArgumentError, ~r/unknown option :devise/, fn ->
      compiled(&softmax/1, devise: :cpu).(1.0)
    end

    assert_raise ArgumentError, ~r/:cpu or :gpu/, fn ->
      compiled(&softmax/1, device: :tpu).(1.0)
    end

    assert_raise ArgumentError, ~r/f64: true needs/, fn ->
      compiled(&softmax/1, f64: true).(1.0)
    end

    assert_raise ArgumentError, ~r/:max_concurrency/, fn ->
      compiled(&softmax/1, max_concurrency: 0).(1.0)
    end

    assert_raise ArgumentError,
                 ~r/unknown option :anything.*known are :batch_keys, :debug/,
                 fn ->
                   compiled(&Nx.exp/1, batch_keys: [:default], anything: 1).(1.0)
                 end

    assert %Nx.Tensor{} = compiled(&Nx.exp/1, batch_keys: [:default]).(1.0)
    assert %Nx.Tensor{} = compiled(&Nx.exp/1, mode: :train, seed: 7).(1.0)
    assert %Nx.Tensor{} = compiled(&Nx.exp/1, garbage_collect: true, max_concurrency: 8).(1.0)
  end

  test "partitions are one, and the backend is pinned with its options" do
    assert [opts] = Emily.Compiler.__partitions_options__(max_concurrency: 4, device: :cpu)
    assert opts[:max_concurrency] == 1
    assert Emily.Compiler.__to_backend__(device: :cpu) == {Emily.Backend, device: :cpu}
    assert Nx.Defn.to_backend(@opts) == {Emily.Backend, []}
  end

  test "without options it takes those of the default backend, if that is ours" do
    wide = fn -> Nx.iota({2}, type: :f64) end

    Nx.with_default_backend({Emily.Backend, device: :cpu, f64: true}, fn ->
      assert {Emily.Backend, options} = Emily.Compiler.__to_backend__([])
      assert Enum.sort(options) == [device: :cpu, f64: true]
      assert Nx.to_flat_list(compiled(wide).()) == [0.0, 1.0]
      assert_raise ArgumentError, ~r/f64/, fn -> compiled(wide, device: :cpu).() end
    end)

    Nx.with_default_backend(Nx.BinaryBackend, fn ->
      assert Emily.Compiler.__to_backend__([]) == {Emily.Backend, []}
    end)
  end

  test "f64 under the compiler is opted in to by its options" do
    result =
      compiled(fn t -> Nx.add(t, 1.0) end, device: :cpu, f64: true).(Nx.tensor(0.5, type: :f64))

    assert {Nx.type(result), Nx.to_number(result)} == {{:f, 64}, 1.5}
  end

  test "the device that is asked for is where it runs, whatever device the arguments are on" do
    t = Nx.tensor([1.0], backend: {Emily.Backend, device: :cpu})
    add = &Nx.add(&1, 1)
    serving = Nx.Serving.new(&Nx.Defn.jit(add, &1), compiler: Emily.Compiler, device: :gpu)

    calls = [
      fn -> compiled(add, device: :gpu).(t) end,
      fn -> compiled(&Function.identity/1, device: :gpu).(t) end,
      fn -> Nx.Serving.run(serving, Nx.Batch.stack([t])) end
    ]

    for call <- calls do
      if Emily.Native.gpu_available?() do
        assert %Nx.Tensor{data: %Emily.Backend{device: :gpu}} = call.()
      else
        assert %Emily.Error{kind: :device} = assert_raise(Emily.Error, ~r/no GPU/, call)
      end
    end

    if Emily.Native.gpu_available?() do
      on_gpu = Nx.backend_copy(t, {Emily.Backend, device: :gpu})
      assert compiled(add, device: :cpu).(on_gpu).data.device == :cpu
    end
  end

  test "where none is asked for, it runs where the first argument is" do
    t = Nx.tensor([1.0], backend: {Emily.Backend, device: :cpu})
    assert compiled(&Nx.add(&1, 1)).(t).data.device == :cpu
    stream = Emily.Stream.new(device: :cpu)
    run = fn -> compiled(&Nx.add(&1, 1), device: :cpu).(t) |> Nx.to_list() end
    assert Emily.Stream.with_stream(stream, run) == [2.0]
    Emily.Stream.close(stream)
    error = assert_raise Emily.Error, fn -> Emily.Stream.with_stream(stream, run) end
    assert error.kind == :stopped
  end

  describe "a compiled function in another process" do
    # The expression shares each step's operand twice: a copy that shares nothing has 2^16 steps.
    @steps 16

    defp deep(t), do: Enum.reduce(1..@steps, t, fn _step, t -> Nx.add(t, t) end)

    defp with_token(t, result) do
      kernel = Nx.Defn.Kernel
      {token, _hooked} = apply(kernel, :hook_token, [apply(kernel, :create_token, []), t, :seen])
      apply(kernel, :attach_token, [token, result])
    end

    defp assert_copyable(fun, opts \\ []) do
      compiled = Nx.Defn.compile(fun, [Nx.template({2, 2}, :f32)], @opts ++ opts)
      assert :erts_debug.flat_size(compiled) < 4 * :erts_debug.size(compiled)
      Task.await(Task.async(fn -> compiled.(Nx.tensor([[1.0, 0.0], [0.0, 2.0]])) end))
    end

    test "is no larger for what its nodes share" do
      assert Nx.to_list(assert_copyable(&deep/1)) == [[65536.0, 0.0], [0.0, 131_072.0]]
    end

    test "keeps no default expression of a block" do
      diagonal = fn t -> t |> Nx.LinAlg.qr() |> elem(1) |> Nx.take_diagonal() |> Nx.abs() end
      assert Nx.to_list(assert_copyable(diagonal)) == [1.0, 2.0]
    end

    # Later versions of Nx have none.
    if {:attach_token, 2} in Nx.Defn.Kernel.__info__(:functions) do
      test "calls a token's hook with what it shares" do
        test = self()
        seen = [[65536.0, 0.0], [0.0, 131_072.0]]
        one = fn t -> with_token(deep(t), Nx.add(t, 1)) end
        several = fn t -> with_token(deep(t), {t, Nx.add(t, 1)}) |> elem(1) end

        for fun <- [one, several] do
          assert Nx.to_list(assert_copyable(fun)) == [[2.0, 1.0], [1.0, 3.0]]
          hooks = %{seen: &send(test, {:seen, Nx.to_list(&1)})}
          assert Nx.to_list(assert_copyable(fun, hooks: hooks)) == [[2.0, 1.0], [1.0, 3.0]]
          assert_received {:seen, ^seen}
          refute_received {:seen, _again}
        end
      end
    end
  end
end
