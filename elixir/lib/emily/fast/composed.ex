defmodule Emily.Fast.Composed do
  @moduledoc false
  # The default functions of `Emily.Fast`'s blocks, made of Nx's: what another backend runs, and what a
  # gradient is derived from. As the native operations they compute in f32 at least, and round once.

  alias Emily.Fast
  alias Nx.Tensor, as: T

  def softmax(%Fast.Softmax{axes: axes}, tensor) do
    rounded(tensor, fn x ->
      {_largest, powers} = powers(x, axes)
      Nx.divide(powers, Nx.sum(powers, axes: axes, keep_axes: true))
    end)
  end

  def logsumexp(%Fast.LogSumExp{axes: axes, keep_axes: keep_axes}, tensor) do
    rounded(tensor, fn x ->
      {largest, powers} = powers(x, axes, &Nx.select(Nx.is_infinity(&1), 0, &1))
      logs = powers |> Nx.sum(axes: axes, keep_axes: true) |> Nx.log() |> Nx.add(largest)
      if keep_axes, do: logs, else: Nx.squeeze(logs, axes: axes)
    end)
  end

  # The largest element of each row, and the exponentials of what the others are below it.
  defp powers(x, axes, adjust \\ & &1) do
    largest = x |> Nx.reduce_max(axes: axes, keep_axes: true) |> adjust.() |> constant()
    {largest, x |> Nx.subtract(largest) |> Nx.exp()}
  end

  # The largest element cancels, and so does its gradient.
  defp constant(%T{data: %Nx.Defn.Expr{}} = tensor), do: Nx.Defn.Kernel.stop_grad(tensor)
  defp constant(%T{} = tensor), do: tensor

  defp rounded(%T{type: type} = tensor, fun) do
    tensor |> Nx.as_type(wide(type)) |> fun.() |> Nx.as_type(Nx.Type.to_floating(type))
  end

  defp wide({:f, 64}), do: {:f, 64}
  defp wide(_type), do: {:f, 32}
end
