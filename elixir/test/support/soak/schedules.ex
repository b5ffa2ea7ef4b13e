defmodule Emily.Soak.Schedules do
  @moduledoc """
  Counts the VM's reports of a scheduler that was kept for 5 ms by a process that was in Emily.

  The system takes schedulers away from the VM as well, and the VM cannot tell the two apart: on a busy
  machine some are reported whatever they do.
  """

  @long 5

  def start do
    pid = spawn_link(fn -> listen([]) end)
    :erlang.system_monitor(pid, [{:long_schedule, @long}])
    pid
  end

  def stop(pid) do
    :erlang.system_monitor(:undefined)
    Process.unlink(pid)
    Process.exit(pid, :kill)
  end

  @doc "How many there were since the last time."
  def count(pid) do
    ref = make_ref()
    send(pid, {:count, self(), ref})

    receive do
      {^ref, count} -> count
    end
  end

  defp listen(reports) do
    receive do
      {:monitor, pid, :long_schedule, info} when is_pid(pid) ->
        listen(if(ours?(info), do: [info | reports], else: reports))

      {:monitor, _port, :long_schedule, _info} ->
        listen(reports)

      {:count, from, ref} ->
        send(from, {ref, length(reports)})
        listen([])
    end
  end

  # Where the process was when it got the scheduler, or when it gave it back.
  defp ours?(info) do
    Enum.any?(info, fn
      {key, {module, _function, _arity}} when key in [:in, :out] ->
        String.starts_with?(Atom.to_string(module), "Elixir.Emily.Native")

      _other ->
        false
    end)
  end
end
