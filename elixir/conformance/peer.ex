defmodule Emily.Conformance.Peer do
  @moduledoc """
  The layer of a foreign backend: any `Nx.Backend` on the code path, named by an Elixir term.
  """

  @doc """
  The backend that a literal names, `Torchx.Backend` or `{EXLA.Backend, client: :host}`, started with
  its application and tried once; or why it cannot be judged.
  """
  @spec find(String.t()) :: {:ok, {module(), keyword()}} | {:error, String.t()}
  def find(text) do
    with {:ok, term} <- literal(text),
         {:ok, {module, options}} <- backend(term),
         :ok <- load(module),
         :ok <- start(module) do
      try_once({module, options})
    end
  end

  @doc "The version of the application that the backend's module belongs to, by its name."
  @spec versions({module(), keyword()}) :: %{String.t() => String.t()}
  def versions({module, _options}) do
    for app <- apps(module), vsn = Application.spec(app, :vsn), into: %{} do
      {to_string(app), to_string(vsn)}
    end
  end

  defp literal(text) do
    with {:ok, quoted} <- Code.string_to_quoted(text),
         true <- Macro.quoted_literal?(quoted) do
      # A literal calls nothing.
      {term, _bindings} = Code.eval_quoted(quoted)
      {:ok, term}
    else
      _ -> {:error, "#{text} is no literal of Elixir's"}
    end
  end

  defp backend({module, options}) when is_atom(module) and is_list(options) do
    {:ok, {module, options}}
  end

  defp backend(module) when is_atom(module), do: {:ok, {module, []}}

  defp backend(term) do
    {:error, "#{inspect(term)} is neither a module nor {module, options}"}
  end

  defp load(module) do
    with {:module, _} <- Code.ensure_loaded(module),
         true <- Nx.Backend in List.flatten(behaviours(module)) do
      :ok
    else
      false ->
        {:error, "#{inspect(module)} is no Nx.Backend"}

      {:error, :nofile} ->
        {:error, "#{inspect(module)} is not on the code path"}

      {:error, reason} ->
        {:error, "#{inspect(module)} cannot be loaded: #{inspect(reason)}"}
    end
  end

  defp behaviours(module), do: Keyword.get_values(module.module_info(:attributes), :behaviour)

  defp start(module) do
    Enum.find_value(apps(module), :ok, fn app ->
      case Application.ensure_all_started(app) do
        {:ok, _} -> nil
        {:error, reason} -> {:error, "#{app} cannot be started: #{inspect(reason)}"}
      end
    end)
  end

  # The application whose folder the module is in.
  defp apps(module) do
    folder = module |> :code.which() |> Path.dirname()
    for file <- Path.wildcard("#{folder}/*.app"), do: String.to_atom(Path.basename(file, ".app"))
  end

  defp try_once(backend) do
    Nx.to_binary(Nx.tensor([1, 2], type: :s32, backend: backend))
    {:ok, backend}
  rescue
    error -> {:error, "#{inspect(backend)} does not hold a tensor: #{Exception.message(error)}"}
  end
end
