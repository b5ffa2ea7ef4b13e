defmodule Emily.EndingTest do
  @moduledoc """
  However a VM ends, and whatever its workers do at that moment, it ends at once and with its own
  status. Each end is tried in VMs of its own. `EMILY_ENDS` says in how many, and is for a machine
  that nobody else keeps busy: each of them ends within 2 s, and the slowest is printed.
  """

  use ExUnit.Case, async: false

  @ends "EMILY_ENDS" |> System.get_env("2") |> String.to_integer()

  # A VM that has not ended by then hangs: what its workers have to do takes minutes.
  @patience 10_000

  # Milliseconds. On a machine that others share a VM may have to wait as long for a core.
  @at_once 2_000

  @moduletag timeout: 60_000 * @ends

  # Every stream has answered once before any begins its work, so that the VM is soon there.
  @prelude """
  {:ok, _apps} = Application.ensure_all_started(:emily)
  Nx.global_default_backend({Emily.Backend, device: :cpu})
  script = self()

  streams = fn count, work ->
    1..count
    |> Enum.map(fn _ ->
      spawn_link(fn ->
        Emily.Stream.with_stream(Emily.Stream.new(device: :cpu), fn ->
          [2] = Nx.to_flat_list(Nx.add(Nx.tensor([1]), 1))
          send(script, :works)
          receive do: (:go -> work.())
        end)
      end)
    end)
    |> tap(fn streams -> for _ <- streams, do: receive(do: (:works -> :ok)) end)
    |> Enum.each(&send(&1, :go))
  end

  """

  @idle """
  streams.(1, fn -> Nx.iota({1000}) |> Nx.add(1) |> Nx.to_binary() end)
  """

  @powers """
  powers = fn ->
    matrix = Nx.iota({2000, 2000}, type: :f32)
    Enum.reduce(1..1000, matrix, fn _, power -> Nx.dot(matrix, power) end)
  end

  """

  @matmuls @powers <>
             """
             streams.(8, fn ->
               held = powers.()
               Process.sleep(:infinity)
               held
             end)
             """

  @reads @powers <> "streams.(8, fn -> Nx.to_binary(powers.()) end)\n"

  @one_read @powers <> "streams.(1, fn -> Nx.to_binary(powers.()) end)\n"

  @adds """
  streams.(4, fn ->
    large = Nx.iota({100_000}, type: :f32)
    1..100_000 |> Enum.reduce(large, fn _, sum -> Nx.add(sum, large) end) |> Nx.to_binary()
  end)
  """

  @submitting """
  bytes = :binary.copy(<<1::32-native>>, 10_000)

  streams.(8, fn ->
    Enum.each(Elixir.Stream.cycle([1]), fn _ ->
      bytes |> Nx.from_binary(:s32) |> Nx.add(1) |> Nx.sum() |> Nx.to_number()
    end)
  end)
  """

  for {name, work, ending, status} <- [
        {"halt when all is computed", @idle, "System.halt(7)", 7},
        {"halt while eight workers multiply", @matmuls, "System.halt(7)", 7},
        {"halt while four workers add", @adds, "System.halt(7)", 7},
        {"halt while processes submit and read", @submitting, "System.halt(7)", 7},
        {"stop with eight reads pending", @reads, "System.stop(7); Process.sleep(:infinity)", 7},
        {"stop while processes submit and read", @submitting,
         "System.stop(7); Process.sleep(:infinity)", 7},
        {"the application's end while eight workers multiply", @matmuls,
         "Application.stop(:emily); System.halt(7)", 7},
        {"a script's end when all is computed", @idle, "", 0},
        {"a script's end with one read pending", @one_read, "", 0},
        {"a script's exception while eight workers multiply", @matmuls, "raise \"meant\"", 1},
        {"SIGTERM with eight reads pending", @reads, :sigterm, 0}
      ] do
    @work work
    @ending ending
    @status status

    test name, %{test: test} do
      ends = for _ <- 1..@ends, do: run(@work, @ending)
      if System.get_env("EMILY_ENDS"), do: IO.puts(row(test, ends, @status))
      # With what a wrong one printed.
      assert Enum.reject(ends, &(&1.status == @status)) == []
      if System.get_env("EMILY_ENDS"), do: assert(Enum.count(ends, &(&1.time > @at_once)) == 0)
    end
  end

  @late """
  defmodule Late do
    use GenServer

    def start_link(worker), do: GenServer.start_link(__MODULE__, worker)

    @impl true
    def init(worker) do
      Process.flag(:trap_exit, true)
      {:ok, worker}
    end

    # The VM stops this process after the applications.
    @impl true
    def terminate(_reason, worker) do
      {:error, error} = Emily.Native.iota(worker, [], %{dtype: :u8, shape: {3}})
      :erlang.display({:late, error.kind})
    end
  end

  {:ok, worker} = Emily.Native.start_worker(:cpu)
  {:ok, _pid} = Supervisor.start_child(:kernel_safe_sup, {Late, worker})
  """

  test "nothing is begun any more once the VM has stopped the application" do
    ending = run(@late, "System.stop(7); Process.sleep(:infinity)")
    assert %{status: 7} = ending
    assert ending.printed =~ "{late,stopped}"
  end

  test "the application can start again" do
    again = """
    {:ok, worker} = Emily.Native.start_worker(:cpu)
    before = Emily.MlxStream.Default.worker(:cpu)
    :ok = Application.stop(:emily)
    {:ok, _apps} = Application.ensure_all_started(:emily)
    {:error, %{kind: :stopped}} = Emily.Native.iota(before, [], %{dtype: :u8, shape: {3}})
    {:ok, _tensors} = Emily.Native.iota(worker, [], %{dtype: :u8, shape: {3}})
    [2] = Nx.to_flat_list(Nx.add(Nx.tensor([1]), 1))
    System.halt(7)
    """

    assert %{status: 7} = run(@idle, again)
  end

  defp row(test, ends, status) do
    times = Enum.map(ends, & &1.time)

    cells = [
      test,
      length(ends),
      Enum.count(ends, &(&1.status != status)),
      Enum.count(times, &(&1 > @at_once)),
      "#{Enum.max(times)} ms",
      inspect(ends |> Enum.map(& &1.status) |> Enum.frequencies())
    ]

    Enum.map_join(cells, " | ", &to_string/1)
  end

  # The status, or `:hangs`, what was printed, and how many milliseconds that took.
  defp run(work, ending) do
    {in_there, from_here} =
      if ending == :sigterm, do: {"Process.sleep(:infinity)", true}, else: {ending, false}

    script = Enum.join([@prelude, work, "Process.sleep(300)\nIO.puts(\"ready\")\n", in_there])

    port =
      Port.open(
        {:spawn_executable, System.find_executable("elixir")},
        [:binary, :exit_status, :stderr_to_stdout, args: paths() ++ ["-e", script]]
      )

    {:os_pid, pid} = Port.info(port, :os_pid)
    printed = await_ready(port, "")
    start = System.monotonic_time(:millisecond)
    if from_here, do: signal("TERM", pid)
    {status, printed} = await_end(port, start + @patience, printed)
    time = System.monotonic_time(:millisecond) - start

    if status == :hangs do
      signal("KILL", pid)
      Port.close(port)
    end

    %{status: status, time: time, printed: printed}
  end

  defp paths, do: Enum.flat_map(:code.get_path(), &["-pa", to_string(&1)])

  defp signal(name, pid), do: {_out, 0} = System.cmd("kill", ["-#{name}", "#{pid}"])

  # What was printed besides: the end may come in the same message, or before.
  defp await_ready(port, printed) do
    receive do
      {^port, {:data, data}} ->
        case String.split(printed <> data, "ready\n", parts: 2) do
          [before, later] -> before <> later
          [printed] -> await_ready(port, printed)
        end

      {^port, {:exit_status, status}} ->
        flunk("the VM ended with #{status} before it was to: #{printed}")
    end
  end

  defp await_end(port, deadline, printed) do
    receive do
      {^port, {:exit_status, status}} -> {status, printed}
      {^port, {:data, data}} -> await_end(port, deadline, printed <> data)
    after
      max(deadline - System.monotonic_time(:millisecond), 0) -> {:hangs, printed}
    end
  end
end
