defmodule Emily.Soak.Schedules do
  @moduledoc """
  Counts the VM's reports of a scheduler that was kept for 5 ms by a process that was in Emily.

  The system takes schedulers away from the VM as well, and the VM cannot tell the two apart: on a busy
  machine some are reported whatever they do.
  """

  @long 5

  def start do
    pid = spawn_link(fn -> listen(0, %{}) end)
    :erlang.system_monitor(pid, [{:long_schedule, @long}])
    pid
  end

  @doc "Stops, and gives the places that were reported, with how often each was."
  def stop(pid) do
    :erlang.system_monitor(:undefined)
    ask(pid, :stop)
  end

  @doc "How many there were since the last time."
  def count(pid), do: ask(pid, :count)

  defp ask(pid, what) do
    ref = make_ref()
    send(pid, {what, self(), ref})

    receive do
      {^ref, answer} -> answer
    end
  end

  defp listen(since, places) do
    receive do
      {:monitor, pid, :long_schedule, info} when is_pid(pid) ->
        place = {info[:in], info[:out]}

        if ours?(place),
          do: listen(since + 1, Map.update(places, place, 1, &(&1 + 1))),
          else: listen(since, places)

      {:monitor, _port, :long_schedule, _info} ->
        listen(since, places)

      {:count, from, ref} ->
        send(from, {ref, since})
        listen(0, places)

      {:stop, from, ref} ->
        send(from, {ref, places})
    end
  end

  # Where the process was when it got the scheduler, or when it gave it back.
  defp ours?({at_first, at_last}), do: native?(at_first) or native?(at_last)

  defp native?({module, _function, _arity}) do
    String.starts_with?(Atom.to_string(module), "Elixir.Emily.Native")
  end

  defp native?(_none), do: false
end
