defmodule Emily.Lane do
  @moduledoc false
  # Where an operation runs: a worker, with the options that its results inherit.
  #
  # The process's stream comes first (`Emily.Stream.with_stream/2`), then the default worker of the
  # device that the operands, or the backend's options, name.

  alias Emily.MlxStream

  @key __MODULE__

  @enforce_keys [:worker, :device, :f64]
  defstruct [:worker, :device, :f64]

  @type t :: %__MODULE__{
          worker: Emily.Native.worker(),
          device: :cpu | :gpu,
          f64: boolean()
        }

  @doc "The lane for new tensors with these backend options."
  @spec for_options(keyword()) :: t()
  def for_options(opts) do
    opts = validate!(opts)
    device = opts[:device] || :default
    f64 = Keyword.get(opts, :f64, false)

    case Process.get(@key) do
      %__MODULE__{} = lane when device in [:default, lane.device] and (lane.f64 or not f64) ->
        lane

      _other ->
        MlxStream.Default.lane(device, f64)
    end
  end

  @doc "The lane for an operation on tensors of this device."
  @spec for_device(:cpu | :gpu, boolean()) :: t()
  def for_device(device, f64) do
    case Process.get(@key) do
      nil -> MlxStream.Default.lane(device, f64)
      lane -> lane
    end
  end

  @doc "Whether this process has a stream."
  @spec stream?() :: boolean()
  def stream?, do: Process.get(@key) != nil

  @doc "Runs `fun` with this process's operations on `lane`."
  @spec within(t(), (-> result)) :: result when result: var
  def within(%__MODULE__{} = lane, fun) do
    before = Process.put(@key, lane)

    try do
      fun.()
    after
      if before, do: Process.put(@key, before), else: Process.delete(@key)
    end
  end

  @doc "Checks that the options are `:device` and `:f64`, and fit."
  @spec validate!(keyword()) :: keyword()
  def validate!([]), do: []
  def validate!(opts), do: opts |> Keyword.validate!([:device, :f64]) |> validate_values!()

  @doc "Checks `:device` and `:f64`, and leaves other options to the caller."
  @spec validate_values!(keyword()) :: keyword()
  def validate_values!(opts) do
    device = opts[:device]
    f64 = Keyword.get(opts, :f64, false)

    if device not in [nil, :cpu, :gpu] do
      raise ArgumentError, "expected :device to be :cpu or :gpu, got: #{inspect(device)}"
    end

    if not is_boolean(f64) do
      raise ArgumentError, "expected :f64 to be a boolean, got: #{inspect(f64)}"
    end

    if f64 and device != :cpu do
      raise ArgumentError,
            "f64: true needs device: :cpu, because MLX has f64 on the CPU only; got device: " <>
              "#{inspect(device)}"
    end

    opts
  end
end
