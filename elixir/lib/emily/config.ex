defmodule Emily.Config do
  @moduledoc false
  # The application's environment, checked where it is read, so that a typo is told at its first use.

  @doc "What a fallback to `Nx.BinaryBackend` does besides its telemetry."
  @spec fallback() :: :silent | :warn | :raise
  def fallback do
    case Application.fetch_env(:emily, :fallback) do
      {:ok, policy} when policy in [:silent, :warn, :raise] -> policy
      {:ok, other} -> wrong(:fallback, other, [:silent, :warn, :raise])
      :error -> if Application.get_env(:emily, :warn_on_fallback, false), do: :warn, else: :silent
    end
  end

  @doc "Whether an operation is waited for, and its error raised, where it is called."
  @spec dispatch() :: :pipelined | :sync
  def dispatch do
    case Application.get_env(:emily, :dispatch, :pipelined) do
      mode when mode in [:pipelined, :sync] -> mode
      other -> wrong(:dispatch, other, [:pipelined, :sync])
    end
  end

  defp wrong(key, value, known) do
    raise ArgumentError,
          "config :emily, #{inspect(key)} must be one of #{Enum.map_join(known, ", ", &inspect/1)}, " <>
            "got: #{inspect(value)}"
  end
end
