defmodule Emily.Models.GuidesTest do
  @moduledoc """
  The guides whose code needs Axon; test/emily/pages_test.exs runs the others.
  """

  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  alias Emily.Pages

  @guide Path.expand("../guides/quantisation.md", __DIR__)

  @tag :tmp_dir
  test "quantisation", %{tmp_dir: folder} do
    File.cd!(folder, fn ->
      capture_io(fn -> assert Pages.run(Pages.blocks(@guide), @guide) == :ok end)
    end)
  end
end
