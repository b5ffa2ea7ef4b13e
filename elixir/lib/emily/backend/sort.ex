defmodule Emily.Backend.Sort do
  @moduledoc false
  # Orders.

  alias Emily.Backend.Call
  alias Nx.Tensor, as: T

  def sort(out, tensor, opts) do
    Call.run(:sort, out, [tensor], %{axis: opts[:axis], direction: opts[:direction]})
  end

  # The engine's sort is stable, so `:stable` asks for nothing more.
  def argsort(out, tensor, opts) do
    attrs = %{axis: opts[:axis], direction: opts[:direction], dtype: out.type}
    Call.run(:argsort, out, [tensor], attrs)
  end

  def top_k({%T{} = values, %T{} = indices}, tensor, k) do
    lane = Call.lane([tensor])
    [values_ref, indices_ref] = Call.apply!(lane, :top_k, [tensor], %{k: k})
    {Call.wrap(values, values_ref, lane), Call.wrap(indices, indices_ref, lane)}
  end
end
