defmodule Emily.Install.Sums do
  @moduledoc false
  # What an archive says of its files, in the words of sha256sum, under a line with its name.

  @file_name "SHA256SUMS"

  @type t :: %{archive: String.t(), files: [{name :: String.t(), digest :: String.t()}]}

  @doc "What the archive said that was unpacked into a folder; `:none` of what was built here."
  @spec read(Path.t()) :: {:ok, t()} | :none
  def read(folder) do
    with {:ok, "# " <> text} <- File.read(Path.join(folder, @file_name)),
         [archive | lines] = String.split(text, "\n", trim: true) do
      files = for line <- lines, [digest, name] = String.split(line, "  "), do: {name, digest}
      {:ok, %{archive: archive, files: files}}
    else
      _none -> :none
    end
  end

  @doc "The files that are not there as the archive had them."
  @spec changed(Path.t(), t()) :: [String.t()]
  def changed(folder, sums) do
    for {name, digest} <- sums.files, digest(Path.join(folder, name)) != {:ok, digest}, do: name
  end

  defp digest(file) do
    with {:ok, bytes} <- File.read(file), do: {:ok, of(bytes)}
  end

  @doc "SHA-256 in hexadecimal digits."
  @spec of(binary()) :: String.t()
  def of(bytes), do: Base.encode16(:crypto.hash(:sha256, bytes), case: :lower)
end
