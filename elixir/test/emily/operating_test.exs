defmodule Emily.OperatingTest do
  # OPERATING.md leaves out no event and no kind of error; its code runs in pages_test.exs.
  use ExUnit.Case, async: true

  @text File.read!(Path.expand("../../../OPERATING.md", __DIR__))

  test "every event is there" do
    {:docs_v1, _, _, _, %{"en" => doc}, _, _} = Code.fetch_docs(Emily.Telemetry)

    for [_all, event] <- Regex.scan(~r/^\| `\[(:emily[^\]]*)\]`/m, doc) do
      event = String.replace_suffix(event, ", *", "")
      assert @text =~ "[#{event}", "[#{event}] is missing"
    end
  end

  test "every kind of error is there" do
    {:docs_v1, _, _, _, %{"en" => doc}, _, _} = Code.fetch_docs(Emily.Error)
    [_before, kinds] = String.split(doc, "`:kind`", parts: 2)
    [kinds, _after] = String.split(kinds, "`:message`", parts: 2)

    for [_all, kind] <- Regex.scan(~r/\* `(:\w+)`/, kinds) do
      assert @text =~ "`#{kind}`", "#{kind} is missing"
    end
  end
end
