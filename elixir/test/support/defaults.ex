defmodule Emily.Defaults do
  @moduledoc """
  Nx's and Emily's defaults for a test, and those from before after it.
  """

  @doc "Makes it an error that an operation is not native, until the test ends, or the module's tests in `setup_all`."
  @spec native_only() :: :ok
  def native_only do
    Application.put_env(:emily, :fallback, :raise)
    ExUnit.Callbacks.on_exit(fn -> Application.delete_env(:emily, :fallback) end)
  end

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
