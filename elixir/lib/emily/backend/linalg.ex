defmodule Emily.Backend.LinAlg do
  @moduledoc false
  # Products, systems of equations and decompositions.

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

  def triangular_solve(out, a, b, opts) do
    attrs = %{
      upper: not opts[:lower],
      right: not opts[:left_side],
      transform: opts[:transform_a]
    }

    Call.run(:triangular_solve, out, [a, b], attrs)
  end

  @doc "Queues a decomposition, and puts the handles of its factors in the templates."
  @spec decompose(atom(), tuple(), T.t(), map()) :: tuple()
  def decompose(op, outs, tensor, attrs \\ %{}) do
    lane = Call.lane([tensor])
    refs = Call.apply!(lane, op, [tensor], attrs)
    wrap = fn {%T{} = out, ref} -> Call.wrap(out, ref, lane) end
    outs |> Tuple.to_list() |> Enum.zip(refs) |> Enum.map(wrap) |> List.to_tuple()
  end
end
