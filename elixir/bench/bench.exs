# What the README promises of speed, measured through Nx: one JSON row per figure.
#
#     MIX_ENV=prod mix run bench/bench.exs
#
# A row is good when median / reference is at most bar. With the argument eight_at_once it prints the
# median time of eight processes with a stream each instead, in nanoseconds: `cargo xtask bench
# --beam` takes that in turns with eight raw mlx-rs threads.

defmodule Emily.Bench.Prepared do
  @moduledoc false
  # A backend whose every result was there before: what a call through Nx costs beside its backend.

  defstruct [:binary]

  for {name, arity} <- Nx.Backend.behaviour_info(:callbacks), name != :to_binary do
    [out | rest] = Macro.generate_arguments(arity, __MODULE__)

    def unquote(name)(unquote(out), unquote_splicing(rest)) do
      _ = unquote(rest)
      %{unquote(out) | data: %__MODULE__{binary: <<>>}}
    end
  end

  def to_binary(%{data: %__MODULE__{binary: binary}}, _limit), do: binary
end

defmodule Emily.Bench do
  @chain 150
  @processes 8

  def run do
    small = tensor(16)
    prepared = %{small | data: %Emily.Bench.Prepared{binary: <<>>}}

    add = fn x -> fn -> Nx.add(x, x) end end
    read = fn x -> fn -> x |> Nx.add(x) |> Nx.to_binary() end end
    mixed = fn x -> fn -> x |> mixed() |> Nx.to_binary() end end

    for {name, work, beside} <- [
          {"Nx.add of 16 elements, against Nx's own share and 0.5 µs", add, 500},
          {"with to_binary, against Nx's own share and 2 µs", read, 2_000},
          {"150 mixed eager ops and a read, against Nx's own share and 100 µs", mixed, 100_000}
        ] do
      [ours, nxs] = in_turns(work.(small), work.(prepared))
      row(name, ours, nxs + beside)
      row("of which Nx's own share", nxs, nxs)
    end

    row(
      "Nx.add of two small tensors, against 2.5 µs",
      each(fn -> Nx.add(small, small) end),
      2_500
    )

    row("of which the native call, against 2 µs", native_add(), 2_000)

    eager = fn -> small |> chain() |> Nx.to_binary() end
    row("a chain of 150 eager ops and a read, against 1.5 ms", each(eager), 1_500_000)

    compiled = Nx.Defn.compile(&chain/1, [Nx.template({16}, :f32)], compiler: Emily.Compiler)
    walked = fn -> small |> compiled.() |> Nx.to_binary() end
    row("the same under Emily.Compiler, against 2 ms", each(walked), 2_000_000)

    zero_copy()
  end

  defp tensor(elements) do
    {elements} |> Nx.iota(type: :f32, backend: Emily.Backend) |> Emily.eval()
  end

  defp chain(one), do: Enum.reduce(1..@chain, one, fn _, sum -> Nx.add(sum, one) end)

  # Ten times fifteen calls, some of each kind that a model has.
  defp mixed(x) do
    Enum.reduce(1..10, x, fn _, y ->
      square =
        y
        |> Nx.add(x)
        |> Nx.multiply(x)
        |> Nx.tanh()
        |> Nx.subtract(x)
        |> Nx.max(x)
        |> Nx.reshape({4, 4})
        |> Nx.transpose()
        |> Nx.sigmoid()

      square
      |> Nx.divide(Nx.sum(square, axes: [1], keep_axes: true))
      |> Nx.negate()
      |> Nx.exp()
      |> Nx.reshape({16})
      |> Nx.abs()
      |> Nx.sqrt()
    end)
  end

  # The call alone, on a worker whose queue stays below its bound.
  defp native_add do
    {:ok, worker} = Emily.Native.start_worker(:default)
    {:ok, one} = Emily.Native.from_binary(worker, :f32, {16}, :binary.copy(<<0::32>>, 16))
    each(fn -> Emily.Native.add(worker, [one, one]) end, fn -> Emily.Native.eval(one) end)
  end

  defp zero_copy do
    [small, large] = for mebibytes <- [1, 64], do: tensor(mebibytes * 262_144)
    read = fn tensor -> each(fn -> Nx.to_binary(tensor) end) end
    row("to_binary of 64 MiB, against that of 1 MiB", read.(large), read.(small), 2.0)

    before = resident()
    binary = Nx.to_binary(large)
    grown = max(resident() - before, 0)
    67_108_864 = byte_size(binary)
    row("memory that this takes, against 1 MB", grown, 1_000_000, 1.0, "bytes")
  end

  # Each process has a stream, and all of them run a chain and read it, again and again.
  def eight_at_once do
    parent = self()

    workers =
      for _ <- 1..@processes do
        spawn_link(fn ->
          stream = Emily.Stream.new()

          Emily.Stream.with_stream(stream, fn ->
            one = tensor(4096)
            send(parent, {:ready, self()})
            rounds(parent, one)
          end)
        end)
      end

    gather(workers, :ready)

    round = fn ->
      Enum.each(workers, &send(&1, :go))
      gather(workers, :done)
    end

    IO.puts(each(round))
  end

  defp rounds(parent, one) do
    receive do
      :go ->
        one |> chain() |> Nx.to_binary()
        send(parent, {:done, self()})
        rounds(parent, one)
    end
  end

  defp gather(workers, tag) do
    for worker <- workers do
      receive do
        {^tag, ^worker} -> :ok
      end
    end
  end

  # The median time of a call in nanoseconds, over samples of as many calls as make each of them
  # long enough to be measured.
  defp each(fun, between \\ fn -> :ok end) do
    calls = calls(fun, 1)
    for _ <- 1..10, do: sample(fun, calls, between)
    samples = for _ <- 1..60, do: sample(fun, calls, between)
    median(samples) / calls
  end

  # The same of two, which take turns.
  defp in_turns(one, other) do
    none = fn -> :ok end
    [ones, others] = for fun <- [one, other], do: calls(fun, 1)
    for _ <- 1..10, do: [sample(one, ones, none), sample(other, others, none)]
    pairs = for _ <- 1..60, do: {sample(one, ones, none), sample(other, others, none)}
    {first, second} = Enum.unzip(pairs)
    [median(first) / ones, median(second) / others]
  end

  defp calls(fun, calls) do
    if calls >= 1000 or sample(fun, calls, fn -> :ok end) > 2_000_000 do
      calls
    else
      calls(fun, calls * 2)
    end
  end

  defp sample(fun, calls, between) do
    between.()
    start = System.monotonic_time(:nanosecond)
    repeat(fun, calls)
    System.monotonic_time(:nanosecond) - start
  end

  defp repeat(_fun, 0), do: :ok

  defp repeat(fun, calls) do
    fun.()
    repeat(fun, calls - 1)
  end

  defp median(samples), do: samples |> Enum.sort() |> Enum.at(div(length(samples), 2))

  # The VM's resident memory in bytes.
  defp resident do
    :erlang.garbage_collect()
    {kibibytes, 0} = System.cmd("ps", ["-o", "rss=", "-p", System.pid()])
    kibibytes |> String.trim() |> String.to_integer() |> Kernel.*(1024)
  end

  defp row(name, median, reference, bar \\ 1.0, unit \\ "ns") do
    IO.puts(
      ~s({"name": #{inspect(name)}, "median": #{median}, "unit": "#{unit}", ) <>
        ~s("reference": #{reference}, "bar": #{bar}})
    )
  end
end

case System.argv() do
  [] -> Emily.Bench.run()
  ["eight_at_once"] -> Emily.Bench.eight_at_once()
end
