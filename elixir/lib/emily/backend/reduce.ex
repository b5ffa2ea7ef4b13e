defmodule Emily.Backend.Reduce do
  @moduledoc false
  # Reductions. Nx's options have the attributes' names, and are all given.

  alias Emily.Backend.Call
  alias Emily.Native.Ops

  for kind <- [:reduce, :quantifier, :arg_reduce],
      %{name: name, attrs: attrs} <- Ops.of_kind(kind) do
    def unquote(name)(out, tensor, opts) do
      attrs = opts |> Map.new() |> Map.put(:dtype, out.type) |> Map.take(unquote(attrs))
      Call.run(unquote(name), out, [tensor], attrs)
    end
  end

  def all_close(out, left, right, attrs), do: Call.run(:all_close, out, [left, right], attrs)
end
