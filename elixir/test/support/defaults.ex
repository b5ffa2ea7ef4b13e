defmodule Emily.Defaults do
  @moduledoc """
  Nx's defaults for a test, and those from before after it.
  """

  @doc "Sets the default backend and the default options of `defn` until the test ends."
  @spec set(module() | {module(), keyword()}, keyword()) :: :ok
  def set(backend, options \\ []) do
    before = {Nx.default_backend(backend), Nx.Defn.default_options(options)}

    ExUnit.Callbacks.on_exit(fn ->
      {backend, options} = before
      Nx.default_backend(backend)
      Nx.Defn.default_options(options)
    end)
  end
end
