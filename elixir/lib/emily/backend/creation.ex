defmodule Emily.Backend.Creation do
  @moduledoc false
  # Tensors from nothing, and from bytes.

  import Bitwise

  alias Emily.Backend.Call
  alias Emily.Lane
  alias Nx.Tensor, as: T

  def constant(%T{shape: shape, type: type} = out, number, opts) do
    attrs = %{dtype: type, shape: shape, value: value(type, number)}
    Call.create(:constant, out, attrs, Lane.for_options(opts))
  end

  defp value(_type, %Complex{re: re, im: im}), do: [re, im]

  # An integer of any length counts modulo 2^64 in an integer type, and is a number in a float one.
  defp value({kind, _bits} = type, number) when is_integer(number) do
    cond do
      number in -0x8000_0000_0000_0000..0xFFFF_FFFF_FFFF_FFFF -> number
      kind in [:u, :s] -> number &&& 0xFFFF_FFFF_FFFF_FFFF
      type == {:f, 64} -> double!(number)
      number < 0 -> -double!(to_odd(-number))
      true -> double!(to_odd(number))
    end
  end

  defp value(_type, number), do: number

  # A double that rounds to a narrower float as the integer does: its first 53 bits, of which the last says
  # also whether there is more.
  defp to_odd(number) do
    rest = length(Integer.digits(number, 2)) - 53
    bits = number >>> rest
    bits = if bits <<< rest == number, do: bits, else: bits ||| 1
    bits <<< rest
  end

  defp double!(number) do
    number * 1.0
  rescue
    ArithmeticError ->
      digits = number |> Integer.digits() |> length()

      raise ArgumentError,
            "constant: an integer of #{digits} digits is beyond every float; " <>
              "pass a float, or :infinity by Nx.Constants.infinity/1"
  end

  def from_binary(%T{} = out, bytes, opts) do
    Call.upload(out, bytes, Lane.for_options(opts))
  end

  def iota(%T{shape: shape, type: type} = out, axis, opts) do
    attrs = %{dtype: type, shape: shape, axis: axis}
    Call.create(:iota, out, attrs, Lane.for_options(opts))
  end

  def eye(%T{shape: shape, type: type} = out, opts) do
    Call.create(:eye, out, %{dtype: type, shape: shape}, Lane.for_options(opts))
  end
end
