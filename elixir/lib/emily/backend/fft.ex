defmodule Emily.Backend.FFT do
  @moduledoc false
  # Fourier transforms. Nx's `:eps` is a threshold under which a backend may take rounding errors for
  # zeros; here small results stay what they are.

  alias Emily.Backend.Call

  def fft(out, tensor, opts), do: fourier(:fft, out, tensor, opts[:axis], opts[:length])

  def ifft(out, tensor, opts), do: fourier(:ifft, out, tensor, opts[:axis], opts[:length])

  @doc "Calls a transform along an axis."
  def fourier(op, out, tensor, axis, length) do
    Call.run(op, out, [tensor], %{axis: axis, length: length})
  end

  @doc "Calls a transform along two axes."
  def fourier2(op, out, tensor, axes, lengths) do
    Call.run(op, out, [tensor], %{axes: axes, lengths: lengths})
  end
end
