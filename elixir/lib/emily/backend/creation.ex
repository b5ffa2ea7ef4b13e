defmodule Emily.Backend.Creation do
  @moduledoc false
  # Tensors from nothing, and from bytes.

  alias Emily.Backend.{Call, Type}
  alias Emily.Lane
  alias Nx.Tensor, as: T

  def constant(%T{shape: shape, type: type} = out, number, opts) do
    lane = Lane.for_options(opts)
    Type.to_dtype!(type, lane.f64)
    template = %{out | shape: {}, names: []}
    # The one place where NaN, infinities and complex numbers become bytes is Nx's own.
    binary = template |> Nx.BinaryBackend.constant(number, []) |> Nx.to_binary()
    scalar = Call.upload(template, binary, lane)

    if shape == {} do
      %{out | data: scalar.data}
    else
      [ref] = Call.apply!(lane, :broadcast, [scalar], %{shape: shape})
      Call.wrap(out, ref, lane)
    end
  end

  def from_binary(%T{} = out, bytes, opts) do
    Call.upload(out, bytes, Lane.for_options(opts))
  end

  def iota(%T{shape: shape, type: type} = out, axis, opts) do
    attrs = %{dtype: type, shape: shape, axis: axis}
    Call.create(:iota, out, attrs, Lane.for_options(opts))
  end

  # One where row and column are equal, for every matrix of the batch.
  def eye(%T{shape: shape, type: type} = out, opts) do
    lane = Lane.for_options(opts)
    rank = tuple_size(shape)

    [rows, columns] =
      for axis <- [rank - 2, rank - 1] do
        attrs = %{dtype: {:s, 32}, shape: shape, axis: axis}
        Call.create(:iota, %{out | type: {:s, 32}}, attrs, lane)
      end

    diagonal = Call.run(:equal, %{out | type: {:u, 8}}, [rows, columns])
    [ref] = Call.apply!(lane, :as_type, [diagonal], %{dtype: type})
    Call.wrap(out, ref, lane)
  end
end
