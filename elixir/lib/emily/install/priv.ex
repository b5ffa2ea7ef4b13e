defmodule Emily.Install.Priv do
  @moduledoc false
  # The application's folder of native files, `priv/native`, which is replaced as a whole: a VM that
  # runs on the old one keeps its files.

  alias Emily.Install.Sums

  @folder "native"

  # Which archive the folder was unpacked from. A folder with a library that was built has none.
  @archive "ARCHIVE"

  # The VM looks for this ending on every Unix.
  @library "libemily_nif.so"

  @doc "Puts a library there that was built. Nothing is done where it is there already."
  @spec library(Path.t(), Path.t()) :: :ok | :noop | {:error, String.t()}
  def library(priv, library) do
    native = Path.join(priv, @folder)
    installed = Path.join(native, @library)

    if not File.exists?(Path.join(native, @archive)) and digest(library) == digest(installed) do
      :noop
    else
      replace(priv, library, &File.cp(library, Path.join(&1, @library)))
    end
  end

  @doc "Unpacks an archive there; `bytes` gives it. Nothing is done where it is there already, whole."
  @spec archive(Path.t(), %{name: String.t(), digest: String.t()}, (-> result)) ::
          :ok | :noop | {:error, String.t()}
        when result: {:ok, binary()} | {:error, String.t()}
  def archive(priv, %{name: name, digest: digest}, bytes) do
    stamp = "#{digest}  #{name}\n"

    native = Path.join(priv, @folder)

    if File.read(Path.join(native, @archive)) == {:ok, stamp} and whole?(native) do
      :noop
    else
      with {:ok, bytes} <- bytes.() do
        replace(priv, name, fn folder ->
          with :ok <- unpack(bytes, folder), do: File.write(Path.join(folder, @archive), stamp)
        end)
      end
    end
  end

  defp whole?(native) do
    case Sums.read(native) do
      {:ok, sums} -> Sums.changed(native, sums) == []
      :none -> false
    end
  end

  defp unpack(bytes, folder) do
    :erl_tar.extract({:binary, bytes}, [:compressed, cwd: String.to_charlist(folder)])
  end

  defp replace(priv, what, fill) do
    # Left by a version that kept the library beside the sources.
    if File.read_link(priv) != {:error, :einval} and not File.dir?(priv), do: File.rm(priv)
    new = Path.join(priv, "#{@folder}.new.#{unique()}")

    result =
      with :ok <- File.mkdir_p(new), :ok <- fill.(new), do: swap(new, Path.join(priv, @folder))

    File.rm_rf(new)

    with {:error, reason} <- result do
      {:error, "#{what} cannot be put into #{priv}: #{:file.format_error(reason)}"}
    end
  end

  # Another build may put its own there between the two renames: the last one stays.
  defp swap(new, native) do
    old = "#{native}.old.#{unique()}"
    moved = File.rename(native, old)

    case File.rename(new, native) do
      {:error, reason} when reason in [:eexist, :enotempty] -> swap(new, native)
      done -> done
    end
    |> tap(fn _ -> if moved == :ok, do: File.rm_rf(old) end)
  end

  defp unique, do: "#{System.pid()}.#{System.unique_integer([:positive])}"

  defp digest(file) do
    case File.read(file) do
      {:ok, bytes} -> :erlang.md5(bytes)
      {:error, reason} -> reason
    end
  end
end
