defmodule Emily.FactorsTest do
  @moduledoc """
  Factors that are known to the bit. The suite's cases judge decompositions by what they promise.
  """

  use ExUnit.Case, async: true

  @types [:f16, :bf16, :f32, :f64]

  test "triangular matrices are their own R" do
    for type <- @types do
      {q, r} = Nx.LinAlg.qr(tensor([[-3, 2, 1], [0, 1, 1], [0, 0, -1]], type))
      assert Nx.to_list(q) == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
      assert Nx.to_list(r) == [[-3.0, 2.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, -1.0]]

      {q, r} = Nx.LinAlg.qr(tensor([[-3, 2], [0, -1], [0, 0]], type), mode: :complete)
      assert Nx.to_list(q) == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
      assert Nx.to_list(r) == [[-3.0, 2.0], [0.0, -1.0], [0.0, 0.0]]
    end
  end

  test "eigenvalues of diagonal matrices are its elements, by modulus" do
    for type <- @types do
      {values, vectors} = Nx.LinAlg.eigh(tensor([[1, 0, 0], [0, -7, 0], [0, 0, 3]], type))
      assert Nx.to_list(values) == [-7.0, 3.0, 1.0]
      # Their signs are open.
      assert Nx.to_list(Nx.abs(vectors)) == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    end
  end

  test "rows that go round are P, and what is left is U" do
    for type <- @types do
      {p, l, u} = Nx.LinAlg.lu(tensor([[0, 2, 0], [0, 0, 3], [1, 0, 0]], type))
      assert Nx.to_list(p) == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
      assert Nx.to_list(l) == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
      assert Nx.to_list(u) == [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]
    end
  end

  defp tensor(rows, type) do
    Nx.tensor(rows, type: type, backend: {Emily.Backend, device: :cpu, f64: type == :f64})
  end
end
