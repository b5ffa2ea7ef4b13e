defmodule Emily.Quantization.Block do
  @moduledoc false
  # The block of `Nx.block/4` that a function of `Emily.Quantization` is: an operation of the engine.

  @enforce_keys [:op, :attrs]
  defstruct [:op, :attrs]
end
