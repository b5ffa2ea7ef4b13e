defmodule Emily.Models.Livebook do
  @moduledoc """
  Runs notebooks from their `.livemd` files, without Livebook.
  """

  alias Emily.Pages

  @doc """
  Evaluates a notebook's cells but the first, which installs packages. What a cell raises is raised, with its
  line in the file.
  """
  @spec run(Path.t()) :: :ok
  def run(file) do
    [{_line, "# Emily is not on Hex" <> _setup} | cells] = Pages.blocks(file)
    Pages.run(cells, file)
  end
end
