defmodule Emily.ConformanceTest do
  # The policy on fallbacks is the application's.
  use ExUnit.Case, async: false

  alias Emily.Conformance

  defmodule Twice do
    defstruct []
  end

  defp twice(t) do
    Nx.block(%Twice{}, [t], Nx.template({}, :s32), fn %Twice{}, t -> Nx.add(t, t) end)
  end

  defp answer(layer, fun) do
    Conformance.Nx.on(layer, :cpu, fn -> Conformance.Nx.native(:twice, fun) end)
  end

  test "what a block's default function gives is not the backend's answer" do
    for fun <- [
          fn -> twice(Nx.tensor(1)) end,
          fn -> Nx.Defn.jit_apply(&twice/1, [Nx.tensor(1)], compiler: Emily.Compiler) end
        ] do
      assert_raise RuntimeError, ~r/twice is not native: #{inspect(Twice)} ran/, fn ->
        answer(:backend, fun)
      end
    end

    assert answer(:backend, fn -> Nx.to_number(Nx.add(1, 1)) end) == 2
    # Nx's own backend has nothing else.
    assert answer(:nx, fn -> Nx.to_number(twice(Nx.tensor(1))) end) == 2
  end
end
