defmodule Emily.OperatingTest do
  # OPERATING.md: its code runs, and it leaves out no event and no kind of error.
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  @text File.read!(Path.expand("../../../OPERATING.md", __DIR__))

  for {[_all, code], index} <- Enum.with_index(Regex.scan(~r/^```elixir\n(.*?)^```/ms, @text), 1) do
    test "block #{index} runs" do
      capture_io(fn -> Code.eval_string(unquote(code), [], file: "OPERATING.md") end)
    end
  end

  test "there are blocks" do
    assert length(Regex.scan(~r/^```elixir$/m, @text)) >= 6
  end

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
