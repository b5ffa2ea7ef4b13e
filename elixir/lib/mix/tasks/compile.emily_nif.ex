defmodule Mix.Tasks.Compile.EmilyNif do
  @moduledoc """
  Puts the native library, and what it loads, into the application's `priv/native`.

  A package from Hex knows the archives that it was published with: the one for this machine is
  downloaded, compared with its SHA-256 and kept in the cache. A checkout builds the library by cargo.

  ## Configuration

  `config :emily, variant: …` chooses the build of MLX: `:cpu`, `:cuda13`, `:aot` (Metal, the default on
  Macs) or `:jit` (Metal, whose kernels are compiled as they are needed; from source only). `config :emily,
  artefacts: …` says where archives are, as `EMILY_ARTEFACTS` does.

  | variable | |
  |---|---|
  | `EMILY_BUILD=1` | builds from source, also where an archive is there |
  | `EMILY_NIF` | a library to take instead; nothing is built or downloaded |
  | `EMILY_ARTEFACTS` | where archives are: `https://…`, `file:///…` or a folder |
  | `EMILY_CACHE` | where they are kept; by default `emily` in the user's cache |
  | `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | as elsewhere |
  """

  use Mix.Task.Compiler

  alias Emily.Install.{Artefact, Download, Priv, Variant}
  alias Emily.Native.Library

  @impl true
  def run(_args) do
    priv = Path.join(Mix.Project.app_path(), "priv")

    result =
      case {Library.named(), build?(), Artefact.list(File.cwd!())} do
        {nil, false, {:ok, list}} -> download(priv, list)
        {nil, _build, _list} -> build(priv)
        {path, _build, _list} -> Priv.library(priv, Path.expand(path))
      end

    case result do
      done when done in [:ok, :noop] -> {done, []}
      {:error, sentence} -> failed(sentence)
    end
  end

  defp build?, do: System.get_env("EMILY_BUILD", "") not in ["", "0", "false"]

  defp download(priv, list) do
    architecture = to_string(:erlang.system_info(:system_architecture))

    with {:ok, target} <- Artefact.target(architecture),
         {:ok, variant} <- Variant.choose(Variant.configured(), target),
         {:ok, artefact} <- Artefact.find(list, variant, target) do
      Priv.archive(priv, artefact, fn ->
        Download.fetch(artefact, server(), Download.cache(), &Mix.shell().error/1)
      end)
    end
  end

  defp server do
    named = [System.get_env("EMILY_ARTEFACTS"), Application.get_env(:emily, :artefacts)]
    Artefact.server(named, Mix.Project.config()[:source_url])
  end

  defp build(priv) do
    repository = Path.expand("..")

    cond do
      not File.regular?(Path.join(repository, "nif/Cargo.toml")) ->
        {:error,
         "the sources of the native library are not here; depend on Emily's git repository " <>
           "(with subdir: \"elixir\"), or point EMILY_NIF at a library that is built"}

      is_nil(System.find_executable("cargo")) ->
        {:error,
         "the native library is built with Rust, and there is no cargo on the PATH; install " <>
           "Rust 1.95 or newer (https://rustup.rs), or point EMILY_NIF at a library that is built"}

      true ->
        cargo(repository, priv)
    end
  end

  # Cargo knows what is stale; where nothing is, this takes a fraction of a second.
  defp cargo(repository, priv) do
    target = System.get_env("CARGO_TARGET_DIR", Path.join(repository, "target"))
    args = ~w(build --quiet --release --package emily-nif --target-dir) ++ [target]

    with {:ok, env} <- mlx_variant() do
      options = [cd: repository, env: env, into: IO.stream(), stderr_to_stdout: true]

      case System.cmd("cargo", args, options) do
        {_output, 0} ->
          Priv.library(priv, Path.join([target, "release", file_name()]))

        {_output, status} ->
          {:error, "cargo build ended with status #{status}; see its messages above"}
      end
    end
  end

  # EMILY_MLX_VARIANT is for those who build without a configuration; mlx-runtime reads it.
  defp mlx_variant do
    case Variant.told() do
      :machine ->
        {:ok, []}

      {:env, _name} ->
        {:ok, []}

      {:config, :jit} ->
        if System.get_env("MLX_HOME") do
          {:ok, [{"EMILY_MLX_VARIANT", Variant.mlx(:jit)}]}
        else
          {:error,
           "config :emily, variant: :jit needs an MLX that compiles its kernels as they are needed; " <>
             "set MLX_HOME to one (CMake: -DMLX_METAL_JIT=ON; macOS 26.2 or newer)"}
        end

      {:config, configured} ->
        with {:ok, variant} <- Variant.choose(configured, ""),
             do: {:ok, [{"EMILY_MLX_VARIANT", Variant.mlx(variant)}]}
    end
  end

  defp file_name do
    if match?({:unix, :darwin}, :os.type()), do: "libemily_nif.dylib", else: "libemily_nif.so"
  end

  defp failed(sentence) do
    Mix.shell().error(sentence)

    {:error,
     [
       %Mix.Task.Compiler.Diagnostic{
         file: Path.join(File.cwd!(), "mix.exs"),
         severity: :error,
         message: sentence,
         position: 0,
         compiler_name: "emily_nif"
       }
     ]}
  end
end
