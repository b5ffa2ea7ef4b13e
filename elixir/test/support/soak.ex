defmodule Emily.Soak do
  @moduledoc """
  Runs a harness of the soak: the same work again and again, measured as `soak/` measures the engine.

  What is measured goes into a record, a line of JSON each, and `emily-soak` judges it: nothing here says
  what is too much. A harness gives `start`, whose state each `turn` gets and gives on. Turns are handed a
  tally, by which they ask, and tell of faults; any process may use it.

  Where the environment says so, a run is longer or shorter: `EMILY_SOAK_MINUTES` for all harnesses
  together, `EMILY_SOAK_ITERATIONS` for each, `EMILY_SOAK_DEVICE`. Records go to `EMILY_SOAK_RECORDS`, and
  the judge is `EMILY_SOAK`; without that cargo builds it.
  """

  alias Emily.{Memory, Native}
  alias Emily.MlxStream.Default
  alias Emily.Soak.{Record, Schedules, Tally, VM}

  @samples 256
  # Bytes of a tensor that is large to the engine.
  @large 4 * 1024 * 1024
  # Seconds that a turn may take.
  @patience 120
  # Of the minutes that all have together, each has one part and serving three: its turns are the longest,
  # and another node comes and goes meanwhile.
  @shares %{
    backend_concurrency: 1,
    backend_soak: 1,
    eval_concurrency: 1,
    lifecycle: 1,
    memory: 1,
    quantized_memory: 1,
    serving: 3,
    stream_concurrency: 1,
    training: 1,
    zero_copy_roundtrip: 1
  }

  @doc """
  Runs a harness, and fails where its judge finds it red.

  `:iterations` is its number where nobody asks for another, `:rehearsal` that of the turns after which
  all that is made once is there, `:patience` the seconds that a turn may take, and `:stop` ends what
  `start` began besides tensors.
  """
  def run(name, start, turn, opts) do
    # A harness without a share is told whenever it runs, and not first where minutes are asked for.
    share = Map.fetch!(@shares, name)
    harness = %{start: start, turn: turn, stop: opts[:stop] || fn _state -> :ok end}
    record = Record.open(name, device())

    loop = %{
      record: record,
      watch: watch(record, self(), opts[:patience] || @patience),
      schedules: Schedules.start(),
      workers: workers(),
      length: length_of(share, opts[:iterations])
    }

    before = rehearse(harness, loop, opts[:rehearsal] || 8)
    work(harness, loop, before)
    long = Schedules.stop(loop.schedules)
    if long != %{}, do: IO.puts(:stderr, "long schedules: #{inspect(long)}")
    send(loop.watch, :done)
    with {:red, text} <- Record.judge(record), do: ExUnit.Assertions.flunk(text)
  end

  # A worker on each thread of the engine's pool, a thread a core and eight at least. MLX starts threads of
  # its own when a stream is first used, and the engine one when a large buffer first ends.
  defp workers do
    for _ <- 1..max(8, System.schedulers_online()) do
      {:ok, worker} = Native.start_worker(device())
      {:ok, large} = Native.from_binary(worker, :u8, {@large}, :binary.copy(<<0>>, @large))
      Native.release(large)
      settle(worker)
      worker
    end
  end

  # Waits until a worker has dropped what it has to, and computed what was begun.
  defp settle(worker) do
    {:ok, [tensor]} = Native.iota(worker, [], %{dtype: :u8, shape: {1}})
    :ok = Native.eval(tensor)
    Native.release(tensor)
  end

  defp rehearse(harness, loop, turns) do
    tally = Tally.new()

    state =
      Enum.reduce(1..turns, harness.start.(), fn _turn, state -> harness.turn.(state, tally) end)

    Tally.delete(tally)
    harness.stop.(state)
    # Whatever processes leave behind is gone soon.
    Process.sleep(200)
    clear(loop.workers)
    measure(loop.workers)
  end

  defp work(harness, loop, before) do
    tally = Tally.new()
    state = harness.start.()
    loop = Map.merge(loop, %{turn: harness.turn, tally: tally, began: now()})
    Memory.reset_peak()
    {state, iterations} = loop(loop, state, 0, 0)
    seconds = seconds(loop)
    for fault <- Tally.faults(tally), do: Record.fault(loop.record, fault)
    harness.stop.(state)
    left = settled(loop.workers, before, 250)
    Record.done(loop.record, iterations, seconds, Tally.counts(tally), left)
    Tally.delete(tally)
  end

  @doc "The device that harnesses compute on."
  def device do
    case System.get_env("EMILY_SOAK_DEVICE") do
      nil -> Native.device(Default.worker())
      device -> String.to_existing_atom(device)
    end
  end

  @doc "Emily's backend on that device."
  def backend, do: {Emily.Backend, device: device()}

  @doc """
  Runs `fun` with each of the arguments in a process of its own, all at once, and waits until these are
  gone. One that ends badly is a fault.
  """
  def at_once(tally, arguments, fun) do
    arguments
    |> Enum.map(fn argument -> spawn_monitor(fn -> fun.(argument) end) end)
    |> Enum.each(fn {pid, ref} ->
      receive do
        {:DOWN, ^ref, :process, ^pid, :normal} ->
          :ok

        {:DOWN, ^ref, :process, ^pid, reason} ->
          Tally.fault(tally, "a caller ended: #{inspect(reason)}")
      end
    end)
  end

  # Measures, works, and ends with the first turn that has a fault.
  defp loop(loop, state, iterations, samples) do
    done = done(loop.length, iterations, now() - loop.began)
    samples = if done * @samples >= samples, do: sample(loop, iterations, done), else: samples

    if done >= 1.0 or Tally.faults(loop.tally) != [] do
      {state, iterations}
    else
      state = loop.turn.(state, loop.tally)
      send(loop.watch, :turn)
      loop(loop, state, iterations + 1, samples)
    end
  end

  # Ends a harness that hangs, and says where it does.
  defp watch(record, harness, patience) do
    spawn(fn -> watch_turns(record, harness, patience) end)
  end

  defp watch_turns(record, harness, patience) do
    receive do
      :turn -> watch_turns(record, harness, patience)
      :done -> :ok
    after
      patience * 1000 ->
        stack = Process.info(harness, :current_stacktrace)
        Record.fault(record, "no turn ended within #{patience} s: #{inspect(stack)}")
        Process.exit(harness, :kill)
    end
  end

  defp sample(loop, iterations, done) do
    {asked, measured} = Tally.measured(loop.tally)
    long = 100 * Schedules.count(loop.schedules) / max(asked, 1)
    values = loop.workers |> measure() |> Map.merge(measured) |> Map.put(:long_schedules, long)
    Memory.reset_peak()
    Record.sample(loop.record, iterations, seconds(loop), min(done, 1.0), values)
    trunc(done * @samples) + 1
  end

  # What is there more than before, once other processes have let go too.
  defp settled(workers, before, tries) do
    clear(workers)

    left =
      Map.new(measure(workers), fn {metric, value} ->
        {metric, value - Map.get(before, metric, value)}
      end)

    if tries == 0 or (left.active <= 0 and left.processes <= 0) do
      left
    else
      Process.sleep(20)
      settled(workers, before, tries - 1)
    end
  end

  # Lets go of everything, and gives the cache back.
  defp clear(workers) do
    collect(workers)
    Memory.clear_cache()
  end

  # Garbage of any process is no leak.
  defp collect(workers) do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    Enum.each(workers, &settle/1)
  end

  defp measure(workers) do
    collect(workers)
    stats = Memory.stats() |> Map.take([:active, :cache, :peak])

    stats
    |> Map.merge(VM.measure())
    |> Map.merge(%{
      processes: :erlang.system_info(:process_count),
      atoms: :erlang.system_info(:atom_count),
      beam: :erlang.memory(:total)
    })
  end

  defp length_of(share, iterations) do
    minutes = System.get_env("EMILY_SOAK_MINUTES")
    count = System.get_env("EMILY_SOAK_ITERATIONS")

    cond do
      minutes -> {:micros, 60.0e6 * to_float(minutes) * share / all_shares()}
      count -> {:iterations, String.to_integer(count)}
      true -> {:iterations, iterations}
    end
  end

  defp to_float(text), do: text |> Float.parse() |> elem(0)

  # Of the harnesses that run.
  defp all_shares do
    named =
      for {:soak, name} <- ExUnit.configuration()[:include], do: String.to_existing_atom(name)

    @shares
    |> Map.take(if(named == [], do: Map.keys(@shares), else: named))
    |> Map.values()
    |> Enum.sum()
  end

  defp done({:iterations, all}, iterations, _time), do: iterations / max(all, 1)
  defp done({:micros, all}, _iterations, time), do: time / all

  defp seconds(loop), do: (now() - loop.began) / 1.0e6

  defp now, do: :erlang.monotonic_time(:microsecond)
end
