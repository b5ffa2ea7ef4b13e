defmodule Emily.Memory do
  @moduledoc """
  MLX's allocator, from outside.

  Tensors' buffers are not on the BEAM's heap: `:erlang.memory/0` does not see them. The figures
  and limits here are in bytes and count all workers together.

  A buffer is freed when the last thing that needs it is: the tensor, a binary that
  `Nx.to_binary/1` gave of it, an operation that still waits for it. Freed buffers are kept for
  reuse, the *cache*.

      iex> t = Nx.iota({1000, 1000}, type: :f32, backend: Emily.Backend) |> Emily.eval()
      iex> Emily.Memory.stats().active >= 4_000_000
      true
      iex> Nx.backend_deallocate(t)
      :ok
  """

  import Emily.Reply, only: [ok!: 1]

  alias Emily.{MlxStream, Native}

  @typedoc """
  In use now, the most that was in use since the start or `reset_peak/0`, freed and kept for reuse,
  and the limit on what may be in use.
  """
  @type stats :: %{
          active: non_neg_integer(),
          peak: non_neg_integer(),
          cache: non_neg_integer(),
          limit: non_neg_integer()
        }

  @doc """
  What the allocator holds; also emitted as the telemetry event `[:emily, :memory, :stats]`.

  ## Examples

      iex> %{active: active, peak: peak} = Emily.Memory.stats()
      iex> active <= peak
      true

  """
  @spec stats() :: stats()
  def stats do
    stats = ok!(Native.memory_stats())
    :telemetry.execute([:emily, :memory, :stats], stats, %{})
    stats
  end

  @doc """
  Starts `:peak` of `stats/0` anew.

  ## Examples

      iex> Emily.Memory.reset_peak()
      :ok

  """
  @spec reset_peak() :: :ok
  def reset_peak, do: ok!(Native.reset_peak())

  @doc """
  Gives cached buffers back to the system. Tensors, and binaries that alias them, stay.

  ## Examples

      iex> Emily.Memory.clear_cache()
      :ok

  """
  @spec clear_cache() :: :ok
  def clear_cache, do: ok!(Native.clear_cache(MlxStream.Default.worker()))

  @doc """
  Sets the limit on tensors' memory and gives the one before.

  Work beyond it is an `Emily.Error` of kind `:memory`. Before it is set, the limit is the least of four
  fifths of the machine's memory (or the GPU's), four fifths of the control group's and half of what
  `ulimit` leaves.

  ## Examples

      iex> before = Emily.Memory.set_limit(1_000_000_000)
      iex> Emily.Memory.set_limit(before)
      1_000_000_000

  """
  @spec set_limit(pos_integer()) :: pos_integer()
  def set_limit(bytes) when is_integer(bytes) and bytes in 1..0x7FFF_FFFF_FFFF_FFFF do
    ok!(Native.set_memory_limit(bytes))
  end

  def set_limit(bytes) do
    raise ArgumentError,
          "Emily.Memory.set_limit: a limit is a number of bytes, 1 or more and below 2^63, " <>
            "got: #{inspect(bytes)}"
  end
end
