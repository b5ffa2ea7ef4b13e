defmodule Emily.Backend.Elementwise do
  @moduledoc false
  # One result element per operand element. Nx says in the template what type the result has.

  alias Emily.Backend.Call

  for op <- [:add, :divide, :remainder, :pow] do
    def unquote(op)(out, left, right) do
      Call.run(unquote(op), out, [left, right], %{dtype: out.type})
    end
  end

  def equal(out, left, right), do: Call.run(:equal, out, [left, right])

  for op <- [:round, :exp, :erfc] do
    def unquote(op)(out, tensor), do: Call.run(unquote(op), out, [tensor])
  end

  def as_type(out, tensor), do: Call.run(:as_type, out, [tensor], %{dtype: out.type})

  def select(out, pred, on_true, on_false) do
    Call.run(:select, out, [pred, on_true, on_false], %{dtype: out.type})
  end
end
