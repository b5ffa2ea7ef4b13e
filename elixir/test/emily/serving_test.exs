defmodule Emily.ServingTest do
  use ExUnit.Case, async: false

  alias Emily.TestServings

  defp batch(rows), do: Nx.Batch.stack(Enum.map(rows, &Nx.tensor/1))

  test "in line" do
    result = Nx.Serving.run(TestServings.double(), batch([[1, 2], [3, 4]]))
    assert %Nx.Tensor{data: %Emily.Backend{}} = result
    assert Nx.to_list(result) == [[3, 5], [7, 9]]
  end

  test "a process batches its callers, with tensors of either backend" do
    start_supervised!(
      {Nx.Serving,
       serving: TestServings.double(), name: __MODULE__.Batched, batch_size: 8, batch_timeout: 50}
    )

    results =
      1..20
      |> Task.async_stream(
        fn n ->
          backend = if rem(n, 2) == 0, do: Emily.Backend, else: Nx.BinaryBackend
          rows = [Nx.tensor([n, n], backend: backend)]
          __MODULE__.Batched |> Nx.Serving.batched_run(Nx.Batch.stack(rows)) |> Nx.to_list()
        end,
        max_concurrency: 20
      )
      |> Enum.map(fn {:ok, result} -> result end)

    assert results == for(n <- 1..20, do: [[2 * n + 1, 2 * n + 1]])
  end

  test "partitions are one" do
    start_supervised!(
      {Nx.Serving,
       serving: TestServings.double(max_concurrency: 4),
       name: __MODULE__.Partitioned,
       batch_size: 2,
       partitions: true}
    )

    assert Nx.Serving.batched_run(__MODULE__.Partitioned, batch([[1]])) |> Nx.to_list() == [[3]]
  end

  test "streaming, with hooks" do
    serving = Nx.Serving.streaming(TestServings.double(), hooks: [:doubled])

    assert [{:doubled, doubled}, {:batch, result, _metadata}] =
             serving |> Nx.Serving.run(batch([[1, 2], [3, 4]])) |> Enum.to_list()

    assert Nx.to_list(doubled) == [[2, 4], [6, 8]]
    assert Nx.to_list(result) == [[3, 5], [7, 9]]

    start_supervised!({Nx.Serving, serving: serving, name: __MODULE__.Streamed, batch_size: 4})
    events = __MODULE__.Streamed |> Nx.Serving.batched_run(batch([[5]])) |> Enum.to_list()
    assert [{:doubled, doubled}, {:batch, result, _metadata}] = events
    assert {Nx.to_list(doubled), Nx.to_list(result)} == {[[10]], [[11]]}
  end

  test "a misspelt option is told, wherever the serving compiles" do
    unknown = ~r/unknown option :devise of Emily.Compiler; known are .*:device/
    misspelt = TestServings.double(devise: :cpu)
    assert_raise ArgumentError, unknown, fn -> Nx.Serving.run(misspelt, batch([[1]])) end

    compiled =
      Nx.Serving.new(
        &Nx.Defn.compile(fn t -> Nx.add(t, 1) end, [Nx.template({2, 1}, :s32)], &1),
        compiler: Emily.Compiler,
        devise: :cpu
      )

    Process.flag(:trap_exit, true)

    for {serving, opts} <- [{compiled, []}, {misspelt, [partitions: true]}] do
      opts = [serving: serving, name: __MODULE__.Misspelt, batch_size: 2] ++ opts
      assert {:error, reason} = Nx.Serving.start_link(opts)
      assert inspect(reason) =~ unknown
    end
  end

  test "batch keys, and every option that the compiler knows" do
    fun = fn key, opts ->
      Nx.Defn.jit(fn t -> if(key == :double, do: Nx.multiply(t, 2), else: t) end, opts)
    end

    known = [device: :cpu, f64: true, garbage_collect: false, hooks: %{}, max_concurrency: 2]
    serving = Nx.Serving.new(fun, [compiler: Emily.Compiler] ++ known)

    start_supervised!(
      {Nx.Serving,
       serving: serving, name: __MODULE__.Keys, batch_size: 2, batch_keys: [:double, :same]}
    )

    for {key, want} <- [double: [[2]], same: [[1]]] do
      batch = Nx.Batch.key(batch([[1]]), key)
      assert __MODULE__.Keys |> Nx.Serving.batched_run(batch) |> Nx.to_list() == want
    end
  end

  test "a stream per caller under one serving's function" do
    double = Nx.Defn.jit(&TestServings.double_with_hook/1, compiler: Emily.Compiler)

    results =
      Task.async_stream(1..8, fn n ->
        Emily.Stream.with_stream(Emily.Stream.new(), fn ->
          n |> Nx.tensor(backend: Emily.Backend) |> double.() |> Nx.to_number()
        end)
      end)

    assert Enum.map(results, &elem(&1, 1)) == for(n <- 1..8, do: 2 * n + 1)
  end
end
