defmodule Emily.Models.ExamplesTest do
  @moduledoc """
  The examples that need a model run as they stand; each raises where it does not show what it says.
  """

  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  @moduletag :minilm

  setup do
    {arguments, backend} = {System.argv(), Nx.default_backend()}
    System.argv([System.fetch_env!("EMILY_MINILM")])

    on_exit(fn ->
      System.argv(arguments)
      Nx.global_default_backend(backend)
    end)
  end

  for name <- ["one", "streams", "several"] do
    test "serving_#{name}.exs" do
      file = Path.expand("../examples/serving_#{unquote(name)}.exs", __DIR__)
      assert capture_io(fn -> Code.eval_file(file) end) != ""
    end
  end
end
