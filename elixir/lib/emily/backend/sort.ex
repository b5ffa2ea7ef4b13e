defmodule Emily.Backend.Sort do
  @moduledoc false
  # Orders.

  alias Emily.Backend.Call

  def sort(out, tensor, opts) do
    Call.run(:sort, out, [tensor], %{axis: opts[:axis], direction: opts[:direction]})
  end

  # The engine's sort is stable, so `:stable` asks for nothing more.
  def argsort(out, tensor, opts) do
    attrs = %{axis: opts[:axis], direction: opts[:direction], dtype: out.type}
    Call.run(:argsort, out, [tensor], attrs)
  end

  def top_k(outs, tensor, k), do: Call.run_all(:top_k, outs, [tensor], %{k: k})
end
