defmodule Emily.Install.Download do
  @moduledoc false
  # An archive's bytes: from the cache, from a folder, or from a server. Whatever they come from, they
  # have the digest that the package was published with, or they are not used.

  alias Emily.Install.{Artefact, HTTP, Sums}

  @doc "The archive's bytes. `warn` is told of what does not stop the installation."
  @spec fetch(Artefact.t(), String.t() | nil, Path.t(), (String.t() -> any())) ::
          {:ok, binary()} | {:error, String.t()}
  def fetch(artefact, base, cache, warn) do
    kept = Path.join(cache, artefact.name)

    with {:ok, bytes} <- File.read(kept), :ok <- verify(bytes, artefact, kept) do
      {:ok, bytes}
    else
      _absent_or_another -> anew(artefact, base, kept, warn)
    end
  end

  defp anew(artefact, nil, _kept, _warn) do
    {:error,
     "this package names no server for #{artefact.name}; name one, or a folder that has it, by " <>
       "EMILY_ARTEFACTS (https://…, file:///…), or build from source with Rust (EMILY_BUILD=1)"}
  end

  defp anew(artefact, base, kept, warn) do
    place = String.trim_trailing(base, "/") <> "/" <> artefact.name

    with {:ok, bytes} <- read(place), :ok <- verify(bytes, artefact, place) do
      with {:error, reason} <- keep(bytes, kept) do
        warn.(
          "#{artefact.name} is not kept for the next time: #{Path.dirname(kept)}: " <>
            "#{:file.format_error(reason)}; EMILY_CACHE names another folder"
        )
      end

      {:ok, bytes}
    end
  end

  defp read("file://" <> path), do: read(path)

  defp read("http" <> _ = url) do
    with {:error, why} <- HTTP.get(url) do
      {:error,
       "#{url} cannot be downloaded: #{why}. Behind a proxy, set HTTPS_PROXY; without a network, set " <>
         "EMILY_ARTEFACTS to a folder with the file; or build from source with Rust (EMILY_BUILD=1)"}
    end
  end

  defp read(path) do
    with {:error, reason} <- File.read(path) do
      {:error,
       "#{path}: #{:file.format_error(reason)}; EMILY_ARTEFACTS is to name a server, or a folder with " <>
         "that file"}
    end
  end

  defp verify(bytes, artefact, place) do
    case Sums.of(bytes) do
      digest when digest == artefact.digest ->
        :ok

      digest ->
        {:error,
         "#{place} is not the file that this package was published with, and was not installed: its " <>
           "SHA-256 is #{digest}, and not #{artefact.digest}. Try another network or mirror " <>
           "(EMILY_ARTEFACTS), and tell us if that fails too"}
    end
  end

  # In place by one rename, so that whoever reads sees all of it or nothing.
  defp keep(bytes, kept) do
    part = "#{kept}.#{System.pid()}.#{System.unique_integer([:positive])}"

    with :ok <- File.mkdir_p(Path.dirname(kept)),
         :ok <- File.write(part, bytes),
         :ok <- File.rename(part, kept) do
      :ok
    else
      error ->
        File.rm(part)
        error
    end
  end

  @doc "Where archives are kept: below `EMILY_CACHE`, or the user's cache."
  @spec cache() :: Path.t()
  def cache, do: Path.join(emily_cache(), "artefacts")

  @doc "The folder of all that Emily keeps."
  @spec emily_cache() :: Path.t()
  def emily_cache do
    System.get_env("EMILY_CACHE") || Path.join(user_cache(:os.type()), "emily")
  end

  defp user_cache({:unix, :darwin}), do: Path.expand("~/Library/Caches")
  defp user_cache(_linux), do: System.get_env("XDG_CACHE_HOME") || Path.expand("~/.cache")
end
