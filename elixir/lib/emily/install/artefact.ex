defmodule Emily.Install.Artefact do
  @moduledoc false
  # The archives that this version of the package was published with, and which of them fits a machine.
  #
  # Their names and digests are the lines of a file that the package carries. A checkout has none.

  alias Emily.Install.Variant

  @version Mix.Project.config()[:version]
  @list "artefacts.sha256"

  @type t :: %{name: String.t(), digest: String.t()}

  @doc "The digests of all archives by name, or `:none` in a checkout."
  @spec list(Path.t()) :: {:ok, %{String.t() => String.t()}} | :none
  def list(package) do
    case File.read(Path.join(package, @list)) do
      {:ok, text} ->
        lines = String.split(text, "\n", trim: true)

        {:ok,
         for(line <- lines, [digest, name] = String.split(line), into: %{}, do: {name, digest})}

      {:error, _none} ->
        :none
    end
  end

  @doc "Rust's name of a machine that Emily runs on, from Erlang's."
  @spec target(String.t()) :: {:ok, String.t()} | {:error, String.t()}
  def target(architecture) do
    arm? = String.starts_with?(architecture, ["aarch64", "arm64"])

    cond do
      architecture =~ "linux-gnu" and arm? -> {:ok, "aarch64-unknown-linux-gnu"}
      architecture =~ ~r/^x86_64.*linux-gnu/ -> {:ok, "x86_64-unknown-linux-gnu"}
      architecture =~ "darwin" and arm? -> {:ok, "aarch64-apple-darwin"}
      true -> {:error, unsupported(architecture)}
    end
  end

  defp unsupported(architecture) do
    "MLX is not built for #{architecture}: Emily runs on Linux with glibc (not musl, as Alpine has) " <>
      "on x86-64 or arm64, and on macOS on Apple silicon"
  end

  @doc "The archive of a variant for a target. The sentence of an error lists those that there are."
  @spec find(%{String.t() => String.t()}, Variant.t(), String.t()) ::
          {:ok, t()} | {:error, String.t()}
  def find(_list, :jit, _target) do
    {:error,
     "config :emily, variant: :jit compiles Metal's kernels as they are needed and is in no archive; " <>
       "set EMILY_BUILD=1, and MLX_HOME to an MLX that is built so (macOS 26.2 or newer)"}
  end

  def find(list, variant, target) do
    name = name(variant, target)

    case list do
      %{^name => digest} -> {:ok, %{name: name, digest: digest}}
      %{} -> {:error, missing(list, variant, target)}
    end
  end

  @doc "An archive's file name."
  @spec name(Variant.t(), String.t()) :: String.t()
  def name(variant, target), do: "emily-#{@version}-#{Variant.mlx(variant)}-#{target}.tar.gz"

  @doc "Where archives are: the first place that is named, or the releases of the repository's by version."
  @spec server([String.t() | nil], String.t() | nil) :: String.t() | nil
  def server(named, source_url) do
    release = if source_url, do: "#{source_url}/releases/download/v#{@version}"
    Enum.find(named ++ [release], &(&1 not in [nil, ""]))
  end

  defp missing(list, variant, target) do
    "variant #{inspect(variant)} of Emily #{@version} is not published for #{target}; there are: " <>
      "#{list |> Map.keys() |> Enum.sort() |> Enum.join(", ")}. Choose another " <>
      "(config :emily, variant: …), or build it from source with Rust (EMILY_BUILD=1)"
  end
end
