defmodule Emily.Backend.Shape do
  @moduledoc false
  # Moving elements, and choosing between them.

  alias Emily.Backend.Call

  def transpose(out, tensor, axes), do: Call.run(:transpose, out, [tensor], %{axes: axes})

  def broadcast(out, tensor, shape, axes) do
    Call.run(:broadcast, out, [tensor], %{shape: shape, axes: axes})
  end

  def concatenate(out, tensors, axis) do
    Call.run(:concatenate, out, tensors, %{axis: axis, dtype: out.type})
  end

  def select(out, pred, on_true, on_false) do
    Call.run(:select, out, [pred, on_true, on_false], %{dtype: out.type})
  end
end
