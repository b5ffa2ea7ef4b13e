defmodule Emily.Soak.PlantedTest do
  @moduledoc """
  The soak finds what is planted, on the BEAM too. The engine's faults are those of soak/tests/planted.rs.
  """

  use ExUnit.Case, async: false

  alias Emily.{Native, Soak}
  alias Emily.MlxStream.Default
  alias Emily.Soak.{Record, Tally}

  @moduletag timeout: :infinity
  @moduletag soak: "planted"

  @iterations 1000
  @rehearsal 4

  # A record that is meant to be red is no part of the report, and lasts as long as its test needs.
  setup do
    names = ~w(EMILY_SOAK_RECORDS EMILY_SOAK_MINUTES EMILY_SOAK_ITERATIONS)
    before = for name <- names, do: {name, System.get_env(name)}
    folder = Path.join(System.tmp_dir!(), "emily-soak-planted-#{System.pid()}")
    for name <- names, do: System.delete_env(name)
    System.put_env("EMILY_SOAK_RECORDS", folder)

    on_exit(fn ->
      for {name, value} <- before,
          do: if(value, do: System.put_env(name, value), else: System.delete_env(name))

      File.rm_rf!(folder)
    end)
  end

  # Every turn asks for 8 KiB; `fault` is given the turn's number and the tensor.
  defp run(fault, opts \\ []) do
    turn = fn number, tally ->
      Tally.ask(tally, fn ->
        {:ok, [tensor]} = Native.iota(Default.worker(), [], %{dtype: :u8, shape: {8192}})
        :ok = Native.eval(tensor)
        fault.(number, tensor)
      end)

      number + 1
    end

    opts = Keyword.merge([iterations: @iterations, rehearsal: @rehearsal], opts)
    Soak.run(:memory, fn -> 1 end, turn, opts)
  end

  test "without a fault it is green" do
    run(fn _number, _tensor -> :ok end)
  end

  test "a tensor in a hundred turns that somebody keeps" do
    {:ok, keeper} = Agent.start_link(fn -> [] end)

    keep = fn number, tensor ->
      if rem(number, 100) == 50, do: Agent.update(keeper, &[tensor | &1])
    end

    error = assert_raise ExUnit.AssertionError, fn -> run(keep) end
    assert error.message =~ "tensor memory: grows by"
    assert error.message =~ "left at the end"
  end

  test "a reply that never comes" do
    lose = fn number, _tensor -> if number > @rehearsal, do: Process.sleep(:infinity) end
    {pid, ref} = spawn_monitor(fn -> run(lose, patience: 5) end)
    assert_receive {:DOWN, ^ref, :process, ^pid, :killed}, 60_000
    assert {:red, text} = Record.judge(%{path: Record.path(:memory)})
    assert text =~ "no turn ended within 5 s"
    assert text =~ "the process ended before the run did"
  end
end
