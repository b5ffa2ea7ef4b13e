defmodule Emily.Models.TrainingExamplesTest do
  @moduledoc """
  The examples of training run as they stand; each raises where it does not learn what it says.
  """

  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  @moduletag :long
  @moduletag :capture_log
  @moduletag timeout: 600_000

  setup do
    before = {System.argv(), Nx.default_backend(), Nx.Defn.default_options()}

    on_exit(fn ->
      {arguments, backend, options} = before
      System.argv(arguments)
      Nx.global_default_backend(backend)
      Nx.Defn.global_default_options(options)
    end)
  end

  for {name, needs, variable} <- [
        {"mnist", :digits, "EMILY_DIGITS"},
        {"mnist_axon", :digits, "EMILY_DIGITS"},
        {"fine_tuning", :minilm, "EMILY_MINILM"}
      ] do
    @tag needs
    test "#{name}.exs" do
      System.argv([System.fetch_env!(unquote(variable))])
      file = Path.expand("../examples/#{unquote(name)}.exs", __DIR__)
      assert capture_io(fn -> Code.eval_file(file) end) =~ "right"
    end
  end
end
