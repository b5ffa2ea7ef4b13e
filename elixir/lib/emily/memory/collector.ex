defmodule Emily.Memory.Collector do
  @moduledoc false
  # Has processes collected whose garbage is large tensors. To the VM a tensor is a few words, so it sees
  # no reason to. Each process counts the bytes that it was given, and is collected past a threshold; where
  # memory is short all the same, a worker asks this server to have every process collected.

  use GenServer

  alias Emily.{Config, Native}

  # How long the processes have, all together: less than a worker waits.
  @patience 1_500

  @key {__MODULE__, :given}

  # Smaller tensors are not counted: counting them would cost a good part of making them.
  @small 64 * 1024

  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, name: __MODULE__)

  @doc "Counts bytes that the calling process was given, and collects it when they are many."
  @spec count(non_neg_integer()) :: :ok
  def count(bytes) when bytes < @small, do: :ok

  def count(bytes) do
    {given, threshold} = Process.get(@key, {0, Config.collect_after()})

    if given + bytes < threshold do
      Process.put(@key, {given + bytes, threshold})
      :ok
    else
      collect(given + bytes)
    end
  end

  # What stays is needed: the more there is, the less a collection gives.
  defp collect(given) do
    started = System.monotonic_time()
    :erlang.garbage_collect()
    threshold = max(Config.collect_after(), div(active(), 2))
    Process.put(@key, {0, threshold})
    measurements = %{duration: System.monotonic_time() - started, given: given, processes: 1}
    :telemetry.execute([:emily, :memory, :collect], measurements, %{reason: :threshold})
  end

  defp active do
    case Native.memory_stats() do
      {:ok, stats} -> stats.active
      {:error, _error} -> 0
    end
  end

  @impl true
  def init(_opts) do
    {:ok, nil, {:continue, :register}}
  end

  # Where the library is missing there is nothing to collect for.
  @impl true
  def handle_continue(:register, state) do
    if Native.NIF.status() == :ok, do: Native.NIF.collector()
    {:noreply, state}
  end

  @impl true
  def handle_info({:emily_pressure, pressure}, state) do
    started = System.monotonic_time()
    asked = for pid <- Process.list(), pid != self(), do: ask(pid)
    answered = await(length(asked), System.monotonic_time(:millisecond) + @patience, 0)
    :erlang.garbage_collect()
    Native.NIF.relieved(pressure)
    measurements = %{duration: System.monotonic_time() - started, given: 0, processes: answered}
    :telemetry.execute([:emily, :memory, :collect], measurements, %{reason: :pressure})
    {:noreply, state}
  end

  # Late answers, of processes that were at something that cannot be interrupted.
  def handle_info({:garbage_collect, _request, _result}, state), do: {:noreply, state}

  defp ask(pid), do: :erlang.garbage_collect(pid, async: pid)

  defp await(0, _until, answered), do: answered

  defp await(count, until, answered) do
    receive do
      {:garbage_collect, _pid, _result} -> await(count - 1, until, answered + 1)
    after
      max(until - System.monotonic_time(:millisecond), 0) -> answered
    end
  end
end
