defmodule Emily.Soak.LifecycleTest do
  use ExUnit.Case, async: false

  alias Emily.{Memory, Soak}
  alias Emily.Soak.Tally

  @moduletag timeout: :infinity

  # So many that their sums are queued, and not computed in the call.
  @count 8192
  # More than a queue's bound.
  @many 5000
  # Bytes that are left while memory is short: more than what others have yet to compute.
  @room 16 * 1024 * 1024

  # How often a caller ends in each way.
  @ways [undone: 25, killed: 35, closed: 20, full: 1, failed: 9, no_room: 10]

  @tag soak: "lifecycle"
  test "processes and streams come and go, and the next one is served" do
    start = fn -> {:rand.seed_s(:exsss, {7, 0, 0}), :binary.copy(<<1>>, 2 * @room)} end
    Soak.run(:lifecycle, start, &turn/2, iterations: 10_000, rehearsal: 200)
  end

  defp turn({random, large}, tally) do
    {way, random} = draw(@ways, random)
    {links, random} = :rand.uniform_s(64, random)
    {moment, random} = :rand.uniform_s(3, random)

    if way == :no_room,
      do: no_room(large, links, tally),
      else: live(way, links, moment - 1, tally)

    # Whatever happened, the next one is served.
    Soak.at_once(tally, [3], &check(tally, &1))
    {random, large}
  end

  defp draw(ways, random) do
    {number, random} = :rand.uniform_s(ways |> Keyword.values() |> Enum.sum(), random)

    way =
      Enum.reduce_while(ways, number, fn {way, share}, left ->
        if left <= share, do: {:halt, way}, else: {:cont, left - share}
      end)

    {way, random}
  end

  # Nobody reads what was called.
  defp live(:undone, links, _moment, tally) do
    Soak.at_once(tally, [links], fn links -> own_stream(fn -> chain(links) end) end)
  end

  # The caller is killed before, while or after it reads.
  defp live(:killed, links, moment, _tally) do
    {pid, ref} = spawn_monitor(fn -> own_stream(fn -> Nx.to_binary(chain(links)) end) end)
    Process.sleep(moment)
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^ref, :process, ^pid, _reason} -> :ok)
  end

  # The stream is closed while it works.
  defp live(:closed, links, moment, tally) do
    stream = Emily.Stream.new(device: Soak.device())

    Soak.at_once(tally, [:call, :close], fn
      :call ->
        read = fn -> Emily.Stream.with_stream(stream, fn -> Nx.to_binary(chain(links)) end) end

        case Tally.ask(tally, read, [Emily.Error]) do
          {:ok, bits} -> Tally.same(tally, "a chain on a stream that closes", bits, want(links))
          {:error, error} -> Tally.same(tally, "on a stream that closes", kind(error), :stopped)
        end

      :close ->
        Process.sleep(moment)
        Emily.Stream.close(stream)
    end)
  end

  # More is called than a queue holds.
  defp live(:full, _links, _moment, tally) do
    stream = Emily.Stream.new(device: Soak.device())

    Soak.at_once(tally, [@many], fn links ->
      Emily.Stream.with_stream(stream, fn -> check(tally, links, &queued(tally, stream, &1)) end)
    end)
  end

  # A call fails that others depend on.
  defp live(:failed, _links, _moment, tally) do
    Soak.at_once(tally, [5], fn links ->
      ones = ones(@count)
      taken = Nx.take(ones, Nx.tensor([@count], backend: Soak.backend()))
      after_it = Nx.add(ones, taken)

      for lost <- [after_it, taken] do
        case Tally.ask(tally, fn -> Nx.to_binary(lost) end, [ArgumentError]) do
          {:ok, _bits} ->
            Tally.fault(tally, "what depends on a failure has a value")

          {:error, error} ->
            Tally.same(tally, "the cause", error.message =~ "out of bounds", true)
        end
      end

      check(tally, links)
    end)
  end

  # There is no room for a while.
  defp no_room(bytes, links, tally) do
    limit = Memory.set_limit(Memory.stats().active + @room)

    Soak.at_once(tally, [byte_size(bytes)], fn size ->
      large = fn -> Nx.from_binary(bytes, :u8, backend: Soak.backend()) end
      sum = fn -> ones(1) |> Nx.broadcast({size}) |> Nx.add(1) |> Emily.eval() end

      for call <- [large, sum] do
        case Tally.ask(tally, call, [Emily.Error]) do
          {:ok, _tensor} -> Tally.fault(tally, "there was room over the limit")
          {:error, error} -> Tally.same(tally, "over the limit", kind(error), :memory)
        end
      end

      check(tally, links)
    end)

    Memory.set_limit(limit)
  end

  defp kind(%Emily.Error{kind: kind}), do: kind
  defp kind(error), do: error

  defp own_stream(fun) do
    stream = Emily.Stream.new(device: Soak.device())
    Emily.Stream.with_stream(stream, fun)
  end

  # The end of a chain of so many sums of ones.
  defp chain(links) do
    ones = ones(@count)
    Enum.reduce(2..links//1, ones, fn _link, sum -> Nx.add(sum, ones) end)
  end

  # A chain that is seen in the stream's queue.
  defp queued(tally, stream, links) do
    ones = ones(@count)

    {sum, depth} =
      Enum.reduce(2..links//1, {ones, 0}, fn _link, {sum, depth} ->
        {Nx.add(sum, ones), max(depth, Emily.Stream.queue_depth(stream))}
      end)

    Tally.look(tally, depth)
    if depth == 0, do: Tally.fault(tally, "of #{links} calls none was seen in the queue")
    sum
  end

  defp ones(count), do: Nx.from_binary(want(1, count), :s32, backend: Soak.backend())

  defp want(links, count \\ @count), do: :binary.copy(<<links::32-native>>, count)

  defp check(tally, links, chain \\ &chain/1) do
    with {:ok, bits} <- Tally.ask(tally, fn -> Nx.to_binary(chain.(links)) end),
         do: Tally.same(tally, "a chain", bits, want(links))
  end
end
