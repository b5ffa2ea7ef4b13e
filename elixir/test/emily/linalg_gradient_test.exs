defmodule Emily.LinAlgGradientTest do
  # Nx's gradients of decompositions are of the factors that Nx's own function finds, beside Emily's.
  use ExUnit.Case, async: true

  @square Nx.tensor([[4.0, 1.0], [-1.0, 3.0]], backend: Nx.BinaryBackend)
  @tall Nx.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 1.0]], backend: Nx.BinaryBackend)

  defp pinv(x) do
    inverse = Nx.LinAlg.pinv(x)
    Nx.sum(Nx.multiply(weights(inverse), inverse))
  end

  defp thin(x), do: again(x, full_matrices?: false)
  defp full(x), do: again(x, full_matrices?: true)

  defp again(x, options) do
    {u, s, vt} = Nx.LinAlg.svd(x, options)
    product = u |> Nx.multiply(s) |> Nx.dot(vt)
    Nx.sum(Nx.multiply(weights(product), Nx.pow(product, 2)))
  end

  # Other ones for each element.
  defp weights(x), do: Nx.sin(Nx.iota(Nx.shape(x), type: Nx.type(x)))

  for {name, compiler} <- [eager: Nx.Defn.Evaluator, compiled: Emily.Compiler] do
    test "are right of what no sign changes, #{name}" do
      all = [@square, @tall]

      # Nx has no gradient of wide matrices, nor of the columns that make U of a tall one square.
      for {function, xs} <- [{&pinv/1, all}, {&thin/1, all}, {&full/1, [@square]}], x <- xs do
        want = differences(x, function)
        x = Nx.backend_copy(x, Emily.Backend)
        gradient = Nx.Defn.jit(&Nx.Defn.grad(&1, function), compiler: unquote(compiler))
        got = Nx.with_default_backend(Emily.Backend, fn -> gradient.(x) end)

        # What differences of 1e-4 in f64 leave out is far below what f32 rounds: some hundred operations.
        for {got, want} <- Enum.zip(Nx.to_flat_list(got), want) do
          assert_in_delta got, want, 1.0e-4 * max(1.0, abs(want))
        end
      end
    end
  end

  defp differences(x, function) do
    x = Nx.as_type(x, :f64)
    {rows, columns} = Nx.shape(x)

    for i <- 0..(rows - 1), j <- 0..(columns - 1) do
      step =
        Nx.indexed_put(
          Nx.broadcast(Nx.f64(0), x),
          Nx.tensor([[i, j]]),
          Nx.tensor([1.0e-4], type: :f64)
        )

      [above, below] =
        for x <- [Nx.add(x, step), Nx.subtract(x, step)], do: Nx.to_number(function.(x))

      (above - below) / 2.0e-4
    end
  end
end
