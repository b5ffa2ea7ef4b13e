defmodule Emily.Config do
  @moduledoc false
  # The application's environment, checked where it is read, so that a typo is told at its first use.

  @doc "What a fallback to `Nx.BinaryBackend` does besides its telemetry."
  @spec fallback() :: :silent | :warn | :raise
  def fallback do
    default = if Application.get_env(:emily, :warn_on_fallback, false), do: :warn, else: :silent
    one_of!(:fallback, default, [:silent, :warn, :raise])
  end

  @doc "Whether an operation is waited for, and its error raised, where it is called."
  @spec dispatch() :: :pipelined | :sync
  def dispatch, do: one_of!(:dispatch, :pipelined, [:pipelined, :sync])

  @doc "Whether an inspected tensor names its backend."
  @spec add_backend_on_inspect?() :: boolean()
  def add_backend_on_inspect?, do: one_of!(:add_backend_on_inspect, true, [true, false])

  @doc "The bytes of results after which a process is collected."
  @spec collect_after() :: pos_integer()
  def collect_after do
    case Application.get_env(:emily, :collect_after, 256 * 1024 * 1024) do
      bytes when is_integer(bytes) and bytes > 0 ->
        bytes

      other ->
        raise ArgumentError,
              "config :emily, :collect_after must be a number of bytes above 0, got: #{inspect(other)}"
    end
  end

  defp one_of!(key, default, known) do
    value = Application.get_env(:emily, key, default)

    if value in known do
      value
    else
      raise ArgumentError,
            "config :emily, #{inspect(key)} must be one of " <>
              "#{Enum.map_join(known, ", ", &inspect/1)}, got: #{inspect(value)}"
    end
  end
end
