defmodule Emily.Soak.StreamConcurrencyTest do
  use ExUnit.Case, async: false

  alias Emily.Soak
  alias Emily.Soak.{Network, Tally}

  @moduletag timeout: :infinity

  @streams 8
  @sizes {256, 1024, 256}
  # Of f32.
  @weights 4 * (256 * 1024 + 1024 + 1024 * 256 + 256)

  @tag soak: "stream_concurrency"
  test "a stream a process: the bits are those of one, and the weights are in memory once" do
    Soak.run(:stream_concurrency, &start/0, &turn/2, iterations: 1_000)
  end

  defp start do
    :erlang.garbage_collect()
    before = Emily.Memory.stats().active
    backend = Soak.backend()
    weights = Network.new(@sizes, backend)
    batches = for n <- 1..@streams, do: Network.random({4, 256}, 1.0, 100 + n, backend)
    results = Enum.map(batches, &Network.infer(weights, &1))
    neighbours = tl(results) ++ [hd(results)]

    alone =
      Enum.zip_with(results, neighbours, fn result, neighbour ->
        Nx.add(result, neighbour) |> Nx.to_binary() |> :binary.copy()
      end)

    streams = for _ <- 1..@streams, do: Emily.Stream.new(device: Soak.device())
    %{weights: weights, batches: batches, alone: alone, streams: streams, before: before}
  end

  defp turn(state, tally) do
    turn = self()

    callers =
      for {stream, rows, alone} <- Enum.zip([state.streams, state.batches, state.alone]) do
        spawn_monitor(fn ->
          Emily.Stream.with_stream(stream, fn ->
            own = Network.infer(state.weights, rows)
            Tally.look(tally, Emily.Stream.queue_depth(stream))
            send(turn, {:own, self(), own})
            receive do: ({:neighbour, other} -> add(tally, own, other, alone))
          end)
        end)
      end

    # What each has yet to compute goes to its neighbour.
    pending = for {pid, _ref} <- callers, do: receive(do: ({:own, ^pid, own} -> own))

    for {{pid, _ref}, other} <- Enum.zip(callers, tl(pending) ++ [hd(pending)]),
        do: send(pid, {:neighbour, other})

    for {pid, ref} <- callers do
      receive do: ({:DOWN, ^ref, :process, ^pid, reason} ->
                     Tally.same(tally, "an end", reason, :normal))
    end

    active = Emily.Memory.stats().active - state.before

    # Garbage of the callers is not half of them.
    if active > @weights * 3 / 2,
      do:
        Tally.fault(
          tally,
          "weights of #{@weights} bytes are in memory more than once: #{active} bytes"
        )

    state
  end

  defp add(tally, own, other, alone) do
    with {:ok, bits} <- Tally.ask(tally, fn -> Nx.to_binary(Nx.add(own, other)) end),
         do: Tally.same(tally, "beside other streams", bits, alone)
  end
end
