defmodule Emily.Models.Tiny do
  @moduledoc """
  The tiny models of fixtures/slices, as Bumblebee loads them.
  """

  @folder Path.expand("../../../fixtures/slices", __DIR__)

  @doc "What `Bumblebee.load_model/2` gives of a folder's architecture, with these options of its."
  @spec load(String.t(), atom(), keyword()) :: map()
  def load(name, architecture, opts \\ []) do
    opts = [architecture: architecture, log_params_diff: false] ++ opts
    {:ok, info} = Bumblebee.load_model({:local, Path.join(@folder, name)}, opts)

    info
  end
end
