defmodule Emily.Soak.TrainingTest do
  use ExUnit.Case, async: false

  alias Emily.Soak
  alias Emily.Soak.{Network, Tally}

  @moduletag timeout: :infinity

  @tag soak: "training"
  test "training steps lower the loss and leave only weights" do
    Soak.run(:training, &start/0, &turn/2, iterations: 1_000)
  end

  defp start do
    backend = Soak.backend()

    %{
      weights: Network.new({32, 64, 16}, backend),
      rows: Network.random({64, 32}, 1.0, 9, backend),
      targets: Network.random({64, 16}, 1.0, 10, backend),
      step: Nx.Defn.jit(&Network.step/3, compiler: Emily.Compiler),
      first: nil
    }
  end

  defp turn(%{first: first} = state, tally) do
    {loss, weights} = state.step.(state.weights, state.rows, state.targets)
    {:ok, loss} = Tally.ask(tally, fn -> Nx.to_number(loss) end)
    first = first || loss

    if not is_number(loss) or loss > first,
      do: Tally.fault(tally, "the loss rose from #{first} to #{loss}")

    %{state | weights: weights, first: first}
  end
end
