defmodule Emily.Backend.Reduce do
  @moduledoc false
  # Reductions. Nx's options have the attributes' names, and are all given; nil is one left out.

  alias Emily.Backend.Call
  alias Emily.Native.Ops

  for kind <- [:reduce, :quantifier, :arg_reduce],
      %{name: name, attrs: attrs} <- Ops.of_kind(kind) do
    def unquote(name)(out, tensor, opts) do
      attrs =
        for {attr, value} <- [{:dtype, out.type} | opts],
            attr in unquote(attrs) and value != nil,
            into: %{},
            do: {attr, value}

      Call.run(unquote(name), out, [tensor], attrs)
    end
  end

  def all_close(out, left, right, attrs) do
    # Raises where names clash, as every operation of two tensors does.
    Nx.Shape.binary_broadcast(left.shape, left.names, right.shape, right.names)
    Call.run(:all_close, out, [left, right], attrs)
  end
end
