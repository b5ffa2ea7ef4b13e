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
    state = revive(state, rem(state.count, 2 * @turns))
    dies? = rem(state.count, 2 * @turns) == @turns
    death = if dies?, do: Task.async(fn -> TestNode.kill(state.peer) end)

    Soak.at_once(tally, 1..@callers, fn caller ->
      numbers = for n <- 1..3, do: 100 * state.count + 10 * caller + n
      batch(tally, numbers)
      stream(tally, numbers)
      if state.peer, do: elsewhere(tally, numbers, dies?)
      # None is answered twice.
      Tally.same(tally, "what is left to read", Process.info(self(), :messages), {:messages, []})
    end)

    if death, do: Task.await(death, 60_000)
    %{state | count: state.count + 1, peer: if(dies?, do: nil, else: state.peer)}
  end

  # Starts the other node, with a serving that is known here.
  defp revive(state, 0) do
    {_peer, node} = peer = TestNode.start_mortal(~c"emily_soak_#{System.pid()}")
    :erpc.call(node, TestServings, :start_unlinked, [name(:distributed)])
    wait_for_member(200)
    %{state | peer: peer}
  end

  defp revive(state, _turn), do: state

  defp wait_for_member(left) do
    if :pg.get_members(Nx.Serving.PG, name(:distributed)) == [] and left > 0 do
      Process.sleep(20)
      wait_for_member(left - 1)
    end
  end

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
  defp elsewhere(tally, [n | _numbers], dies?) do
    ask = fn ->
      try do
        {:distributed, name(:distributed)}
        |> Nx.Serving.batched_run(Nx.tensor([n]), &Nx.backend_copy/1)
        |> Nx.to_flat_list()
      catch
        :exit, reason -> {:gone, inspect(reason)}
      end
    end

    case Tally.ask(tally, ask) do
      {:ok, {:gone, reason}} ->
        if not (dies? and reason =~ ~r/noproc|nodedown|noconnection/),
          do: Tally.fault(tally, "a request to the other node: #{reason}")

      {:ok, result} ->
        Tally.same(tally, "an answer of the other node", result, doubled([n]))

      {:error, _told_already} ->
        :ok
    end
  end

  defp doubled(numbers), do: Enum.map(numbers, &(2 * &1 + 1))
end
