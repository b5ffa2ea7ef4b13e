defmodule Mix.Tasks.Emily.Doctor do
  @shortdoc "Checks that Emily works on this machine"

  @moduledoc """
  Checks that Emily works on this machine, and says what to do where it does not.

      $ mix emily.doctor
      $ mix emily.doctor --json

  It looks at the platform, the processor (with `EMILY_EXECUTOR` and `EMILY_CPU` where set), Nx, the variant of MLX, the files and their hashes, who may
  change the cache, whether the library loads, its BLAS and the device, and runs a small computation
  that must not fall back to `Nx.BinaryBackend`. Where one of them fails, the task exits with status 1.

  `--json` prints the same as one JSON list, for a report to whoever helps.
  """

  use Mix.Task

  @requirements ["app.start"]

  @labels %{ok: "ok", warning: "warning", error: "FAILED", skipped: "skipped"}

  @impl true
  def run(args) do
    {options, rest} = OptionParser.parse!(args, strict: [json: :boolean])

    if rest != [] do
      Mix.raise("mix emily.doctor takes no arguments, got: #{Enum.join(rest, " ")}")
    end

    findings = Emily.Doctor.examine()

    if options[:json] do
      Mix.shell().info("[" <> Enum.map_join(findings, ",\n ", &json/1) <> "]")
    else
      Enum.each(findings, &Mix.shell().info(line(&1)))
    end

    if Enum.any?(findings, &(&1.status == :error)) do
      exit({:shutdown, 1})
    end
  end

  defp line(%{check: check, status: status, detail: detail, remedy: remedy}) do
    label = @labels |> Map.fetch!(status) |> String.pad_trailing(9)
    first = label <> String.pad_trailing(to_string(check), 11) <> detail
    if remedy, do: first <> "\n" <> String.duplicate(" ", 20) <> "→ " <> remedy, else: first
  end

  # Elixir has no JSON of its own before 1.18.
  defp json(finding) do
    fields =
      for key <- [:check, :status, :detail, :remedy], do: ~s("#{key}": #{text(finding[key])})

    "{" <> Enum.join(fields, ", ") <> "}"
  end

  defp text(nil), do: "null"

  defp text(value) do
    escaped =
      for <<char::utf8 <- to_string(value)>>, into: "" do
        cond do
          char in [?", ?\\] -> <<?\\, char>>
          char < 0x20 -> "\\u" <> String.pad_leading(Integer.to_string(char, 16), 4, "0")
          true -> <<char::utf8>>
        end
      end

    ~s("#{escaped}")
  end
end
