defmodule Emily.Backend.Binary do
  @moduledoc false
  # Elements in pairs. Nx says in the template what type arithmetic has; comparisons have their own.

  alias Emily.Backend.Call
  alias Emily.Native.Ops

  for %{name: name} <- Ops.of_kind(:arithmetic) do
    def unquote(name)(out, left, right) do
      Call.run(unquote(name), out, [left, right], %{dtype: out.type})
    end
  end

  for %{name: name} <- Ops.of_kind(:compare) do
    def unquote(name)(out, left, right), do: Call.run(unquote(name), out, [left, right])
  end
end
