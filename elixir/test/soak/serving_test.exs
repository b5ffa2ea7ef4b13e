defmodule Emily.Soak.ServingTest do
  use ExUnit.Case, async: false

  alias Emily.{Soak, TestNode, TestServings}
  alias Emily.Soak.Tally

  @moduletag timeout: :infinity

  @callers 8

  # After so many turns the other node is killed, and after as many more there is one again.
  @turns 20

  @tag soak: "serving"
  # The VM warns of each request to the node that is gone.
  @tag capture_log: true
  test "every request to a serving is answered once, or fails with a reason" do
    Soak.run(:serving, &start/0, &turn/2, iterations: 400, rehearsal: 2 * @turns, stop: &stop/1)
  end

  defp start do
    batches = serve(TestServings.double(), :batches)
    streams = serve(Nx.Serving.streaming(TestServings.double()), :streams)
    %{servings: [batches, streams], peer: nil, count: 0}
  end

  defp serve(serving, name) do
    {:ok, pid} =
      Nx.Serving.start_link(serving: serving, name: name(name), batch_size: 4, batch_timeout: 2)

    pid
  end

  defp name(name), do: Module.concat(__MODULE__, name)

  defp stop(state) do
    if state.peer, do: TestNode.kill(state.peer)
    for pid <- state.servings, do: GenServer.stop(pid)
  end

  defp turn(state, tally) do
    {change, state} = change(rem(state.count, 2 * @turns), state)
    change = change && Task.async(change)

    Soak.at_once(tally, 1..@callers, fn caller ->
      numbers = for n <- 1..3, do: 100 * state.count + 10 * caller + n
      batch(tally, numbers)
      stream(tally, numbers)
      if state.peer, do: elsewhere(tally, numbers)
    end)

    if change, do: Task.await(change, 60_000)
    %{state | count: state.count + 1}
  end

  # What happens while the callers ask.
  defp change(0, %{peer: nil} = state) do
    {_peer, node} = peer = TestNode.start_mortal(~c"emily_soak_#{System.pid()}")
    :erpc.call(node, TestServings, :start_unlinked, [name(:distributed)])
    {nil, %{state | peer: peer}}
  end

  defp change(@turns, %{peer: peer} = state) when peer != nil do
    {fn -> TestNode.kill(peer) end, state}
  end

  defp change(turn, state) when turn > @turns, do: {nil, %{state | peer: nil}}
  defp change(_turn, state), do: {nil, state}

  defp batch(tally, numbers) do
    rows = for n <- numbers, do: Nx.tensor([n], backend: Soak.backend())

    with {:ok, result} <-
           Tally.ask(tally, fn ->
             name(:batches) |> Nx.Serving.batched_run(Nx.Batch.stack(rows)) |> Nx.to_flat_list()
           end),
         do: Tally.same(tally, "a batch", result, doubled(numbers))
  end

  # The answer may come in several batches.
  defp stream(tally, numbers) do
    rows = for n <- numbers, do: Nx.tensor([n])

    with {:ok, results} <-
           Tally.ask(tally, fn ->
             name(:streams) |> Nx.Serving.batched_run(Nx.Batch.stack(rows)) |> Enum.to_list()
           end) do
      result = for {:batch, tensor, _metadata} <- results, n <- Nx.to_flat_list(tensor), do: n
      Tally.same(tally, "a stream", result, doubled(numbers))
    end
  end

  # A node that is killed takes its requests with it, and their callers are told.
  defp elsewhere(tally, [n | _numbers]) do
    ask = fn ->
      try do
        {:distributed, name(:distributed)}
        |> Nx.Serving.batched_run(Nx.tensor([n]), &Nx.backend_copy/1)
        |> Nx.to_flat_list()
      catch
        :exit, reason -> {:gone, reason}
      end
    end

    case Tally.ask(tally, ask) do
      {:ok, {:gone, reason}} -> clear(tally, reason)
      {:ok, result} -> Tally.same(tally, "an answer of the other node", result, doubled([n]))
      {:error, _error} -> :ok
    end
  end

  defp clear(tally, reason) do
    text = inspect(reason)

    if not (text =~ "noproc" or text =~ "nodedown" or text =~ "noconnection"),
      do: Tally.fault(tally, "a request to a node that is gone: #{text}")
  end

  defp doubled(numbers), do: Enum.map(numbers, &(2 * &1 + 1))
end
