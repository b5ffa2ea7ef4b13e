defmodule Emily.Doctor.Machine do
  @moduledoc false
  # What the system says of itself, or `nil` where it does not.

  @doc "The version of glibc, as `{2, 36}`."
  @spec glibc() :: {integer(), integer()} | nil
  def glibc do
    with "glibc " <> version <- said("getconf", ["GNU_LIBC_VERSION"]),
         [major, minor | _patch] <- String.split(version, ".") do
      {String.to_integer(major), String.to_integer(minor)}
    else
      _another_library -> nil
    end
  end

  @doc "The vector instructions that the libraries have code for, best first; of x86-64 on Linux."
  @spec vectors() :: [String.t()] | nil
  def vectors do
    with {:ok, text} <- File.read("/proc/cpuinfo"),
         [_line, flags] <- Regex.run(~r/^flags\s*:(.*)$/m, text) do
      flags = String.split(flags)

      for {flag, name} <- [{"avx512f", "AVX-512"}, {"avx2", "AVX2"}, {"avx", "AVX"}],
          flag in flags,
          do: name
    else
      _another_processor -> nil
    end
  end

  @doc "The version of NVIDIA's kernel driver."
  @spec nvidia() :: String.t() | nil
  def nvidia do
    with {:ok, text} <- File.read("/proc/driver/nvidia/version"),
         [version] <- Regex.run(~r/\d+\.\d+(\.\d+)?/, text, capture: :first) do
      version
    else
      _none -> nil
    end
  end

  @doc "Who runs this VM, by number."
  @spec user() :: non_neg_integer() | nil
  def user do
    with id when is_binary(id) <- said("id", ["-u"]), do: String.to_integer(id)
  end

  @doc "The first library that this process has loaded whose file name has `name` in it."
  @spec mapped(String.t()) :: Path.t() | nil
  def mapped(name) do
    with {:ok, maps} <- File.read("/proc/self/maps") do
      maps
      |> String.split("\n")
      |> Enum.map(&(&1 |> String.split(" ", trim: true) |> Enum.drop(5) |> Enum.join(" ")))
      |> Enum.find(&(Path.basename(&1) =~ name))
    else
      {:error, _no_proc} -> nil
    end
  end

  defp said(command, args) do
    case System.find_executable(command) && System.cmd(command, args, stderr_to_stdout: true) do
      {output, 0} -> String.trim(output)
      _missing_or_failed -> nil
    end
  end
end
