defmodule Emily.Backend.LinAlg do
  @moduledoc false
  # Products, systems of equations and decompositions.

  require Emily.Debug

  alias Emily.Backend.Call

  def dot(out, left, contract_left, batch_left, right, contract_right, batch_right) do
    attrs = %{
      contract_left: contract_left,
      batch_left: batch_left,
      contract_right: contract_right,
      batch_right: batch_right,
      dtype: out.type
    }

    Emily.Debug.finite_checked(Call.run(:dot, out, [left, right], attrs), :dot)
  end

  def triangular_solve(out, a, b, opts) do
    attrs = %{
      upper: not opts[:lower],
      right: not opts[:left_side],
      transform: opts[:transform_a]
    }

    Call.run(:triangular_solve, out, [a, b], attrs)
  end
end
