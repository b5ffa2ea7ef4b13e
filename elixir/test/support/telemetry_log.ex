defmodule Emily.TelemetryLog do
  @moduledoc """
  Sends this process the telemetry events that it causes, as `{event, measurements, metadata}`.
  """

  @doc "Attaches to the events until the test is over."
  def attach(events) do
    id = {__MODULE__, make_ref()}
    :ok = :telemetry.attach_many(id, events, &__MODULE__.handle/4, self())
    ExUnit.Callbacks.on_exit(fn -> :telemetry.detach(id) end)
  end

  @doc "The events so far, oldest first."
  def flush(events \\ []) do
    receive do
      {__MODULE__, event} -> flush([event | events])
    after
      0 -> Enum.reverse(events)
    end
  end

  @doc false
  # Handlers run in the process that causes the event; other tests' events are not ours.
  def handle(event, measurements, metadata, pid) do
    if self() == pid, do: send(pid, {__MODULE__, {event, measurements, metadata}})
  end
end
