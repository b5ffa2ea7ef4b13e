defmodule Emily.Backend.Lifecycle do
  @moduledoc false
  # A tensor's way in and out, and its end.

  import Inspect.Algebra, only: [concat: 1, line: 0]

  alias Emily.{Backend, Config, Lane, Native}
  alias Emily.Backend.{Call, Index, Shape}
  alias Nx.Tensor, as: T

  def init(opts), do: Lane.validate!(opts)

  # A vectorized tensor's shape leaves axes out, and the limit counts all elements.
  def to_binary(%T{type: {_class, bits}} = tensor, limit) do
    binary = Emily.to_binary(tensor)
    size = limit * div(bits, 8)

    if size < byte_size(binary) do
      # A copy, so that a few elements do not keep the whole buffer.
      binary |> binary_part(0, size) |> :binary.copy()
    else
      binary
    end
  end

  def backend_copy(%T{type: type} = tensor, Backend, opts) do
    lane = Lane.for_options(if opts == [], do: inherited(tensor), else: opts)
    # MLX's arrays never change, so a copy is a second handle on the same buffer.
    [ref] = Call.apply!(lane, :as_type, [tensor], %{dtype: type})
    Call.wrap(tensor, ref, lane)
  end

  def backend_copy(%T{} = tensor, backend, opts) do
    backend.from_binary(tensor, Emily.to_binary(tensor), opts)
  end

  defp inherited(%T{data: %Backend{device: device, f64: f64}}), do: [device: device, f64: f64]

  def backend_transfer(%T{} = tensor, backend, opts) do
    copy = backend_copy(tensor, backend, opts)
    backend_deallocate(tensor)
    copy
  end

  def backend_deallocate(%T{data: %Backend{ref: ref}}) do
    if Native.release(ref), do: :ok, else: :already_deallocated
  end

  def to_batched(%T{shape: shape} = out, %T{} = tensor, opts) do
    batch = elem(shape, 0)
    total = elem(tensor.shape, 0)
    left = rem(total, batch)
    starts = Enum.take_every(0..(total - left - 1), batch)

    case opts[:leftover] do
      :repeat when left > 0 -> Stream.concat(starts, [:leftover])
      _repeat_or_discard -> starts
    end
    |> Stream.map(fn
      :leftover ->
        parts = [rows(tensor, total - left, left), rows(tensor, 0, batch - left)]
        Shape.concatenate(out, parts, 0)

      start ->
        %{out | data: rows(tensor, start, batch).data}
    end)
  end

  defp rows(%T{shape: shape} = tensor, start, count) do
    shape = put_elem(shape, 0, count)
    rank = tuple_size(shape)
    starts = [start | List.duplicate(0, rank - 1)]
    lengths = Tuple.to_list(shape)
    Index.slice(%{tensor | shape: shape}, tensor, starts, lengths, List.duplicate(1, rank))
  end

  def inspect(%T{shape: shape, data: %Backend{device: device}} = tensor, inspect_opts) do
    # One more than is shown, so that what is left out is seen; `:infinity` is above all numbers.
    limit = if inspect_opts.limit == :infinity, do: :infinity, else: inspect_opts.limit + 1
    binary = to_binary(tensor, min(limit, Nx.size(shape)))
    values = Nx.Backend.inspect(tensor, binary, inspect_opts)

    if Config.add_backend_on_inspect?() do
      concat(["Emily.Backend(#{device})", line(), values])
    else
      values
    end
  end

  def from_pointer(_pointer, _type, _shape, _backend_opts, _opts) do
    raise ArgumentError,
          "Emily.Backend does not take pointers: MLX would read memory whose end of life it cannot " <>
            "know. Use Nx.from_binary/3, which copies"
  end

  def to_pointer(%T{}, _opts) do
    raise ArgumentError,
          "Emily.Backend does not give pointers: MLX may free or reuse the buffer while another " <>
            "still reads it. Use Nx.to_binary/1, which aliases the buffer and keeps it alive"
  end
end
