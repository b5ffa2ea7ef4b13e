defmodule Emily.Backend.Block do
  @moduledoc false
  # `Nx.block/4`: a native operation where the engine has one, else the block's default function,
  # which calls Nx and so comes back to this backend one operation at a time.

  alias Emily.{Fallback, Telemetry}
  alias Emily.Backend.{Call, LinAlg}
  alias Nx.Block
  alias Nx.Tensor, as: T

  @linalg [
    Block.LinAlg.Cholesky,
    Block.LinAlg.QR
  ]

  # MLX decomposes real matrices only.
  def block(%module{} = struct, out, args, default) when module in @linalg do
    if Enum.any?(args, &Nx.Type.complex?(&1.type)) do
      note_default(struct, args)
      apply(default, [struct | args])
    else
      linalg(struct, out, args)
    end
  end

  # Nx compares integers in `f64`, which this backend may not have.
  def block(%Block.AllClose{} = struct, out, [%T{} = left, %T{} = right] = args, default) do
    note_default(struct, args)

    if Nx.Type.integer?(left.type) and Nx.Type.integer?(right.type) do
      Fallback.run(:all_close, out, args, &apply(default, [struct | &1]))
    else
      default.(struct, left, right)
    end
  end

  def block(struct, _out, args, default) do
    note_default(struct, args)
    apply(default, [struct | args])
  end

  defp linalg(%Block.LinAlg.Cholesky{}, out, args), do: Call.run(:cholesky, out, args)
  defp linalg(%Block.LinAlg.QR{mode: mode}, out, [a]) do
    LinAlg.decompose(:qr, out, a, %{mode: mode})
  end

  defp note_default(%module{}, args) do
    metadata = args |> Telemetry.inputs() |> Map.put(:block, module)
    :telemetry.execute([:emily, :block, :fallback], %{count: 1}, metadata)
  end
end
