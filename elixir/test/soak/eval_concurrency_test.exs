defmodule Emily.Soak.EvalConcurrencyTest do
  use ExUnit.Case, async: false

  alias Emily.Soak
  alias Emily.Soak.{Network, Tally}

  @moduletag timeout: :infinity

  @callers 8
  @links 6

  @tag soak: "eval_concurrency"
  test "callers who evaluate the same compiled tensors at once get the same bits" do
    Soak.run(:eval_concurrency, &start/0, &turn/2, iterations: 1_000)
  end

  defp start do
    backend = Soak.backend()

    state = %{
      weights: Network.new({32, 64, 32}, backend),
      rows: Network.random({16, 32}, 1.0, 9, backend),
      infer: Nx.Defn.jit(&Network.infer/2, compiler: Emily.Compiler)
    }

    Map.put(
      state,
      :alone,
      for(link <- chain(state), do: link |> Nx.to_binary() |> :binary.copy())
    )
  end

  defp chain(state) do
    1..@links
    |> Enum.scan(state.rows, fn _link, rows -> Nx.add(rows, state.infer.(state.weights, rows)) end)
  end

  defp turn(state, tally) do
    links = Enum.zip(chain(state), state.alone)

    Soak.at_once(tally, 1..@callers, fn caller ->
      # Each begins elsewhere, and evaluates, starts or reads first.
      {back, front} = Enum.split(links, rem(caller, @links))

      for {{link, alone}, step} <- Enum.with_index(front ++ back) do
        case rem(caller + step, 3) do
          0 -> Tally.ask(tally, fn -> Emily.eval(link) end)
          1 -> Emily.async_eval(link)
          2 -> :read
        end

        with {:ok, bits} <- Tally.ask(tally, fn -> Nx.to_binary(link) end),
             do: Tally.same(tally, "evaluated by others too", bits, alone)
      end
    end)

    state
  end
end
