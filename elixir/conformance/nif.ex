defmodule Emily.Conformance.Nif do
  @moduledoc """
  The layer `nif`: the operation through `Emily.Native`, without Nx.
  """

  alias Emily.Native

  @doc "A worker on the device, with `f64` where MLX has it."
  @spec start(:cpu | :gpu) :: Native.worker()
  def start(device) do
    ok!(Native.start_worker(device, f64: device == :cpu))
  end

  @doc "Calls the operation."
  @spec run(Native.worker(), atom(), map(), [tuple()]) :: [Native.tensor()]
  def run(worker, op, attrs, inputs) do
    ok!(call(worker, op, Enum.map(inputs, &input(worker, &1)), attrs))
  end

  @doc "Results as `{dtype, dims, bytes}`."
  @spec read([Native.tensor()]) :: [tuple()]
  def read(results) do
    for result <- results do
      {dtype, shape} = Native.type(result)
      {dtype, Tuple.to_list(shape), ok!(Native.read(result))}
    end
  end

  defp input(worker, {dtype, dims, bytes, views}) do
    base = ok!(Native.from_binary(worker, dtype, List.to_tuple(dims), bytes))

    Enum.reduce(views, base, fn {op, attrs}, tensor ->
      [view] = ok!(call(worker, op, [tensor], attrs))
      view
    end)
  end

  # Through the operation's own function: that is what users call.
  defp call(worker, op, tensors, attrs), do: apply(Native, op, [worker, tensors, attrs])

  defp ok!({:ok, value}), do: value
  defp ok!({:error, error}), do: raise(error)
end
