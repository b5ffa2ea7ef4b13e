defmodule Emily.Models.Tiny do
  @moduledoc """
  The tiny models of fixtures/slices, as Bumblebee loads them.
  """

  @folder Path.expand("../../../fixtures/slices", __DIR__)

  @doc "What `Bumblebee.load_model/2` gives of a folder's architecture."
  @spec load(String.t(), atom()) :: map()
  def load(name, architecture) do
    {:ok, info} =
      Bumblebee.load_model({:local, Path.join(@folder, name)},
        architecture: architecture,
        log_params_diff: false
      )

    info
  end
end
