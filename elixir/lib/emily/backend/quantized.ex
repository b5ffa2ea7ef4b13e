defmodule Emily.Backend.Quantized do
  @moduledoc false
  # Emily's own blocks: operations that Nx has no function for.

  require Emily.Debug

  alias Emily.Backend.Call
  alias Emily.Quantization.Block

  @products [:quantized_matmul, :fp_quantized_matmul]
  @picked [:gather_qmm, :fp_gather_qmm]

  def block(%Block{op: op, attrs: attrs}, out, args) when is_tuple(out) do
    Call.run_all(op, out, args, attrs)
  end

  def block(%Block{op: op, attrs: attrs}, out, args) when op in @products do
    Emily.Debug.finite_checked(Call.run(op, out, args, attrs), op)
  end

  def block(%Block{op: op, attrs: attrs}, out, args) when op in @picked do
    product = Emily.Debug.bounds_checked(Call.run(op, out, args, attrs))
    Emily.Debug.finite_checked(product, op)
  end

  def block(%Block{op: op, attrs: attrs}, out, args), do: Call.run(op, out, args, attrs)
end
