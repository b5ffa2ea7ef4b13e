defmodule Emily.Soak.MemoryTest do
  use ExUnit.Case, async: false

  alias Emily.Soak
  alias Emily.Soak.{Network, Tally}

  @moduletag timeout: :infinity

  @tag soak: "memory"
  test "forward passes leave nothing" do
    Soak.run(:memory, &start/0, &turn/2, iterations: 10_000)
  end

  defp start do
    backend = Soak.backend()
    {Network.new({64, 128, 64}, backend), Network.random({32, 64}, 1.0, 9, backend)}
  end

  defp turn({weights, rows} = state, tally) do
    Tally.ask(tally, fn -> weights |> Network.infer(rows) |> Nx.to_binary() end)
    state
  end
end
