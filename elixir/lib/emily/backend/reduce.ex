defmodule Emily.Backend.Reduce do
  @moduledoc false
  # Reductions, and the order they rest on.

  alias Emily.Backend.Call

  def sum(out, tensor, opts) do
    attrs = %{axes: opts[:axes], keep_axes: opts[:keep_axes] || false, dtype: out.type}
    Call.run(:sum, out, [tensor], attrs)
  end

  def argmax(out, tensor, opts) do
    attrs = %{
      axis: opts[:axis],
      tie_break: opts[:tie_break] || :low,
      keep_axis: opts[:keep_axis] || false,
      dtype: out.type
    }

    Call.run(:argmax, out, [tensor], attrs)
  end

  # The engine's sort is stable, so `:stable` asks for nothing more.
  def argsort(out, tensor, opts) do
    attrs = %{axis: opts[:axis], direction: opts[:direction] || :asc, dtype: out.type}
    Call.run(:argsort, out, [tensor], attrs)
  end
end
