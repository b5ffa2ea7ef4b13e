defmodule Emily.NifFuzz.Slow do
  @moduledoc """
  Which calls of a batch keep a scheduler: those of the library that take too long, and the places in it
  where a process was that kept one for 5 ms, as the VM reports.

  The system takes schedulers away for as long, whoever has them: what is seen once need not be at fault.
  """

  alias Emily.Native.NIF

  @long 5

  # What runs elsewhere may take its time.
  @dirty [
    :apply_op_dirty,
    :from_binary_dirty,
    :gpu_available,
    :memory_stats,
    :reset_peak,
    :set_memory_limit,
    :start_worker
  ]

  @doc "Calls `fun` with a watch, and gives its result, and the calls and places with their batch's number."
  def watch(fun) do
    calls = :ets.new(__MODULE__, [:public])
    listener = spawn_link(fn -> listen([]) end)
    :erlang.system_monitor(listener, [{:long_schedule, @long}])
    result = fun.(calls)
    :erlang.system_monitor(:undefined)
    send(listener, {:stop, self()})
    reports = receive do: ({^listener, reports} -> reports)
    numbers = for {{:batch, pid}, number} <- :ets.tab2list(calls), into: %{}, do: {pid, number}
    places = for {pid, place} <- reports, number = numbers[pid], do: {number, place}
    slow = for {{:call, number, call}, name} <- :ets.tab2list(calls), do: {number, {call, name}}
    :ets.delete(calls)
    {result, MapSet.new(slow ++ places)}
  end

  @doc "Tells of the batch that this process is."
  def batch(calls, number), do: :ets.insert(calls, {{:batch, self()}, number})

  @doc "Calls `fun`, and tells of the call where it takes `limit` microseconds."
  def timed(calls, {number, call}, {NIF, function}, limit, fun) when function not in @dirty do
    {time, result} = :timer.tc(fun)
    if time >= limit, do: :ets.insert(calls, {{:call, number, call}, function})
    result
  end

  def timed(_calls, _which, _name, _limit, fun), do: fun.()

  defp listen(reports) do
    receive do
      {:monitor, pid, :long_schedule, info} ->
        ours = for {key, {NIF, _, _} = place} <- info, key in [:in, :out], do: {pid, {key, place}}
        listen(ours ++ reports)

      {:stop, from} ->
        send(from, {self(), reports})
    end
  end
end
