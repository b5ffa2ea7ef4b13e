defmodule Emily.Backend.Call do
  @moduledoc false
  # From Nx's tensors and templates to `Emily.Native` and back.

  import Emily.Compiler.Recorder, only: [is_recording: 1]
  import Emily.Reply, only: [ok!: 1, explain: 2]

  alias Emily.{Backend, Config, Lane, Native}
  alias Emily.Backend.Type
  alias Emily.Compiler.Recorder
  alias Emily.Memory.Collector
  alias Nx.Tensor, as: T

  @doc """
  Queues an operation and puts the handle of its one result in the template `out`.

  A `:dtype` among the attributes is an Nx type. Operands of other backends are copied in.
  """
  @spec run(atom(), T.t(), [T.t()], map()) :: T.t()
  def run(op, %T{} = out, tensors, attrs \\ %{}) do
    lane = lane(tensors)
    [ref] = apply!(lane, op, tensors, attrs)
    wrap(out, ref, lane)
  end

  @doc "As `run/4`, for an operation of several results, and as many templates in a tuple."
  @spec run_all(atom(), tuple(), [T.t()], map()) :: tuple()
  def run_all(op, outs, tensors, attrs) do
    lane = lane(tensors)
    refs = apply!(lane, op, tensors, attrs)
    outs |> Tuple.to_list() |> Enum.zip_with(refs, &wrap(&1, &2, lane)) |> List.to_tuple()
  end

  @doc "As `run/4`, for an operation without operands."
  @spec create(atom(), T.t(), map(), Lane.t()) :: T.t()
  def create(op, %T{} = out, attrs, lane) do
    [ref] = apply!(lane, op, [], attrs)
    wrap(out, ref, lane)
  end

  @doc "Queues an operation and gives the handles of its results."
  @spec apply!(Lane.t(), atom(), [T.t()], map()) :: [Native.tensor()]
  def apply!(lane, op, tensors, attrs) when is_recording(lane) do
    Recorder.apply(op, tensors, dtype_attr(attrs, lane))
  end

  def apply!(lane, op, tensors, attrs) do
    attrs = dtype_attr(attrs, lane)
    refs = Enum.map(tensors, &ref(&1, lane))
    queue = fn -> Native.apply_op(lane.worker, op, refs, attrs) end
    Emily.Case.noted(op, attrs, refs, fn -> queue!(refs, queue) end)
  end

  @doc "Queues what `fun` queues with these handles, and gives those of its results, computed if dispatch is synchronous."
  @spec queue!([Native.tensor()], (-> {:ok, [Native.tensor()]} | {:error, Exception.t()})) ::
          [Native.tensor()]
  def queue!(refs, fun) do
    results =
      try do
        fun.()
      rescue
        error in ArgumentError -> reraise explain(error, refs), __STACKTRACE__
      end

    settle(ok!(results), Config.dispatch())
  end

  defp settle(refs, :pipelined), do: refs

  defp settle(refs, :sync) do
    Enum.each(refs, &ok!(Native.eval(&1)))
    refs
  end

  defp dtype_attr(%{dtype: type} = attrs, lane) do
    %{attrs | dtype: Type.to_dtype!(type, lane.f64)}
  end

  defp dtype_attr(attrs, _lane), do: attrs

  @doc """
  The lane for these operands: the first tensor of ours decides, and `f64` if any has it, or the backend's options; where
  there is none of ours, the options.
  """
  @spec lane([term()], keyword()) :: Lane.t()
  def lane(tensors, options \\ []) do
    lane(tensors, nil, Keyword.get(options, :f64, false), options)
  end

  defp lane([%T{data: %Backend{device: device, f64: f64}} | rest], found, f64?, options) do
    lane(rest, found || device, f64 or f64?, options)
  end

  defp lane([_other | rest], found, f64?, options), do: lane(rest, found, f64?, options)
  defp lane([], nil, _f64?, options), do: Lane.for_options(options)
  defp lane([], found, f64?, _options), do: Lane.for_device(found, f64?)

  @doc "The tensor's handle; a tensor of another backend is copied in first."
  @spec ref(T.t(), Lane.t()) :: Native.tensor()
  def ref(%T{data: %Backend{ref: ref}}, _lane), do: ref
  def ref(%T{} = tensor, lane), do: upload(tensor, Nx.to_binary(tensor), lane).data.ref

  @doc "The template `out` with a copy of these bytes."
  @spec upload(T.t(), iodata(), Lane.t()) :: T.t()
  # What is written down has it as a constant.
  def upload(%T{} = out, bytes, lane) when is_recording(lane) do
    %{out | data: %Nx.BinaryBackend{state: IO.iodata_to_binary(bytes)}}
  end

  def upload(%T{type: type, shape: shape} = out, bytes, lane) do
    dtype = Type.to_dtype!(type, lane.f64)
    binary = IO.iodata_to_binary(bytes)
    ref = ok!(Native.from_binary(lane.worker, dtype, shape, binary))
    wrap(out, ref, lane)
  end

  @doc "The template `out` with this handle's tensor, which the process is given."
  @spec wrap(T.t(), Native.tensor(), Lane.t()) :: T.t()
  def wrap(%T{} = out, ref, lane) when is_recording(lane) do
    %{out | data: %Backend{ref: ref, device: lane.device, f64: lane.f64}}
  end

  def wrap(%T{type: {_kind, bits}, shape: shape} = out, ref, %Lane{device: device, f64: f64}) do
    Collector.count(div(Tuple.product(shape) * bits, 8))
    %{out | data: %Backend{ref: ref, device: device, f64: f64}}
  end
end
