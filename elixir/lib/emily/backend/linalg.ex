defmodule Emily.Backend.LinAlg do
  @moduledoc false
  # Products and decompositions.

  require Emily.Debug

  alias Emily.Backend.Call
  alias Nx.Tensor, as: T

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

  def qr({%T{} = q, %T{} = r}, tensor, mode) do
    lane = Call.lane([tensor])
    [q_ref, r_ref] = Call.apply!(lane, :qr, [tensor], %{mode: mode})
    {Call.wrap(q, q_ref, lane), Call.wrap(r, r_ref, lane)}
  end
end
