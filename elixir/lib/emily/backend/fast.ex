defmodule Emily.Backend.Fast do
  @moduledoc false
  # `Emily.Fast`'s blocks, whose structs hold the attributes of their operations.

  require Emily.Debug

  alias Emily.Backend.Call
  alias Emily.Fast.Block

  @ops %{
    Block.Softmax => :softmax,
    Block.LogSumExp => :logsumexp,
    Block.RmsNorm => :rms_norm,
    Block.LayerNorm => :layer_norm,
    Block.ScaledDotProductAttention => :scaled_dot_product_attention,
    Block.Rope => :rope,
    Block.Einsum => :einsum,
    Block.GatherMm => :gather_mm
  }

  # A mask gives a softmax its infinities, and -∞ is the logarithm of nothing.
  @finite [:rms_norm, :layer_norm, :scaled_dot_product_attention, :einsum]

  defguard is_fast(module) when is_map_key(@ops, module)

  def run(%module{} = struct, out, args) do
    attrs =
      for {name, value} <- Map.from_struct(struct), value != nil, into: %{}, do: {name, value}

    call(@ops[module], out, args, attrs)
  end

  defp call(op, out, args, attrs) when op in @finite do
    Emily.Debug.finite_checked(Call.run(op, out, args, attrs), op)
  end

  defp call(:gather_mm, out, args, attrs) do
    product = Emily.Debug.bounds_checked(Call.run(:gather_mm, out, args, attrs))
    Emily.Debug.finite_checked(product, :gather_mm)
  end

  defp call(op, out, args, attrs), do: Call.run(op, out, args, attrs)
end
