defmodule Emily.Soak.BackendSoakTest do
  use ExUnit.Case, async: false

  alias Emily.Conformance.Nif
  alias Emily.Soak
  alias Emily.Soak.{Record, Tally}

  @moduletag timeout: :infinity

  # So many different ones, again and again: the rest of a run finds what is made for each call.
  @calls 2_000

  # What a random call may be told is wrong with it.
  @belong [:shape, :dtype, :argument, :index, :numeric]

  @tag soak: "backend_soak"
  test "random calls of every op have a value, or the error that belongs there" do
    Soak.run(:backend_soak, &start/0, &turn/2, iterations: 10_000, rehearsal: @calls)
  end

  defp start do
    path = Path.join(System.tmp_dir!(), "emily-soak-calls-#{System.pid()}")
    {_text, 0} = Record.program(~w(calls --count #{@calls} --device #{Soak.device()} #{path}))
    {:run, :nif, device, calls} = path |> File.read!() |> :erlang.binary_to_term()
    File.rm!(path)
    %{worker: Nif.start(device), calls: calls, left: []}
  end

  defp turn(%{left: []} = state, tally), do: turn(%{state | left: state.calls}, tally)

  defp turn(%{left: [{op, attrs, inputs} | left]} = state, tally) do
    call = fn -> state.worker |> Nif.run(op, attrs, inputs) |> Nif.read() end

    case Tally.ask(tally, call, [Emily.Error]) do
      {:ok, _results} -> :ok
      {:error, %Emily.Error{kind: kind}} when kind in @belong -> :ok
      {:error, error} -> Tally.fault(tally, "a call of #{op}: #{inspect(error)}")
    end

    %{state | left: left}
  end
end
