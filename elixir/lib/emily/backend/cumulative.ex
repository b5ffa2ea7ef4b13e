defmodule Emily.Backend.Cumulative do
  @moduledoc false
  # Cumulative reductions, which Nx calls as blocks of their names.

  alias Emily.Backend.Call
  alias Emily.Native.Ops

  for %{name: name} <- Ops.of_kind(:cumulative) do
    def unquote(name)(%{axis: axis, reverse: reverse}, out, tensor) do
      Call.run(unquote(name), out, [tensor], %{axis: axis, reverse: reverse})
    end
  end
end
