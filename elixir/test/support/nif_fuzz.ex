defmodule Emily.NifFuzz do
  @moduledoc """
  Calls every function of `Emily.Native.NIF` and `Emily.Native` with any terms:

      MIX_ENV=test mix run -e "Emily.NifFuzz.main(1_000_000)"

  is what `cargo xtask fuzz --nif --calls 1000000` runs. Calls come in batches, each in a process of
  its own that begins with new workers and tensors, so that a batch can be tried alone: its number
  and the seed are all that it depends on. A call gives a value, an error or an exception that says
  the argument is wrong. What it may not do is to end the VM, to hang, to panic, to keep a scheduler,
  or to leave atoms, memory or processes behind.

  What keeps a scheduler for 5 ms was perhaps kept from it by the system. So the batch is tried again, and
  it is a find where the same call, or place, is slow in each of so many tries. Calls take some 10 µs: where
  the system interrupts every 3 ms of work, it hits three calls of a batch, and one of these each time again
  in one of 10^11 batches.
  """

  alias Emily.Native
  alias Emily.Native.NIF
  alias Emily.NifFuzz.{Slow, Terms}

  @batch 1000
  @runners 2

  # A call that takes longer hangs.
  @patience 60_000

  # A call that takes so many microseconds keeps a scheduler, if it does each time.
  @long 5_000
  @tries 6

  # So many bytes are no leak: what caches and the allocator keep. Modules that are loaded have some atoms.
  @slack 1_000_000

  @limit 64_000_000

  # `wind_down/0` is the end of the engine, `load/0` is the loader's, and `collector/0` would have the
  # caller be the one.
  @nif %{
    apply_op: [:worker, :op, :attrs, :tensors],
    apply_op_dirty: [:worker, :op, :attrs, :tensors],
    clear_cache: [:worker, :ref],
    compile_program: [:written],
    device: [:worker],
    eval: [:tensor, :ref],
    flush: [:worker, :ref],
    from_binary: [:worker, :dtype, :shape, :bytes],
    from_binary_dirty: [:worker, :dtype, :shape, :bytes],
    gpu_available: [],
    make_room: [:worker, :size, :ref],
    memory_stats: [],
    mlx_version: [],
    op_fingerprint: [],
    program_info: [:program],
    queue_depth: [:worker],
    read: [:tensor, :ref],
    read_now: [:tensor],
    release: [:tensor],
    relieved: [:ref],
    reset_peak: [],
    room: [:tensor],
    run_program: [:worker, :program, :tensors],
    run_program_dirty: [:worker, :program, :tensors],
    set_cache_limit: [:worker, :size, :ref],
    set_memory_limit: [:size],
    start_worker: [:device, :bool],
    status: [],
    stop_worker: [:worker],
    type: [:tensor],
    withdraw: [:request],
    worker_name: [:worker]
  }

  @native %{
    apply_op: [:worker, :op, :tensors, :attrs],
    clear_cache: [:worker],
    compile_program: [:written],
    device: [:worker],
    eval: [:tensor, :timeout],
    flush: [:worker],
    from_binary: [:worker, :dtype, :shape, :bytes],
    gpu_available?: [],
    memory_stats: [],
    mlx_version: [],
    op_fingerprint: [],
    program_info: [:program],
    queue_depth: [:worker],
    read: [:tensor, :timeout],
    release: [:tensor],
    reset_peak: [],
    run_program: [:worker, :program, :tensors],
    set_cache_limit: [:worker, :size],
    set_memory_limit: [:size],
    start_worker: [:device, :opts],
    status: [],
    stop_worker: [:worker],
    type: [:tensor],
    worker_name: [:worker]
  }

  @doc "The functions that are called, of each module."
  def functions, do: %{NIF => Map.keys(@nif), Native => Map.keys(@native) ++ Terms.names()}

  @doc "Runs so many calls, prints the report, and ends the VM with 1 where something was found."
  def main(calls, seed \\ System.os_time(:second)) do
    IO.puts("seed #{seed}: #{calls} calls of Emily.Native and its library, with any terms")
    report = run(calls, seed, progress: &IO.puts/1)
    for {key, value} <- Enum.sort(report), do: IO.puts("#{key}: #{inspect(value)}")
    if report.found != [], do: System.halt(1)
  end

  @doc """
  Runs the calls, and reports what was found and what was measured. `:progress` is told lines, and a call
  that takes `:long` microseconds is slow.
  """
  def run(calls, seed, opts \\ []) do
    {:ok, limit} = Native.set_memory_limit(@limit)
    run = %{seed: seed, long: opts[:long] || @long, counts: :counters.new(3, [])}
    # What is made once is there before anything is counted.
    {warm, _slow} = batches(0..(@runners - 1), uncounted(run))
    before = figures()
    progress = opts[:progress] || fn _line -> :ok end

    {time, {found, slow}} =
      :timer.tc(fn -> batches(1..div(calls, @batch)//1, run, progress) end)

    {found_later, each_time} = again(slow, uncounted(run), @tries - 1)
    later = settled(before, 200)
    {:ok, _limit} = Native.set_memory_limit(limit)
    found = Enum.uniq(warm ++ found ++ found_later ++ each_time ++ leaks(before, later))
    counts = run.counts

    %{
      calls: div(calls, @batch) * @batch,
      gave_a_value: :counters.get(counts, 1),
      gave_an_error: :counters.get(counts, 2),
      raised: :counters.get(counts, 3),
      seconds: div(time, 1_000_000),
      before: before,
      after: later,
      slow_once: MapSet.size(slow),
      found: found
    }
  end

  defp uncounted(run), do: %{run | counts: :counters.new(3, [])}

  # What is slow in each of so many more tries.
  defp again(slow, run, tries, found \\ []) do
    if tries == 0 or Enum.empty?(slow) do
      each_time = for {number, what} <- slow, do: "batch #{number} is slow at #{inspect(what)}"
      {found, each_time}
    else
      {more, again} = slow |> Enum.map(&elem(&1, 0)) |> Enum.uniq() |> batches(run)
      slow |> MapSet.intersection(again) |> again(run, tries - 1, found ++ more)
    end
  end

  # What was found in these batches, and what was slow.
  defp batches(numbers, run, progress \\ fn _line -> :ok end) do
    Slow.watch(fn calls -> try_each(numbers, Map.put(run, :calls, calls), progress) end)
  end

  defp try_each(numbers, run, progress) do
    last = Enum.max(numbers, fn -> 0 end)

    numbers
    |> Task.async_stream(
      fn number ->
        if rem(number, 50) == 0,
          do: progress.("batch #{number} of #{last}: #{inspect(figures())}")

        watch(number, run)
      end,
      max_concurrency: @runners,
      timeout: :infinity,
      ordered: false
    )
    |> Enum.flat_map(fn {:ok, found} -> found end)
    |> Enum.uniq()
  end

  # Runs a batch in a process that is looked at: what it found, or where it hangs.
  defp watch(number, run) do
    count = :atomics.new(1, [])
    watcher = self()

    {pid, ref} =
      spawn_monitor(fn -> send(watcher, {:found, self(), batch(number, run, count)}) end)

    await(pid, ref, count, -1, number)
  end

  defp await(pid, ref, count, seen, number) do
    receive do
      {:found, ^pid, found} ->
        receive do: ({:DOWN, ^ref, _, _, _} -> found)

      {:DOWN, ^ref, _, _, reason} ->
        ["batch #{number} ended: #{inspect(reason)}"]
    after
      @patience ->
        now = :atomics.get(count, 1)

        if now == seen do
          stack = Process.info(pid, :current_stacktrace)
          Process.exit(pid, :kill)
          ["batch #{number} hangs at its call #{now}: #{inspect(stack, limit: 20)}"]
        else
          await(pid, ref, count, now, number)
        end
    end
  end

  defp batch(number, run, count) do
    :rand.seed(:exsss, {run.seed, number, 0})
    Slow.batch(run.calls, number)
    note = note(number, run.seed)

    {pool, found} =
      Enum.reduce(1..@batch, {pool(), []}, fn call, {pool, found} ->
        :atomics.put(count, 1, call)
        {module, function, arguments} = draw(pool)
        note.(call, module, function, arguments)
        ask = fn -> call(module, function, arguments) end
        which = {number, call}
        {result, fault} = Slow.timed(run.calls, which, {module, function}, run.long, ask)
        :counters.add(run.counts, outcome(result), 1)
        {keep(pool, result), if(fault, do: [fault | found], else: found)}
      end)

    Enum.each(pool.own, &NIF.stop_worker/1)
    replies(found)
  end

  # Where EMILY_NIF_FUZZ_NOTE names a file, it holds the last call of each runner, for a VM that ended.
  defp note(number, seed) do
    case System.get_env("EMILY_NIF_FUZZ_NOTE") do
      nil ->
        fn _call, _module, _function, _arguments -> :ok end

      path ->
        {:ok, file} = :file.open("#{path}.#{rem(number, @runners)}", [:write, :raw])

        fn call, module, function, arguments ->
          text = inspect(arguments, limit: 30, printable_limit: 200, structs: false)

          line =
            "seed #{seed} batch #{number} call #{call}: #{inspect(module)}.#{function}: #{text}"

          line = line |> binary_part(0, min(byte_size(line), 2000)) |> String.pad_trailing(2000)
          :ok = :file.pwrite(file, 0, line)
        end
    end
  end

  defp draw(pool) do
    case :rand.uniform(4) do
      1 ->
        {function, kinds} = Enum.random(@nif)
        {NIF, function, arguments(function, kinds, pool)}

      2 ->
        {function, kinds} = Enum.random(@native)
        {Native, function, arguments(function, kinds, pool)}

      _ ->
        name = Terms.one_of(Terms.names())
        {operands, attrs} = Terms.call_of(name, pool)
        worker = Terms.argument(:worker, pool)

        case :rand.uniform(3) do
          1 -> {NIF, :apply_op, [worker, name, attrs, operands]}
          2 -> {Native, name, [worker, operands, attrs]}
          3 -> {Native, name, [worker, Terms.argument(:tensors, pool), Terms.any(pool)]}
        end
    end
  end

  # A limit that is below what is in use, or none at all, is for another test.
  defp arguments(:set_memory_limit, _kinds, pool) do
    [Terms.one_of([0, @limit, -1, Bitwise.bsl(1, 64), Terms.any(%{pool | tensors: [0]})])]
    |> Enum.map(&if is_integer(&1) and &1 > 0 and &1 < Bitwise.bsl(1, 64), do: @limit, else: &1)
  end

  defp arguments(_function, kinds, pool), do: Enum.map(kinds, &Terms.argument(&1, pool))

  defp call(module, function, arguments) do
    result = apply(module, function, arguments)
    {result, fault(result, {module, function, arguments})}
  rescue
    error in [ArgumentError, FunctionClauseError] ->
      {error, nil}

    error in ErlangError ->
      # A timeout that is none.
      fault =
        if error.original != :timeout_value, do: describe(error, {module, function, arguments})

      {error, fault}

    error ->
      {error, describe(error, {module, function, arguments})}
  end

  defp outcome({:error, _error}), do: 2
  defp outcome(%{__exception__: true}), do: 3
  defp outcome(_value), do: 1

  # A fault of Emily's is told as such, whatever it came from.
  defp fault({:error, %{kind: :internal, message: message} = error}, call) do
    if message =~ "report it" or message =~ "panicked", do: describe(error, call)
  end

  defp fault(_result, _call), do: nil

  defp describe(error, {module, function, arguments}) do
    arguments = inspect(arguments, limit: 30, printable_limit: 200, structs: false)
    "#{inspect(module)}.#{function} #{arguments}: #{inspect(error, limit: 50, structs: false)}"
  end

  defp pool do
    {:ok, worker} = Native.start_worker(:cpu)
    {:ok, wide} = Native.start_worker(:cpu, f64: true)
    {:ok, stopped} = Native.start_worker(:cpu)

    tensors =
      for shape <- [{}, {0}, {3}, {2, 3}, {3, 3}, {2, 1, 3}], dtype <- [:f32, :s32, :u8, :c64] do
        {:ok, [tensor]} =
          Native.iota(worker, [], %{dtype: dtype, shape: shape})

        tensor
      end

    {:ok, [double]} = Native.iota(wide, [], %{dtype: :f64, shape: {2, 2}})
    {:ok, [lost]} = Native.iota(stopped, [], %{dtype: :f32, shape: {3}})
    {:ok, ready} = Native.from_binary(worker, :s32, {2}, <<1::32-little, 0::32>>)
    {:ok, [failed]} = Native.remainder(worker, [ready, ready], %{})
    {:ok, released} = Native.from_binary(worker, :u8, {1}, <<1>>)
    Native.release(released)
    Native.stop_worker(stopped)

    {:ok, program} =
      Native.compile_program({[{:s32, {3}}], [], {[{[1], :add, %{}, [0, 0]}], [1]}})

    %{
      programs: [program],
      own: [worker, wide],
      workers: [worker, worker, worker, wide, stopped],
      tensors: [double, lost, ready, failed, released | tensors],
      requests: [NIF.read(ready, make_ref())]
    }
  end

  # What a call gives is used by later ones, and some of it is computed.
  defp keep(pool, {:ok, tensors}) when is_list(tensors),
    do: Enum.reduce(tensors, pool, &swap(&2, &1))

  defp keep(pool, {:wait, _ref, tensors}), do: Enum.reduce(tensors, pool, &swap(&2, &1))

  defp keep(pool, {:ok, reference}) when is_reference(reference) do
    cond do
      takes?(&NIF.type/1, reference) ->
        swap(pool, reference)

      takes?(&NIF.worker_name/1, reference) ->
        %{pool | own: [reference | pool.own], workers: Enum.take([reference | pool.workers], 8)}

      true ->
        %{pool | programs: Enum.take([reference | pool.programs], 8)}
    end
  end

  defp keep(pool, reference) when is_reference(reference) do
    %{pool | requests: Enum.take([reference | pool.requests], 8)}
  end

  defp keep(pool, _result), do: pool

  # Whether the reference is to what this function takes.
  defp takes?(function, reference) do
    function.(reference)
    true
  rescue
    ArgumentError -> false
  end

  defp swap(pool, tensor) do
    if Terms.chance?(3), do: NIF.eval(tensor, make_ref())
    tensors = List.replace_at(pool.tensors, :rand.uniform(length(pool.tensors)) - 1, tensor)
    %{pool | tensors: tensors}
  end

  # What came as messages until now.
  defp replies(found) do
    receive do
      {ref, reply} when is_reference(ref) ->
        fault = fault(reply, {NIF, :reply, []})
        replies(if fault, do: [fault | found], else: found)

      _room ->
        replies(found)
    after
      0 -> found
    end
  end

  defp figures do
    {:ok, %{active: active, cache: cache}} = Native.memory_stats()

    %{
      atoms: :erlang.system_info(:atom_count),
      processes: :erlang.system_info(:process_count),
      active: active,
      cache: cache,
      beam: :erlang.memory(:total),
      resident: resident()
    }
  end

  defp resident do
    with {:ok, text} <- File.read("/proc/self/status"),
         [_line, kilobytes] <- Regex.run(~r/VmRSS:\s+(\d+)/, text) do
      1024 * String.to_integer(kilobytes)
    else
      _none -> 0
    end
  end

  # The figures once what ended is gone, or after so many looks.
  defp settled(before, looks) do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    {:ok, worker} = Native.start_worker(:cpu)
    :ok = Native.clear_cache(worker)
    :ok = Native.stop_worker(worker)
    now = figures()

    if looks > 0 and leaks(before, now) != [] do
      Process.sleep(20)
      settled(before, looks - 1)
    else
      now
    end
  end

  defp leaks(before, now) do
    for {key, slack} <- [atoms: 200, processes: 0, active: @slack, beam: 10 * @slack],
        Map.fetch!(now, key) > Map.fetch!(before, key) + slack do
      "#{key} grew from #{Map.fetch!(before, key)} to #{Map.fetch!(now, key)}"
    end
  end
end
