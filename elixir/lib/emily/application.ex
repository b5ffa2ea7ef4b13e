defmodule Emily.Application do
  @moduledoc false
  # Starts what must outlive any caller: the default workers' owner, and the memory of which
  # fallbacks were warned about. Neither needs the native library, so that the application starts,
  # and `mix emily.doctor` runs, where it is missing.

  use Application

  @impl true
  def start(_type, _args) do
    Emily.Fallback.init()

    Supervisor.start_link([Emily.MlxStream.Default],
      strategy: :one_for_one,
      name: Emily.Supervisor
    )
  end
end
