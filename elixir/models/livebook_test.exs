defmodule Emily.Models.LivebookTest do
  @moduledoc """
  Every notebook runs as it stands. What it shows, it asserts itself, by matches.
  """

  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  alias Emily.Models.{Livebook, Usage}
  alias Emily.Pages

  # Whisper takes half a minute, and more where cores are shared.
  @moduletag timeout: 600_000

  @folder Path.expand("../livebooks", __DIR__)

  # What a notebook needs, as models/test_helper.exs knows it.
  @needs %{
    "conformance_report" => :report,
    "mnist" => :digits,
    "sentence_search" => :minilm,
    "speech_to_text" => :whisper,
    "streams_and_serving" => :minilm
  }

  setup do
    # What notebooks tell of memory is their own.
    Usage.settled()
    {backend, options} = {Nx.default_backend(), Nx.Defn.default_options()}

    on_exit(fn ->
      Nx.global_default_backend(backend)
      Nx.Defn.global_default_options(options)
    end)
  end

  for file <- Path.wildcard(Path.join(@folder, "*.livemd")),
      name = Path.basename(file, ".livemd") do
    if need = @needs[name], do: @tag([{need, true}])

    test name do
      capture_io(fn -> assert Livebook.run(unquote(file)) == :ok end)
    end
  end

  test "the setup cell of each installs this package" do
    for file <- Path.wildcard(Path.join(@folder, "*.livemd")) do
      [{_line, setup} | _cells] = Pages.blocks(file)
      assert setup =~ ~r/Mix\.install\(\[\s*\{:emily, emily\}/, file
    end
  end
end
