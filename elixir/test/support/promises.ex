defmodule Emily.Promises do
  @moduledoc """
  What a decomposition promises, whichever factors it has chosen of those that are open: the vectors of a
  repeated value are any basis of their plane, and signs are free.
  """

  # eps of f32 times the dimension and the norm, as the rows of the two allow.
  @roundings %{eigh: 16, svd: 20}
  @eps 2.0 ** -23

  @doc "The promises that are broken, of a matrix or a batch, in f32."
  @spec broken(:eigh | :svd, Nx.Tensor.t(), [Nx.Tensor.t()]) :: [String.t()]
  def broken(decomposition, a, factors) do
    [a | factors] = Enum.map([a | factors], &wide/1)

    for {promise, size} <- residuals(decomposition, a, factors),
        not (size <= @roundings[decomposition] * @eps * max(rows(a), columns(a))),
        do: promise
  end

  # What should be zero, relative to the norm.
  defp residuals(:eigh, a, [values, vectors]) do
    scaled = Nx.multiply(vectors, Nx.new_axis(values, -2))

    [
      {"A·v = λ·v", apart(product(a, vectors), scaled) / norm(a)},
      {"orthonormal vectors", orthonormal(vectors)},
      {"sorted from the largest modulus", rise(Nx.abs(values)) / norm(a)}
    ]
  end

  defp residuals(:svd, a, [u, s, vt]) do
    scaled = Nx.multiply(u[[.., 0..(columns(s) - 1)]], s)
    product = product(scaled, vt[[0..(columns(s) - 1), ..]])

    [
      {"A = U·S·Vᵀ", apart(product, a) / norm(a)},
      {"orthonormal columns of U", orthonormal(u)},
      {"orthonormal rows of Vᵀ", orthonormal(transposed(vt))},
      {"sorted from the largest", rise(s) / norm(a)},
      {"no negative value", s |> Nx.less(0) |> Nx.sum() |> Nx.to_number()}
    ]
  end

  # In f64, and not on the backend that is judged.
  defp wide(t), do: t |> Nx.devectorize() |> Nx.backend_copy(Nx.BinaryBackend) |> Nx.as_type(:f64)

  defp orthonormal(q) do
    identity = Nx.eye(columns(q), type: :f64, backend: Nx.BinaryBackend)
    apart(product(transposed(q), q), identity)
  end

  # By how much a value exceeds the one before it.
  defp rise(values) do
    steps =
      for row <- values |> Nx.reshape({:auto, columns(values)}) |> Nx.to_list(),
          [before, later] <- Enum.chunk_every(row, 2, 1, :discard),
          do: later - before

    Enum.max([0.0 | steps])
  end

  defp apart(a, b), do: a |> Nx.subtract(b) |> norm()

  defp norm(t), do: t |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()
  defp rows(t), do: Nx.axis_size(t, -2)
  defp columns(t), do: Nx.axis_size(t, -1)

  defp transposed(t) do
    Nx.transpose(t, axes: batch(t) ++ [Nx.rank(t) - 1, Nx.rank(t) - 2])
  end

  defp product(a, b), do: Nx.dot(a, [-1], batch(a), b, [-2], batch(b))
  defp batch(t), do: Enum.to_list(0..(Nx.rank(t) - 3)//1)
end
