defmodule Emily.Application do
  @moduledoc false
  # Starts what must outlive any caller: the default workers' owner, the collector of processes, and the
  # memory of which fallbacks were warned about. None needs the native library, so that the application starts,
  # and `mix emily.doctor` runs, where it is missing.

  use Application

  alias Emily.{MlxStream, Native}

  @impl true
  def start(_type, _args) do
    Emily.Fallback.init()

    Supervisor.start_link([Emily.Memory.Collector, Emily.MlxStream.Default],
      strategy: :one_for_one,
      name: Emily.Supervisor
    )
  end

  # Applications that need this one are stopped by now. What the default workers have queued is for
  # nobody; and where the VM stops too, so is everything else, which would only hold the end up.
  @impl true
  def prep_stop(state) do
    Enum.each(MlxStream.Default.running(), &Native.stop_worker(&1.worker))
    if vm_stops?() and library_loaded?(), do: Native.NIF.wind_down()
    state
  end

  # `:init.get_status/0` has no answer while init waits for the applications to stop. Where init
  # waits elsewhere, in another release of OTP, the end comes as surely, and takes a little longer.
  defp vm_stops? do
    does = :init |> Process.whereis() |> Process.info(:current_function)
    match?({:current_function, {:init, :shutdown_loop, _arity}}, does)
  end

  defp library_loaded? do
    :erlang.module_loaded(Native.NIF) and Native.NIF.status() == :ok
  end
end
