defmodule Emily.Placement do
  @moduledoc false
  # Where a function that is composed of Nx's puts what it makes itself: numbers, indices, tables. Nx puts
  # them on the default backend, which may take other types than the operands' and compute elsewhere.

  alias Nx.Tensor, as: T

  @doc "Calls `fun` with the backend of these tensors as the default; as it is inside `defn`."
  def beside(tensors, fun) do
    {default, _options} = Nx.default_backend()

    case backend(tensors) do
      nil -> fun.()
      ^default -> fun.()
      backend -> Nx.with_default_backend(backend, fun)
    end
  end

  # That of which a call on these tensors is: one that is not Nx.BinaryBackend, if there is any.
  defp backend(tensors) do
    backends = for %T{data: data} <- tensors, do: of(data)
    Enum.find(backends, List.first(backends), &(&1 != Nx.BinaryBackend))
  end

  defp of(%Nx.Defn.Expr{}), do: nil
  defp of(%Emily.Backend{device: device, f64: f64}), do: {Emily.Backend, device: device, f64: f64}
  defp of(%module{}), do: module
end
