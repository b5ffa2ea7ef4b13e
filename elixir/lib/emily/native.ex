defmodule Emily.Native do
  @moduledoc """
  One function per operation of Emily's engine, and what a tensor's life needs besides: no policy,
  no Nx.

  An operation is queued on a worker and gives its results' handles at once. On a CPU a small one, whose
  operands are computed, is computed in the call, and read without the worker. Shapes, dtypes and
  attributes are checked before it returns; what depends on values (an index out of range, an
  integer division by zero) is reported by whatever reads the result, as the first cause.

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, a} = Emily.Native.from_binary(worker, :s32, {2}, <<1::32-little, 2::32-little>>)
      iex> {:ok, [sum]} = Emily.Native.add(worker, [a, a])
      iex> Emily.Native.type(sum)
      {:s32, {2}}
      iex> {:ok, <<2::32-little, 4::32-little>>} = Emily.Native.read(sum)
      iex> {:error, error} = Emily.Native.sum(worker, [a], %{axes: [1]})
      iex> error.kind
      :argument

  ## Words

    * A **dtype** is an atom: `:u8` to `:u64`, `:s8` to `:s64`, `:f16`, `:bf16`, `:f32`, `:f64`
      (on a CPU worker that was started with it) and `:c64`.
    * A **shape** is a tuple of dimensions, as in Nx. In attributes a list does as well.
    * **Attributes** are a map with atom keys, as the operation's function documents them. Those
      that are left out, or `nil`, have their default.
    * **Bytes** are row-major and little-endian.
    * An **error** is `{:error, %Emily.Error{}}`, never an exception and never the end of the VM.
      A term of the wrong kind altogether (a worker where a tensor belongs) is an `ArgumentError`.

  ## Waiting

  Nothing here blocks a scheduler. When a worker's queue is over its bound, an operation waits in
  a plain `receive` until there is room. Reading waits for the worker's message in the same way;
  `Emily.Native.Async` has the two halves apart.
  """

  alias Emily.{Error, Reply}
  alias Emily.Native.{Async, NIF, Ops}

  @typedoc "A tensor: a handle on data that the engine holds, or will hold once it is computed."
  @type tensor :: reference()

  @typedoc "A worker: a lane on which operations run in the order they were asked for."
  @type worker :: reference()

  @typedoc "An element type."
  @type dtype ::
          :u8
          | :u16
          | :u32
          | :u64
          | :s8
          | :s16
          | :s32
          | :s64
          | :f16
          | :bf16
          | :f32
          | :f64
          | :c64

  @typedoc "The dimensions, outermost first."
  @type shape :: tuple()

  @typedoc "An operation's attributes."
  @type attrs :: %{optional(atom()) => term()}

  # Up to this many operands are read on the scheduler that asks; the library takes no more there.
  @read_at_once 256

  # Up to this many bytes are copied on the scheduler that asks: about the time of a NIF call.
  @copied_at_once 64 * 1024

  # What the library reads as a number of bytes.
  @bytes 0..0xFFFF_FFFF_FFFF_FFFF

  ## Workers

  @doc """
  Starts a worker on `:cpu`, `:gpu`, or `:default`: the GPU where there is one.

  Workers come from a fixed pool of threads, so starting one is cheap, and those beyond the pool's
  size share threads. What was asked of a worker that nobody holds any more is still done.

  ## Options

    * `:f64` - accept `:f64` tensors, which MLX has on the CPU only. `false` unless given.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu, f64: true)
      iex> Emily.Native.device(worker)
      :cpu

  """
  @spec start_worker(:cpu | :gpu | :default, f64: boolean()) ::
          {:ok, worker()} | {:error, Error.t()}
  def start_worker(device \\ :default, opts \\ [])

  def start_worker(device, opts) when device in [:cpu, :gpu, :default] do
    opts = Keyword.validate!(opts, f64: false)

    if not is_boolean(opts[:f64]) do
      raise ArgumentError,
            "Emily.Native.start_worker: expected :f64 to be a boolean, got: #{inspect(opts[:f64])}"
    end

    NIF.start_worker(device, opts[:f64]) |> result()
  end

  def start_worker(device, _opts) do
    raise ArgumentError,
          "Emily.Native.start_worker: expected :cpu, :gpu or :default, got: #{inspect(device)}"
  end

  @doc """
  Refuses new work on the worker and fails what is queued, with an error of kind `:stopped`.

  What is already computed can still be read. Waits for nothing; stopping twice is no error.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> Emily.Native.stop_worker(worker)
      :ok
      iex> {:error, error} = Emily.Native.iota(worker, [], %{dtype: :u8, shape: {3}})
      iex> error.kind
      :stopped

  """
  @spec stop_worker(worker()) :: :ok
  def stop_worker(worker), do: NIF.stop_worker(worker)

  @doc """
  The worker's name, as errors give it.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> Emily.Native.worker_name(worker) =~ "cpu"
      true

  """
  @spec worker_name(worker()) :: String.t()
  def worker_name(worker), do: NIF.worker_name(worker)

  @doc """
  The number of jobs that wait on the worker's thread.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> Emily.Native.queue_depth(worker)
      0

  """
  @spec queue_depth(worker()) :: non_neg_integer()
  def queue_depth(worker), do: NIF.queue_depth(worker)

  @doc """
  The device that the worker's operations run on.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> Emily.Native.device(worker)
      :cpu

  """
  @spec device(worker()) :: :cpu | :gpu
  def device(worker), do: NIF.device(worker)

  ## Tensors

  @doc """
  A tensor of this dtype and shape with a copy of `binary`.

  Large copies are made on a dirty scheduler.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2, 2}, <<1, 2, 3, 4>>)
      iex> Emily.Native.type(t)
      {:u8, {2, 2}}
      iex> {:error, error} = Emily.Native.from_binary(worker, :u8, {3}, <<1>>)
      iex> error.message
      "u8[3] takes 3 bytes, got 1"

  """
  @spec from_binary(worker(), dtype(), shape(), binary()) ::
          {:ok, tensor()} | {:error, Error.t()}
  def from_binary(worker, dtype, shape, binary) when is_binary(binary) do
    case upload(worker, dtype, shape, binary) do
      # Made on the worker, so that nothing but this process waits, and that it can be collected.
      :no_room ->
        with :ok <- Async.call(&NIF.make_room(worker, byte_size(binary), &1)) do
          from_binary(worker, dtype, shape, binary)
        end

      uploaded ->
        result(uploaded)
    end
  end

  def from_binary(_worker, _dtype, _shape, other) do
    raise ArgumentError,
          "Emily.Native.from_binary: expected the elements' bytes in a binary, got: #{inspect(other)}"
  end

  defp upload(worker, dtype, shape, binary) when byte_size(binary) <= @copied_at_once do
    NIF.from_binary(worker, dtype, shape, binary)
  end

  defp upload(worker, dtype, shape, binary) do
    NIF.from_binary_dirty(worker, dtype, shape, binary)
  end

  @doc """
  Computes the tensor and gives its bytes.

  The binary is the engine's own buffer where that is contiguous: nothing is copied, and the
  buffer lives as long as the binary or a part of it does. Waits at most `timeout` milliseconds,
  then gives up with an error of kind `:timeout`.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
      iex> Emily.Native.read(t)
      {:ok, <<1, 2>>}

  """
  @spec read(tensor(), timeout()) :: {:ok, binary()} | {:error, Error.t()}
  def read(tensor, timeout \\ :infinity) do
    Async.check_timeout!(timeout)

    case NIF.read_now(tensor) do
      nil -> Async.call(&NIF.read(tensor, &1), timeout)
      read -> result(read)
    end
  rescue
    error in ArgumentError -> reraise Reply.explain(error, [tensor]), __STACKTRACE__
  end

  @doc """
  Computes the tensor and waits until it is there, as `read/2` does.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
      iex> Emily.Native.eval(t)
      :ok

  """
  @spec eval(tensor(), timeout()) :: :ok | {:error, Error.t()}
  def eval(tensor, timeout \\ :infinity) do
    Async.call(&NIF.eval(tensor, &1), timeout)
  rescue
    error in ArgumentError -> reraise Reply.explain(error, [tensor]), __STACKTRACE__
  end

  @doc """
  Frees the tensor now, whoever holds it; `false` when it already was.

  Operations that were asked for before still get its value; any later use is an error of kind
  `:argument`.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
      iex> {Emily.Native.release(t), Emily.Native.release(t)}
      {true, false}
      iex> {:error, error} = Emily.Native.read(t)
      iex> error.kind
      :argument

  """
  @spec release(tensor()) :: boolean()
  def release(tensor) do
    NIF.release(tensor)
  rescue
    error in ArgumentError -> reraise Reply.explain(error, [tensor]), __STACKTRACE__
  end

  @doc """
  The tensor's dtype and shape, known before it is computed.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
      iex> {:ok, [wide]} = Emily.Native.as_type(worker, [t], %{dtype: :f32})
      iex> Emily.Native.type(wide)
      {:f32, {2}}

  """
  @spec type(tensor()) :: {dtype(), shape()}
  def type(tensor) do
    NIF.type(tensor)
  rescue
    error in ArgumentError -> reraise Reply.explain(error, [tensor]), __STACKTRACE__
  end

  ## Memory

  @doc """
  What the allocator holds, in bytes, for all workers together: in use (`active`), the most that
  was in use since the start or `reset_peak/0` (`peak`), freed and kept for reuse (`cache`), and
  the limit beyond which work is refused (`limit`).

  ## Examples

      iex> {:ok, stats} = Emily.Native.memory_stats()
      iex> stats.active <= stats.limit
      true

  """
  @spec memory_stats() ::
          {:ok,
           %{
             active: non_neg_integer(),
             peak: non_neg_integer(),
             cache: non_neg_integer(),
             limit: non_neg_integer()
           }}
          | {:error, Error.t()}
  def memory_stats, do: NIF.memory_stats() |> result()

  @doc """
  Starts `peak` of `memory_stats/0` anew.

  ## Examples

      iex> Emily.Native.reset_peak()
      :ok

  """
  @spec reset_peak() :: :ok | {:error, Error.t()}
  def reset_peak, do: NIF.reset_peak() |> result()

  @doc """
  Starts the evaluation of everything that was asked of the worker before, and waits until it has
  begun: all of it is in MLX's graph then.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> Emily.Native.flush(worker)
      :ok

  """
  @spec flush(worker()) :: :ok | {:error, Error.t()}
  def flush(worker), do: Async.call(&NIF.flush(worker, &1))

  @doc """
  Gives the cached buffers back to the system; tensors stay. Done on the worker, after what was
  asked of it before, and waited for.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> Emily.Native.clear_cache(worker)
      :ok

  """
  @spec clear_cache(worker()) :: :ok | {:error, Error.t()}
  def clear_cache(worker), do: Async.call(&NIF.clear_cache(worker, &1))

  @doc """
  Sets the limit on tensors' memory and gives the one before, in bytes.

  Work beyond it is an error of kind `:memory`.

  ## Examples

      iex> {:ok, before} = Emily.Native.set_memory_limit(8_000_000_000)
      iex> {:ok, 8_000_000_000} = Emily.Native.set_memory_limit(before)

  """
  @spec set_memory_limit(pos_integer()) :: {:ok, non_neg_integer()} | {:error, Error.t()}
  def set_memory_limit(bytes) when bytes in @bytes, do: NIF.set_memory_limit(bytes) |> result()
  def set_memory_limit(bytes), do: raise(no_limit("set_memory_limit", 1, bytes))

  @doc """
  Sets the limit on cached buffers and gives the one before, in bytes; 0 keeps nothing.

  Done on the worker and waited for, as `clear_cache/1` is.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, before} = Emily.Native.set_cache_limit(worker, 1_000_000_000)
      iex> {:ok, 1_000_000_000} = Emily.Native.set_cache_limit(worker, before)

  """
  @spec set_cache_limit(worker(), non_neg_integer()) ::
          {:ok, non_neg_integer()} | {:error, Error.t()}
  def set_cache_limit(worker, bytes) when bytes in @bytes do
    Async.call(&NIF.set_cache_limit(worker, bytes, &1))
  end

  def set_cache_limit(_worker, bytes), do: raise(no_limit("set_cache_limit", 0, bytes))

  defp no_limit(function, least, bytes) do
    ArgumentError.exception(
      "Emily.Native.#{function}: a limit is a number of bytes, #{least} or more and below 2^64, " <>
        "got: #{inspect(bytes)}"
    )
  end

  ## The library

  @doc """
  True where there is a GPU that this library's MLX can use.

  ## Examples

      iex> is_boolean(Emily.Native.gpu_available?())
      true

  """
  @spec gpu_available?() :: boolean()
  def gpu_available?, do: NIF.gpu_available()

  @doc """
  The version of MLX that was loaded.

  ## Examples

      iex> Emily.Native.mlx_version()
      "0.32.2"

  """
  @spec mlx_version() :: String.t()
  def mlx_version, do: NIF.mlx_version()

  @doc """
  The fingerprint of the library's list of operations, equal to that of the list in Elixir.

  ## Examples

      iex> Emily.Native.op_fingerprint() == Emily.Native.Ops.fingerprint()
      true

  """
  @spec op_fingerprint() :: String.t()
  def op_fingerprint, do: NIF.op_fingerprint()

  @doc """
  Whether the native library is there: `:ok`, or `{:error, sentence}` with the reason and remedy.

  The library is loaded with this application; this never raises.

  ## Examples

      iex> Emily.Native.status()
      :ok

  """
  @spec status() :: :ok | {:error, String.t()}
  def status, do: NIF.status()

  ## Programs

  @doc """
  Checks a program, makes it smaller and gets it ready to run.

  A program is `{parameters, constants, region}`: types as `{dtype, shape}`, tensors as `{dtype, shape, binary}`. A
  region is `{nodes, results}`. Values are numbers: parameters from 0 on, then constants, and any others for what the
  nodes give. A node, in the order in which they run, is one of

    * `{results, operation, attributes, operands}`;
    * `{results, :if, predicate, then, else}`, whose regions give as much as each other;
    * `{results, :while, initial, state, condition, body}`, where `state` are the values that begin as `initial` and are
      then what the body gives, for as long as the condition gives anything but zero.

  Regions see the values around them; a body also sees what its condition computed.

  ## Examples

      iex> nodes = [{[1], :add, %{}, [0, 0]}, {[2], :exp, %{}, [1]}]
      iex> {:ok, program} = Emily.Native.compile_program({[{:f32, {2}}], [], {nodes, [1]}})
      iex> {text, 1, 0} = Emily.Native.program_info(program)
      iex> text =~ "%1 = add(%0, %0) : f32[2]"
      true
      iex> {:error, error} = Emily.Native.compile_program({[], [], {[], [7]}})
      iex> error.message
      "%7 is not known here; a value stands before its use"

  """
  @spec compile_program(tuple()) :: {:ok, reference()} | {:error, Error.t()}
  def compile_program(program), do: NIF.compile_program(program) |> result()

  @doc """
  The program as text, its number of operations, branches and loops, and the bytes of its constants.

  ## Examples

      iex> {:ok, program} = Emily.Native.compile_program({[{:u8, {}}], [], {[], [0]}})
      iex> {text, 0, 0} = Emily.Native.program_info(program)
      iex> String.split(text)
      ["%0", "=", "parameter", ":", "u8[]", "->", "%0"]

  """
  @spec program_info(reference()) :: {String.t(), non_neg_integer(), non_neg_integer()}
  def program_info(program), do: NIF.program_info(program)

  @doc """
  Queues a whole program on a worker, as `apply_op/4` queues an operation.

  ## Examples

      iex> program = {[{:s32, {}}], [], {[{[1], :add, %{}, [0, 0]}], [1]}}
      iex> {:ok, program} = Emily.Native.compile_program(program)
      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, x} = Emily.Native.from_binary(worker, :s32, {}, <<21::32-little>>)
      iex> {:ok, [sum]} = Emily.Native.run_program(worker, program, [x])
      iex> Emily.Native.read(sum)
      {:ok, <<42::32-little>>}

  """
  @spec run_program(worker(), reference(), [tensor()]) :: {:ok, [tensor()]} | {:error, Error.t()}
  def run_program(worker, program, inputs) do
    queued(queue_program(worker, program, inputs))
  end

  defp queue_program(worker, program, inputs) when length(inputs) <= @read_at_once do
    case NIF.run_program(worker, program, inputs) do
      :many -> NIF.run_program_dirty(worker, program, inputs)
      queued -> queued
    end
  end

  defp queue_program(worker, program, inputs), do: NIF.run_program_dirty(worker, program, inputs)

  ## Operations

  @doc """
  Queues an operation by its name: what each operation's own function does.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, [t]} = Emily.Native.apply_op(worker, :iota, [], %{dtype: :u8, shape: {3}})
      iex> Emily.Native.read(t)
      {:ok, <<0, 1, 2>>}

  """
  @spec apply_op(worker(), atom(), [tensor()], attrs()) ::
          {:ok, [tensor()]} | {:error, Error.t()}
  def apply_op(worker, name, inputs, attrs) do
    with {:error, error} <- queued(queue(worker, name, attrs, inputs)) do
      {:error, at_call(error, name, attrs, inputs)}
    end
  end

  # What was queued, once there is room for more.
  defp queued({:ok, _tensors} = ok), do: ok
  defp queued({:wait, ref, tensors}), do: wait_for_room(ref, tensors)
  defp queued({:error, error}), do: {:error, Error.from_native(error)}

  defp queue(worker, name, attrs, inputs) when length(inputs) <= @read_at_once do
    NIF.apply_op(worker, name, attrs, inputs)
  end

  defp queue(worker, name, attrs, inputs) do
    NIF.apply_op_dirty(worker, name, attrs, inputs)
  end

  # An operation that could not be read as one has no call of its own yet.
  defp at_call(%Error{op: nil} = error, name, attrs, inputs) do
    Error.at(error, name, attrs, Enum.map(inputs, &NIF.type/1))
  end

  defp at_call(error, _name, _attrs, _inputs), do: error

  defp wait_for_room(ref, tensors) do
    receive do
      {^ref, :room} -> {:ok, tensors}
    end
  end

  for op <- Ops.all() do
    @doc op.doc
    @doc group: :operations
    @spec unquote(op.name)(worker(), [tensor()], attrs()) ::
            {:ok, [tensor()]} | {:error, Error.t()}
    def unquote(op.name)(worker, inputs, attrs \\ %{}) do
      apply_op(worker, unquote(op.name), inputs, attrs)
    end
  end

  defp result({:error, error}), do: {:error, Error.from_native(error)}
  defp result(ok), do: ok
end
