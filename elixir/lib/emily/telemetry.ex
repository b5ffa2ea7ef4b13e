defmodule Emily.Telemetry do
  @moduledoc """
  The `:telemetry` events that Emily emits.

  Spans have the three events of `:telemetry.span/3`, `:start`, `:stop` and `:exception`, with
  `:duration` in native time units.

  | event | when | measurements | metadata |
  |---|---|---|---|
  | `[:emily, :eval, *]` | `Emily.eval/1`, and the evaluation inside reading a tensor | `:duration` | `:shape`, `:dtype` |
  | `[:emily, :to_binary, *]` | `Emily.to_binary/1`, `Nx.to_binary/1` and all that read through it | `:duration` | `:shape`, `:dtype`, `:byte_size` |
  | `[:emily, :fallback, *]` | an operation that runs on `Nx.BinaryBackend` | `:duration` | `:op`, `:input_shapes`, `:input_dtypes` |
  | `[:emily, :block, :fallback]` | an `Nx.block/4` that runs its default function | `:count` | `:block`, `:input_shapes`, `:input_dtypes` |
  | `[:emily, :program, :compile]` | a function is compiled into programs | `:duration` | |
  | `[:emily, :program, :run]` | a program is queued | `:duration` | `:device` |
  | `[:emily, :program, :walk]` | a function could not be made a program: its operations are called one by one | `:count` | `:why` |
  | `[:emily, :memory, :stats]` | `Emily.Memory.stats/0` | `:active`, `:peak`, `:cache`, `:limit` | |
  | `[:emily, :memory, :collect]` | processes are collected for the tensors that are their garbage | `:duration`, `:given` (bytes of results since the last time), `:processes` | `:reason`: `:threshold`, `:pressure` |
  | `[:emily, :queue, :depth]` | `queue_depth/0` | `:depth` | `:worker`, `:device` |

  Shapes and dtypes are Nx's: `{2, 3}`, `{:f, 32}`.

  Calling an operation only queues it, or takes some microseconds, so there is no event per operation:
  evaluation is where time is spent. To watch every fallback:

      :telemetry.attach("fallbacks", [:emily, :fallback, :stop], fn _event, _, metadata, _ ->
        IO.inspect(metadata.op)
      end, nil)

  """

  alias Emily.{MlxStream, Native}

  @doc """
  Emits `[:emily, :queue, :depth]` for each default worker, and gives the figures: the number of
  jobs that wait, by worker.

  For `:telemetry_poller`. A depth that stays high means that callers are faster than the device.

  ## Examples

      iex> worker = Emily.MlxStream.Default.worker()
      iex> depths = Emily.Telemetry.queue_depth()
      iex> is_integer(depths[Emily.Native.worker_name(worker)])
      true

  """
  @spec queue_depth() :: %{String.t() => non_neg_integer()}
  def queue_depth do
    for lane <- MlxStream.Default.running(), into: %{} do
      depth = Native.queue_depth(lane.worker)
      name = Native.worker_name(lane.worker)
      metadata = %{worker: name, device: lane.device}
      :telemetry.execute([:emily, :queue, :depth], %{depth: depth}, metadata)
      {name, depth}
    end
  end

  @doc """
  The same as `Emily.Memory.stats/0`, which new code should call.

  ## Examples

      iex> Emily.Telemetry.memory_stats() |> Map.keys()
      [:active, :cache, :limit, :peak]

  """
  @spec memory_stats() :: Emily.Memory.stats()
  defdelegate memory_stats, to: Emily.Memory, as: :stats

  @doc false
  # The metadata of a call: its tensors', in order, also those in lists.
  def inputs(args) do
    tensors = args |> List.flatten() |> Enum.filter(&is_struct(&1, Nx.Tensor))
    %{input_shapes: Enum.map(tensors, & &1.shape), input_dtypes: Enum.map(tensors, & &1.type)}
  end
end
