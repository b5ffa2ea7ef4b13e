defmodule Emily.MigratingTest do
  # guides/migrating.md says of each function of Emily 1.0's whether it is here. Its program runs in pages_test.exs.
  use ExUnit.Case, async: true

  @guide File.read!(Path.expand("../../guides/migrating.md", __DIR__))
  @row ~r"^\| `([\w.]+)\.([\w?]+)/(\d+)` \| (\w+) \|(.*)\|$"m

  test "what is there is there, and what is missing is not" do
    rows = Regex.scan(@row, @guide, capture: :all_but_first)
    assert length(rows) > 30

    wrong =
      for [module, name, arity, said, _remark] <- rows,
          exported?(module, name, String.to_integer(arity)) != said in ["there", "differs"],
          do: {"#{module}.#{name}/#{arity}", said}

    assert wrong == []
  end

  test "what it names instead is there" do
    rows = Regex.scan(@row, @guide, capture: :all_but_first)
    instead = Enum.map_join(rows, &List.last/1)

    missing =
      for [module, name, arity] <-
            Regex.scan(~r"`((?:Emily|Nx)[\w.]*)\.([\w?]+)/(\d+)`", instead,
              capture: :all_but_first
            ),
          not exported?(module, name, String.to_integer(arity)),
          do: "#{module}.#{name}/#{arity}"

    assert missing == []
  end

  defp exported?(module, name, arity) do
    module = Module.concat([module])
    Code.ensure_loaded?(module) and function_exported?(module, String.to_atom(name), arity)
  end
end
