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

  test "every function is called" do
    for {module, called} <- NifFuzz.functions() do
      all = module.__info__(:functions) |> Keyword.keys() |> Enum.uniq()
      assert Enum.sort(all -- [:collector, :load, :wind_down]) == Enum.sort(called)
    end
  end
end
