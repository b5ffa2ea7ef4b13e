defmodule Emily.RandomFunctionsTest do
  @moduledoc """
  Random functions, as programs and operation by operation: the same bits. `EMILY_FUNCTIONS` is how many.
  """

  use ExUnit.Case, async: true

  alias Emily.RandomFunctions

  test "a program gives the bits of its operations, whatever the function is" do
    count = "EMILY_FUNCTIONS" |> System.get_env("60") |> String.to_integer()
    first = System.os_time(:second)
    t = Nx.tensor([[0.5, -1.25, 2.0], [3.0, -0.0, 0.125]], backend: Emily.Backend)

    for seed <- first..(first + count - 1) do
      fun = RandomFunctions.make(seed)
      # A call of Elixir's that may not be needed is the one reason to walk.
      walked = Emily.Compiler.explain(fun, [t]).walked
      assert walked in [nil, "runtime_call is used in branches alone"], "seed #{seed} is walked"

      [program, walk] =
        for compiler <- [Emily.Compiler, Nx.Defn.Evaluator] do
          Nx.with_default_backend(Emily.Backend, fn ->
            Nx.Defn.jit(fun, compiler: compiler).(t) |> Nx.to_binary()
          end)
        end

      assert program == walk, "seed #{seed} differs"
    end
  end
end
