defmodule Emily.Backend.Quantized do
  @moduledoc false
  # Emily's own blocks: operations that Nx has no function for.

  alias Emily.Backend.Call
  alias Emily.Quantization.Block

  def block(%Block{op: op, attrs: attrs}, out, args) when is_tuple(out) do
    Call.run_all(op, out, args, attrs)
  end

  def block(%Block{op: op, attrs: attrs}, out, args), do: Call.run(op, out, args, attrs)
end
