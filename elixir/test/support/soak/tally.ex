defmodule Emily.Soak.Tally do
  @moduledoc """
  Requests, replies and faults of a harness, counted by any of its processes.
  """

  @asked 1
  @answered 2

  @doc "Nothing counted yet."
  def new do
    table = :ets.new(__MODULE__, [:public, :duplicate_bag, write_concurrency: true])
    %{table: table, counts: :counters.new(2, []), depth: :atomics.new(1, [])}
  end

  def delete(tally), do: :ets.delete(tally.table)

  @doc """
  Asks by `fun`, and counts the reply and how long it took. What `fun` raises is a fault, unless it is one
  of these exceptions, which is then the reply.
  """
  def ask(tally, fun, allowed \\ []) do
    :counters.add(tally.counts, @asked, 1)
    start = :erlang.monotonic_time(:nanosecond)

    reply =
      try do
        {:ok, fun.()}
      rescue
        error ->
          if error.__struct__ not in allowed,
            do: fault(tally, Exception.format(:error, error, __STACKTRACE__))

          {:error, error}
      end

    time = :erlang.monotonic_time(:nanosecond) - start
    :counters.add(tally.counts, @answered, 1)
    :ets.insert(tally.table, {:latency, time / 1000})
    reply
  end

  @doc "Tells of something that may not happen."
  def fault(tally, text), do: :ets.insert(tally.table, {:fault, text})

  @doc "Tells of a fault where these differ."
  def same(_tally, _what, same, same), do: true

  def same(tally, what, got, want) do
    fault(tally, "#{what}: #{inspect(got, limit: 8)} is not #{inspect(want, limit: 8)}")
  end

  @doc "Takes note of so many jobs that wait."
  def look(tally, depth),
    do: if(depth > :atomics.get(tally.depth, 1), do: :atomics.put(tally.depth, 1, depth))

  def faults(tally), do: for({:fault, text} <- :ets.lookup(tally.table, :fault), do: text)

  def counts(tally),
    do: {:counters.get(tally.counts, @asked), :counters.get(tally.counts, @answered)}

  @doc "How many were answered since the last time, and what was measured."
  def measured(tally) do
    latencies = Enum.sort(for {:latency, time} <- :ets.take(tally.table, :latency), do: time)
    depth = :atomics.exchange(tally.depth, 1, 0)

    percentile = fn share ->
      Enum.at(latencies, max(ceil(length(latencies) * share / 100) - 1, 0))
    end

    case latencies do
      [] -> {0, %{depth: depth}}
      _some -> {length(latencies), %{depth: depth, p50: percentile.(50), p99: percentile.(99)}}
    end
  end
end
