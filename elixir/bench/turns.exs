# What the benches beside others share: calls that take turns, here and in peers.py.

defmodule Emily.Bench.Turns do
  @moduledoc """
  Ways of computing the same thing that take turns. A way is its name, a function that times a call in
  nanoseconds, and the mean magnitude of what a call gives.
  """

  # Calls fill this time, and are one at least.
  @sampled_ns 500_000_000

  @doc "The median time of a call, in nanoseconds."
  def time(call, sampled_ns \\ @sampled_ns), do: time(call, sampled_ns, 0, [])

  defp time(call, sampled_ns, total, samples) do
    start = System.monotonic_time(:nanosecond)
    call.()
    sample = System.monotonic_time(:nanosecond) - start
    samples = [sample | samples]
    total = total + sample
    if total < sampled_ns, do: time(call, sampled_ns, total, samples), else: median(samples)
  end

  @doc "The middle one."
  def median(samples), do: samples |> Enum.sort() |> Enum.at(div(length(samples), 2))

  @doc "The median of each way after so many rounds, by its name."
  def medians(ways, rounds) do
    turns = for _ <- 1..rounds, {way, time, _checksum} <- ways, do: {way, time.()}

    turns
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
    |> Map.new(fn {way, samples} -> {way, median(samples)} end)
  end

  @doc "The least of these ways' medians."
  def fastest(medians, ways), do: ways |> Enum.map(&medians[elem(&1, 0)]) |> Enum.min()

  @doc "Raises where outputs are not the same: figures of two computations cannot be compared."
  def agree!(title, ways, agreement) do
    sums = for {way, _time, checksum} <- ways, do: {way, checksum}
    {least, most} = sums |> Enum.map(&elem(&1, 1)) |> Enum.min_max()

    if most - least > agreement * most do
      raise "#{title}: the outputs' mean magnitudes differ: #{inspect(sums)}"
    end
  end

  @doc "A row as `cargo xtask bench` reads it."
  def print(row) do
    unit = if row[:tokens], do: ~s({"tokens": #{row.tokens}}), else: ~s("ns")
    by = Enum.map_join(row.by, ", ", fn {way, value} -> ~s("#{way}": #{value}) end)

    IO.puts(
      ~s({"name": #{inspect(row.name)}, "unit": #{unit}, "by": {#{by}}, ) <>
        ~s("ratio": #{row.ratio}, "bar": #{row.bar || "null"}})
    )
  end
end

defmodule Emily.Bench.Peers do
  @moduledoc "peers.py with a model, or with the operations, which answers a line with a line."

  @script Path.expand("peers.py", __DIR__)

  def open(python, name, folder) do
    arguments = [args: ["-B", @script, name, folder]]
    Port.open({:spawn_executable, python}, [:binary, :exit_status, {:line, 10_000}] ++ arguments)
  end

  @doc "The ways of this case, warm, for `Emily.Bench.Turns`."
  def ways(port, case) do
    for way <- port |> ask("#{case} ways") |> String.split() do
      checksum = port |> ask("#{case} #{way} warm") |> String.to_float()
      {way, fn -> port |> ask("#{case} #{way} time") |> String.to_integer() end, checksum}
    end
  end

  defp ask(port, question) do
    Port.command(port, question <> "\n")

    receive do
      {^port, {:data, {:eol, answer}}} -> answer
      {^port, {:exit_status, status}} -> raise "peers.py ended with status #{status}"
    end
  end
end
