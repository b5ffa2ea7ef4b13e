defmodule Emily.Soak.BackendConcurrencyTest do
  use ExUnit.Case, async: false

  alias Emily.MlxStream.Default
  alias Emily.{Native, Soak}
  alias Emily.Soak.{Network, Tally}

  @moduletag timeout: :infinity

  @callers 8
  @requests 4

  @tag soak: "backend_concurrency"
  test "eight callers of the default worker get the bits that each gets alone" do
    Soak.run(:backend_concurrency, &start/0, &turn/2, iterations: 1_000)
  end

  defp start do
    backend = Soak.backend()
    weights = Network.new({64, 128, 64}, backend)

    batches =
      for caller <- 1..@callers do
        rows = Network.random({16, 64}, 1.0, 100 + caller, backend)
        {rows, weights |> Network.infer(rows) |> Nx.to_binary() |> :binary.copy()}
      end

    {weights, batches}
  end

  defp turn({weights, batches} = state, tally) do
    Soak.at_once(tally, batches, fn {rows, alone} ->
      for _ <- 1..@requests do
        result = Network.infer(weights, rows)
        Tally.look(tally, Native.queue_depth(Default.worker()))

        with {:ok, bits} <- Tally.ask(tally, fn -> Nx.to_binary(result) end),
             do: Tally.same(tally, "beside other callers", bits, alone)
      end
    end)

    state
  end
end
