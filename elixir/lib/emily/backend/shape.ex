defmodule Emily.Backend.Shape do
  @moduledoc false
  # Moving elements, and choosing between them.

  alias Emily.Backend.Call

  def transpose(out, tensor, axes), do: Call.run(:transpose, out, [tensor], %{axes: axes})

  def reshape(out, tensor), do: Call.run(:reshape, out, [tensor], %{shape: out.shape})

  def squeeze(out, tensor, axes), do: Call.run(:squeeze, out, [tensor], %{axes: axes})

  def reverse(out, tensor, axes), do: Call.run(:reverse, out, [tensor], %{axes: axes})

  def pad(out, tensor, value, config) do
    [low, high, interior] = for i <- 0..2, do: Enum.map(config, &elem(&1, i))
    attrs = %{low: low, high: high, interior: interior, dtype: out.type}
    Call.run(:pad, out, [tensor, value], attrs)
  end

  def broadcast(out, tensor, shape, axes) do
    Call.run(:broadcast, out, [tensor], %{shape: shape, axes: axes})
  end

  def concatenate(out, tensors, axis) do
    Call.run(:concatenate, out, tensors, %{axis: axis, dtype: out.type})
  end

  def stack(out, tensors, axis) do
    Call.run(:stack, out, tensors, %{axis: axis, dtype: out.type})
  end

  def clip(out, tensor, min, max) do
    Call.run(:clip, out, [tensor, min, max], %{dtype: out.type})
  end

  def select(out, pred, on_true, on_false) do
    Call.run(:select, out, [pred, on_true, on_false], %{dtype: out.type})
  end
end
