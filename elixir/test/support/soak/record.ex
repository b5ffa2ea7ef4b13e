defmodule Emily.Soak.Record do
  @moduledoc """
  Writes what a harness tells, as `soak/src/record.rs` reads it, and asks for the judgement.
  """

  @repository Path.expand("../../../..", __DIR__)

  def open(name, device) do
    path = path(name)
    File.mkdir_p!(Path.dirname(path))

    record = %{
      path: path,
      file: File.open!(path, [:write]),
      name: name,
      shown: :atomics.new(1, [])
    }

    line(record, "begin", harness: name, layer: "beam", device: device)
    record
  end

  @doc "Where a harness's record is."
  def path(name) do
    folder = System.get_env("EMILY_SOAK_RECORDS", Path.join(System.tmp_dir!(), "emily-soak"))
    Path.join(folder, "beam-#{name}-0.jsonl")
  end

  def sample(record, iteration, seconds, done, values) do
    line(record, "sample", iteration: iteration, seconds: seconds, done: done, values: values)
    show(record, iteration, done, values)
  end

  def fault(record, text), do: line(record, "fault", text: text)

  def done(record, iterations, seconds, {asked, answered}, left) do
    line(record, "end",
      iterations: iterations,
      seconds: seconds,
      asked: asked,
      answered: answered,
      left: left
    )

    :ok = File.close(record.file)
  end

  @doc "`{:ok, text}` where the judge finds it green, else `{:red, text}`."
  def judge(%{path: path}) do
    {text, status} = program(["judge", path])
    {if(status == 0, do: :ok, else: :red), text}
  end

  @doc "Runs `emily-soak`: what it prints, and its status."
  def program(args) do
    {command, before} =
      case System.get_env("EMILY_SOAK") do
        nil -> {"cargo", ~w(run --quiet --bin emily-soak --)}
        path -> {path, []}
      end

    System.cmd(command, before ++ args, cd: @repository, stderr_to_stdout: true)
  end

  # The live line: where a run is, at every quarter.
  defp show(record, iteration, done, values) do
    quarter = trunc(4 * done)

    if :atomics.exchange(record.shown, 1, quarter) < quarter do
      figures =
        for key <- [:active, :resident, :processes, :p99],
            do: "  #{key} #{round(values[key] || 0)}"

      percent = String.pad_leading("#{round(100 * done)} %", 6)

      IO.puts(
        :stderr,
        "#{String.pad_trailing("#{record.name}", 20)}#{percent} #{iteration} iterations#{figures}"
      )
    end
  end

  defp line(record, kind, fields) do
    IO.binwrite(record.file, [json([{:line, kind} | fields]), ?\n])
  end

  defp json(fields) when is_list(fields) or is_map(fields) do
    [
      ?{,
      Enum.map_intersperse(fields, ?,, fn {key, value} -> [json(key), ?:, json(value)] end),
      ?}
    ]
  end

  defp json(number) when is_number(number), do: to_string(number)
  defp json(atom) when is_atom(atom), do: json(Atom.to_string(atom))

  defp json(text) when is_binary(text),
    do: [?", for(<<char::utf8 <- text>>, do: escaped(char)), ?"]

  defp escaped(char) when char in [?", ?\\] or char < 0x20 do
    ["\\u", char |> Integer.to_string(16) |> String.pad_leading(4, "0")]
  end

  defp escaped(char), do: <<char::utf8>>
end
