defmodule Emily.NifFuzzTest do
  @moduledoc """
  A short run of what `cargo xtask fuzz --nif` does for long; `EMILY_NIF_FUZZ` is its number of calls.
  """

  use ExUnit.Case, async: false

  alias Emily.NifFuzz

  test "no terms end the VM, hang it, or stay in it" do
    calls = "EMILY_NIF_FUZZ" |> System.get_env("10000") |> String.to_integer()
    report = NifFuzz.run(calls, System.os_time(:second))
    assert report.found == [], inspect(report, pretty: true)
  end

  test "a call that is slow each time is found, and one that is slow once is not" do
    assert %{found: []} = NifFuzz.run(1000, 1, long: 3_600_000_000)
    report = NifFuzz.run(1000, 1, long: 0)
    assert length(report.found) > 100
    assert Enum.all?(report.found, &(&1 =~ ~r/^batch 1 is slow at \{\d+, :\w+\}$/))
  end

  test "every function is called" do
    for {module, called} <- NifFuzz.functions() do
      all = module.__info__(:functions) |> Keyword.keys() |> Enum.uniq()
      assert Enum.sort(all -- [:collector, :load, :wind_down]) == Enum.sort(called)
    end
  end
end
