defmodule Emily.Backend.Unary do
  @moduledoc false
  # Each element by itself.

  alias Emily.Backend.Call
  alias Emily.Native.Ops

  for %{name: name} <- Ops.of_kind(:unary) do
    def unquote(name)(out, tensor), do: Call.run(unquote(name), out, [tensor])
  end

  def bitcast(out, tensor), do: Call.run(:bitcast, out, [tensor], %{dtype: out.type})

  def as_type(out, tensor), do: Call.run(:as_type, out, [tensor], %{dtype: out.type})
end
