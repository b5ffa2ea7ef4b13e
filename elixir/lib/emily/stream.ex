defmodule Emily.Stream do
  @moduledoc """
  A stream of one's own: operations of different streams run side by side.

  Without one, every process's operations go to the default worker (`Emily.MlxStream.Default`) and
  run one after another, in the order they were called. With a stream per process, several
  processes use a model at once; its weights are in memory once, and every stream reads them.

      stream = Emily.Stream.new()

      Emily.Stream.with_stream(stream, fn ->
        tokens |> MyModel.predict(params) |> Nx.to_binary()
      end)

      Emily.Stream.close(stream)

  A stream is cheap: its worker comes from a fixed pool of operating-system threads, and goes back
  to it. Streams beyond the pool's size (a thread per core, and at least eight) share threads.

  A tensor may be used on any stream. One that another stream has still to compute is waited for
  by the stream that needs it, not by the process.
  """

  alias Emily.{Lane, Native, Reply}

  @enforce_keys [:lane]
  defstruct [:lane]

  @typedoc "A stream; any process may use it."
  @opaque t :: %__MODULE__{lane: Lane.t()}

  @doc """
  A new stream, on the device `:cpu` or `:gpu`, or with options.

  ## Options

    * `:device` - `:cpu` or `:gpu`; the GPU where there is one unless given.
    * `:f64` - accept `f64` tensors; needs `device: :cpu`.

  ## Examples

      iex> stream = Emily.Stream.new(device: :cpu)
      iex> Emily.Stream.device(stream)
      :cpu
      iex> Emily.Stream.close(stream)
      :ok
      iex> Emily.Stream.new(:cpu) |> Emily.Stream.device()
      :cpu

  """
  @spec new(:cpu | :gpu | [device: :cpu | :gpu, f64: boolean()]) :: t()
  def new(opts \\ [])
  def new(device) when is_atom(device), do: new(device: device)

  def new(opts) do
    if not Keyword.keyword?(opts) do
      raise ArgumentError,
            "Emily.Stream.new: expected a device, :cpu or :gpu, or options, got: #{inspect(opts)}"
    end

    opts = Lane.validate!(opts)
    f64 = Keyword.get(opts, :f64, false)

    worker = Reply.ok!(Native.start_worker(opts[:device] || :default, f64: f64))
    %__MODULE__{lane: %Lane{worker: worker, device: Native.device(worker), f64: f64}}
  end

  @doc """
  Runs `fun`, with the operations that this process calls in it on `stream`.

  Tensors are created and computed there, except those whose backend options name another device.
  Nested calls go back to the outer stream afterwards. Other processes, also those that `fun`
  starts, keep their own.

  ## Examples

      iex> stream = Emily.Stream.new()
      iex> Emily.Stream.with_stream(stream, fn ->
      ...>   Nx.add(Nx.tensor(1, backend: Emily.Backend), 2) |> Nx.to_number()
      ...> end)
      3

  """
  @spec with_stream(t(), (-> result)) :: result when result: var
  def with_stream(%__MODULE__{lane: lane} = stream, fun) when is_function(fun, 0) do
    _here = worker!(stream)
    Lane.within(lane, fun)
  end

  def with_stream(%__MODULE__{}, fun) do
    raise ArgumentError, "expected a function without arguments, got: #{inspect(fun)}"
  end

  def with_stream(other, _fun), do: raise(no_stream(other))

  @doc """
  Closes the stream: what was called on it before is still done, what is called later is an
  `Emily.Error` of kind `:stopped`. Tensors that it computed stay.

  Waits until everything that was called before has begun, and for a function that `Emily.Compiler` compiled until it
  ends, as a program runs without a break: where a loop of it does not end, `close/1` does not either. Streams that
  share a thread wait for each other's programs. Where what was called is not wanted any more, drop it, or end the process
  that holds it, and close then.

  Closing twice is no error. A stream that nobody holds any more needs no closing.

  ## Examples

      iex> stream = Emily.Stream.new()
      iex> Emily.Stream.close(stream)
      :ok
      iex> Emily.Stream.close(stream)
      :ok

  """
  @spec close(t()) :: :ok
  def close(stream) do
    worker = worker!(stream)
    _done = Native.flush(worker)
    Native.stop_worker(worker)
  end

  @doc """
  The device that the stream's operations run on.

  ## Examples

      iex> Emily.Stream.new(device: :cpu) |> Emily.Stream.device()
      :cpu

  """
  @spec device(t()) :: :cpu | :gpu
  def device(%__MODULE__{lane: lane}), do: lane.device
  def device(other), do: raise(no_stream(other))

  @doc """
  The number of jobs that wait on the thread the stream runs on.

  ## Examples

      iex> Emily.Stream.new() |> Emily.Stream.queue_depth()
      0

  """
  @spec queue_depth(t()) :: non_neg_integer()
  def queue_depth(stream), do: Native.queue_depth(worker!(stream))

  # The worker, which is another VM's where the stream is.
  defp worker!(%__MODULE__{lane: %Lane{worker: worker}}) do
    _device = Native.device(worker)
    worker
  rescue
    error in ArgumentError -> reraise Reply.explain(error, [worker], :stream), __STACKTRACE__
  end

  defp worker!(other), do: raise(no_stream(other))

  defp no_stream(other) do
    ArgumentError.exception(
      "expected a stream, as Emily.Stream.new/1 gives, got: #{inspect(other)}"
    )
  end
end
