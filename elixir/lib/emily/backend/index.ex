defmodule Emily.Backend.Index do
  @moduledoc false
  # Reading and writing parts of a tensor.

  require Emily.Debug

  alias Emily.Backend.Call
  alias Emily.Native.Ops
  alias Nx.Tensor, as: T

  def slice(out, tensor, starts, lengths, strides) do
    attrs = %{lengths: lengths, strides: strides}

    if Enum.all?(starts, &is_integer/1) do
      Call.run(:slice, out, [tensor], Map.put(attrs, :starts, starts))
    else
      Call.run(:dynamic_slice, out, [tensor | Enum.map(starts, &start/1)], attrs)
    end
  end

  def put_slice(out, tensor, starts, slice) do
    if Enum.all?(starts, &is_integer/1) do
      Call.run(:put_slice, out, [tensor, slice], %{starts: starts})
    else
      Call.run(:dynamic_put_slice, out, [tensor, slice | Enum.map(starts, &start/1)])
    end
  end

  defp start(%T{} = tensor), do: tensor

  defp start(number) do
    Nx.BinaryBackend.constant(%T{type: {:s, 64}, shape: {}, names: []}, number, [])
  end

  def gather(out, tensor, indices, opts) do
    Emily.Debug.bounds_checked(Call.run(:gather, out, [tensor, indices], %{axes: opts[:axes]}))
  end

  def take(out, tensor, indices, axis) do
    Emily.Debug.bounds_checked(Call.run(:take, out, [tensor, indices], %{axis: axis}))
  end

  def take_along_axis(out, tensor, indices, axis) do
    Emily.Debug.bounds_checked(Call.run(:take_along_axis, out, [tensor, indices], %{axis: axis}))
  end

  for %{name: name} <- Ops.of_kind(:indexed) do
    def unquote(name)(out, tensor, indices, updates, opts) do
      operands = [tensor, indices, updates]
      Emily.Debug.bounds_checked(Call.run(unquote(name), out, operands, %{axes: opts[:axes]}))
    end
  end
end
