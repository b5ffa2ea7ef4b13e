defmodule Emily.PagesTest do
  # The code of the README, OPERATING.md and the guides runs, page by page, from top to bottom. What needs Axon
  # runs where models are: models/guides_test.exs.
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  alias Emily.Pages

  defmodule Elixir.MyModel do
    import Nx.Defn

    defn predict(params, input), do: Nx.dot(input, params)
  end

  @repository Path.expand("../../..", __DIR__)
  @needs_axon ["quantisation.md"]

  @pages Path.wildcard(Path.join(@repository, "elixir/guides/**/*.md"))
         |> Enum.reject(&(Path.basename(&1) in @needs_axon))
         |> Enum.concat(Enum.map(["README.md", "OPERATING.md"], &Path.join(@repository, &1)))

  # What pages that are no guides take for granted.
  @assumed %{
    "README.md" =>
      quote do
        [
          params: Nx.eye(2, backend: Emily.Backend),
          input: Nx.iota({1, 2}, backend: Emily.Backend),
          t: Nx.tensor([[2.0]], type: :f64, backend: Nx.BinaryBackend)
        ]
      end
  }

  setup do
    before = {Nx.default_backend(), Nx.Defn.default_options()}

    on_exit(fn ->
      {backend, options} = before
      Nx.global_default_backend(backend)
      Nx.Defn.global_default_options(options)
    end)
  end

  for page <- @pages do
    @tag :tmp_dir
    test Path.relative_to(page, @repository), %{tmp_dir: folder} do
      File.cd!(folder, fn ->
        capture_io(fn ->
          assert Pages.run(Pages.blocks(unquote(page)), unquote(page), assumed(unquote(page))) ==
                   :ok
        end)
      end)
    end
  end

  test "there are pages, with blocks" do
    assert length(@pages) >= 8
    assert @pages |> Enum.flat_map(&Pages.blocks/1) |> length() > 40
  end

  for {page, bindings} <- @assumed do
    defp assumed(unquote(Path.join(@repository, page))), do: unquote(bindings)
  end

  defp assumed(_guide), do: []
end
