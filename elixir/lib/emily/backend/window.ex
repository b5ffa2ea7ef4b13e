defmodule Emily.Backend.Window do
  @moduledoc false
  # Windows that slide over a tensor.

  alias Emily.Backend.Call
  alias Emily.Native.Ops

  for %{name: name} <- Ops.of_kind(:window) do
    def unquote(name)(out, tensor, lengths, opts) do
      attrs = Map.put(attrs(lengths, opts), :dilations, opts[:window_dilations])
      Call.run(unquote(name), out, [tensor], attrs)
    end
  end

  for %{name: name} <- Ops.of_kind(:window_scatter) do
    def unquote(name)(out, tensor, source, init, lengths, opts) do
      Call.run(unquote(name), out, [tensor, source, init], attrs(lengths, opts))
    end
  end

  defp attrs(lengths, opts) do
    {low, high} = Enum.unzip(opts[:padding])
    %{lengths: Tuple.to_list(lengths), strides: opts[:strides], low: low, high: high}
  end
end
