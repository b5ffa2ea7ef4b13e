defmodule Emily.Backend.Block do
  @moduledoc false
  # `Nx.block/4`: a native operation where the engine has one, else the block's default function,
  # which calls Nx and so comes back to this backend one operation at a time.

  alias Emily.{Fallback, Telemetry}
  alias Emily.Backend.{Cumulative, LinAlg}
  alias Nx.Block
  alias Nx.Tensor, as: T

  def block(%Block.LinAlg.QR{mode: mode}, out, [%T{type: {class, _}} = tensor], _default)
      when class != :c do
    LinAlg.qr(out, tensor, mode)
  end

  def block(%Block.CumulativeSum{} = scan, out, [%T{} = tensor], _default) do
    Cumulative.cumulative_sum(scan, out, tensor)
  end

  def block(%Block.CumulativeProduct{} = scan, out, [%T{} = tensor], _default) do
    Cumulative.cumulative_product(scan, out, tensor)
  end

  def block(%Block.CumulativeMax{} = scan, out, [%T{} = tensor], _default) do
    Cumulative.cumulative_max(scan, out, tensor)
  end

  def block(%Block.CumulativeMin{} = scan, out, [%T{} = tensor], _default) do
    Cumulative.cumulative_min(scan, out, tensor)
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

  defp note_default(%module{}, args) do
    metadata = args |> Telemetry.inputs() |> Map.put(:block, module)
    :telemetry.execute([:emily, :block, :fallback], %{count: 1}, metadata)
  end
end
