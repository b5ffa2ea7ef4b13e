defmodule Mix.Tasks.Emily.Doctor do
  @shortdoc "Checks that Emily works on this machine"

  @moduledoc """
  Checks that Emily works on this machine, and says what to do where it does not.

      $ mix emily.doctor

  It looks at the platform, the variant of MLX, the files, whether the library loads, its BLAS, the
  device, and runs a small computation that must not fall back to `Nx.BinaryBackend`. Where one of
  them fails, the task exits with status 1.
  """

  use Mix.Task

  @requirements ["app.start"]

  @labels %{ok: "ok", warning: "warning", error: "FAILED", skipped: "skipped"}

  @impl true
  def run(_args) do
    findings = Emily.Doctor.examine()
    Enum.each(findings, &Mix.shell().info(line(&1)))

    if Enum.any?(findings, &(&1.status == :error)) do
      exit({:shutdown, 1})
    end
  end

  defp line(%{check: check, status: status, detail: detail, remedy: remedy}) do
    label = @labels |> Map.fetch!(status) |> String.pad_trailing(9)
    first = label <> String.pad_trailing(to_string(check), 11) <> detail
    if remedy, do: first <> "\n" <> String.duplicate(" ", 20) <> "→ " <> remedy, else: first
  end
end
