defmodule Emily.Soak.ZeroCopyRoundtripTest do
  use ExUnit.Case, async: false

  alias Emily.{Memory, Soak}
  alias Emily.Soak.Tally

  @moduletag timeout: :infinity

  @size 4 * 1024 * 1024
  # What the allocator's own bookkeeping may come to.
  @slack 64 * 1024

  @tag soak: "zero_copy_roundtrip"
  test "a binary is its tensor's buffer, and keeps it" do
    Soak.run(:zero_copy_roundtrip, &start/0, &turn/2, iterations: 1_000)
  end

  defp start do
    :erlang.garbage_collect()
    {for(i <- 1..@size, into: <<>>, do: <<rem(i, 251)>>), active()}
  end

  defp turn({bytes, before} = state, tally) do
    Soak.at_once(tally, [bytes], &round(tally, &1, before))
    holds(tally, "the bytes gone", before)
    state
  end

  defp round(tally, bytes, before) do
    tensor = Nx.from_binary(bytes, :u8, backend: Soak.backend())
    holds(tally, "uploaded", before + @size)
    {:ok, binary} = Tally.ask(tally, fn -> Nx.to_binary(tensor) end)
    # Reading CUDA's memory in place would move it from under what other streams compute.
    if Soak.device() == :cpu, do: holds(tally, "read", before + @size)
    Nx.backend_deallocate(tensor)
    holds(tally, "the tensor gone", before + @size)
    Tally.same(tally, "the same bytes after the round", binary == bytes, true)
    forget(binary)
  end

  # Where the binary is used for the last time.
  defp forget(_binary), do: :ok

  defp active, do: Memory.stats().active

  # A process that ended lets go of what it had a moment later.
  defp holds(tally, moment, want, tries \\ 200) do
    active = active()

    cond do
      abs(active - want) <= @slack ->
        :ok

      tries > 0 ->
        Process.sleep(5)
        holds(tally, moment, want, tries - 1)

      true ->
        Tally.fault(tally, "#{moment}: #{active} bytes are in use, not #{want}")
    end
  end
end
