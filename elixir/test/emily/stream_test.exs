defmodule Emily.StreamTest do
  use ExUnit.Case, async: false

  alias Emily.{Lane, Native}

  defp emily(list), do: Nx.tensor(list, backend: Emily.Backend)

  test "operations of the process run on its stream, others' on the default worker" do
    stream = Emily.Stream.new(device: :cpu)
    stream_worker = stream.lane.worker
    default = Emily.MlxStream.Default.worker()

    Emily.Stream.with_stream(stream, fn ->
      assert Lane.for_options([]).worker == stream_worker
      assert Task.await(Task.async(fn -> Lane.for_options([]).worker end)) == default
    end)

    assert Lane.for_options([]).worker == default
  end

  test "without the application an operation says what to start" do
    script = """
    :ok = Application.stop(:emily)

    try do
      Nx.tensor([1], backend: Emily.Backend)
    rescue
      error in Emily.Error -> {error.kind, Exception.message(error)}
    end
    """

    peer = Emily.TestNode.start()
    {{kind, message}, _bindings} = :peer.call(peer, Code, :eval_string, [script], 60_000)
    assert kind == :stopped
    assert message =~ "Application.ensure_all_started(:emily)"
  end

  test "nested streams come back to the outer one, also after an exception" do
    [outer, inner] = for _ <- 1..2, do: Emily.Stream.new()

    Emily.Stream.with_stream(outer, fn ->
      assert_raise RuntimeError, fn -> Emily.Stream.with_stream(inner, fn -> raise "x" end) end
      assert Lane.for_options([]).worker == outer.lane.worker
    end)
  end

  test "a stream per process: each gets its own numbers from shared weights" do
    weights = Nx.iota({64, 64}, type: :f32, backend: Emily.Backend)

    results =
      1..8
      |> Enum.map(fn n ->
        Task.async(fn ->
          stream = Emily.Stream.new()

          Emily.Stream.with_stream(stream, fn ->
            x = Nx.broadcast(Nx.tensor(n, type: :f32, backend: Emily.Backend), {64})
            x |> Nx.dot(weights) |> Nx.sum() |> Nx.to_number()
          end)
        end)
      end)
      |> Task.await_many(30_000)

    # Σ of 0 … 4095 is 8_386_560; its products with 1 to 8 are exact in f32 where even, and the sums
    # of small integers below 2^24 are exact.
    for {got, n} <- Enum.zip(results, 1..8), do: assert_in_delta(got, n * 8_386_560, n * 8)
  end

  test "a tensor of one stream is used on another" do
    [a, b] = for _ <- 1..2, do: Emily.Stream.new()
    t = Emily.Stream.with_stream(a, fn -> Nx.add(emily([1]), 1) end)
    u = Emily.Stream.with_stream(b, fn -> Nx.add(t, 1) end)
    assert Nx.to_list(Nx.add(u, t)) == [5]
  end

  test "closing does what was called before, and refuses what is called later" do
    stream = Emily.Stream.new()

    t =
      Emily.Stream.with_stream(stream, fn ->
        Enum.reduce(1..500, emily([0]), fn _, t -> Nx.add(t, 1) end)
      end)

    assert Emily.Stream.close(stream) == :ok
    assert Nx.to_list(t) == [500]

    error =
      assert_raise Emily.Error, fn ->
        Emily.Stream.with_stream(stream, fn -> Nx.add(t, 1) end)
      end

    assert error.kind == :stopped
    assert Nx.to_list(Nx.add(t, 1)) == [501]
  end

  test "a worker that is stopped under its callers fails what is queued, and no more" do
    {:ok, worker} = Native.start_worker(:cpu)
    {:ok, [t]} = Native.iota(worker, [], %{dtype: :u8, shape: {3}})
    assert {:ok, <<0, 1, 2>>} = Native.read(t)
    :ok = Native.stop_worker(worker)
    assert {:error, %Emily.Error{kind: :stopped}} = Native.add(worker, [t, t])
    assert {:ok, <<0, 1, 2>>} = Native.read(t)
  end

  test "a stream whose process died leaves its tensors readable" do
    t =
      Task.async(fn ->
        Emily.Stream.with_stream(Emily.Stream.new(), fn -> Nx.add(emily([1, 2]), 1) end)
      end)
      |> Task.await()

    assert Nx.to_list(t) == [2, 3]
  end

  test "more streams than threads share them" do
    streams = for _ <- 1..40, do: Emily.Stream.new()

    results =
      for {stream, n} <- Enum.with_index(streams) do
        Emily.Stream.with_stream(stream, fn -> Nx.add(emily([n]), 1) end)
      end

    assert Enum.map(results, &Nx.to_number(&1[0])) == Enum.to_list(1..40)
    Enum.each(streams, &Emily.Stream.close/1)
  end

  test "streams that come and go leave no thread behind" do
    # MLX starts threads of its own when a stream of its is first used: all of the pool's are, here.
    threads_after = fn rounds, at_once ->
      for _ <- 1..rounds do
        streams = for _ <- 1..at_once, do: Emily.Stream.new()

        sums =
          for stream <- streams,
              do: Emily.Stream.with_stream(stream, fn -> Nx.add(emily([1]), 1) end)

        assert Enum.all?(sums, &(Nx.to_list(&1) == [2]))
        Enum.each(streams, &Emily.Stream.close/1)
      end

      Emily.Soak.VM.measure()[:threads]
    end

    before = threads_after.(1, 2 * max(System.schedulers(), 8))
    # Not every system tells.
    assert threads_after.(200, 1) <= before
    assert threads_after.(5, 40) <= before
  end

  test "the cache is cleared while streams compute, and every answer is there" do
    ones = Nx.broadcast(Nx.tensor(1, type: :f32, backend: Emily.Backend), {64, 64})

    tasks =
      for _ <- 1..4 do
        Task.async(fn ->
          Emily.Stream.with_stream(Emily.Stream.new(), fn ->
            for _ <- 1..50, do: ones |> Nx.dot(ones) |> Nx.sum() |> Nx.to_number()
          end)
        end)
      end

    worker = Emily.MlxStream.Default.worker()

    for _ <- 1..50 do
      assert Native.clear_cache(worker) == :ok
      {:ok, limit} = Native.set_cache_limit(worker, 0)
      assert {:ok, 0} = Native.set_cache_limit(worker, limit)
    end

    # 64 · 64 sums of 64 ones.
    assert tasks |> Task.await_many(30_000) |> List.flatten() |> Enum.uniq() == [262_144]
  end

  test "when the default workers' owner ends, new workers are there, and tensors stay" do
    t = Nx.add(emily([1]), 1)
    pid = Process.whereis(Emily.MlxStream.Default)
    ref = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^ref, _, _, :killed}
    assert wait_for(fn -> Process.whereis(Emily.MlxStream.Default) end)
    assert Nx.to_list(Nx.add(t, 1)) == [3]
  end

  defp wait_for(fun), do: fun.() || wait_for(fun)

  test "options are checked" do
    assert_raise ArgumentError, ~r/:cpu or :gpu/, fn -> Emily.Stream.new(device: :tpu) end
    assert_raise ArgumentError, ~r/f64: true needs/, fn -> Emily.Stream.new(f64: true) end
    assert_raise ArgumentError, ~r/unknown keys/, fn -> Emily.Stream.new(devise: :cpu) end

    for other <- [3, "cpu", %{device: :cpu}, [:cpu], [3]] do
      expected = ~r/Emily.Stream.new: expected a device, :cpu or :gpu, or options, got: /
      assert_raise ArgumentError, expected, fn -> Emily.Stream.new(other) end
    end
  end
end
