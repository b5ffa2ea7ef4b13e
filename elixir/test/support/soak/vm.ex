defmodule Emily.Soak.VM do
  @moduledoc """
  What the operating system says of this VM.
  """

  @doc "Resident bytes, threads and open files, as far as this system tells."
  def measure do
    case File.read("/proc/self/status") do
      {:ok, status} ->
        {:ok, files} = File.ls("/proc/self/fd")

        %{
          resident: 1024 * number(status, "VmRSS"),
          threads: number(status, "Threads"),
          handles: length(files)
        }

      {:error, _reason} ->
        %{}
    end
  end

  defp number(status, name) do
    [_line, number] = Regex.run(~r/^#{name}:\s+(\d+)/m, status)
    String.to_integer(number)
  end
end
