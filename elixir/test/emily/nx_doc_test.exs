defmodule Emily.NxDocTest do
  # Nx's own documentation, on Emily.
  use ExUnit.Case, async: false

  alias Emily.{Examples, Promises}

  @modules [Nx, Nx.LinAlg, Nx.Random, Nx.Constants]

  # Examples of types that MLX does not have are refused, and the others of their function still run.
  @refused %{
    "Nx.bit_size/1" => ["u2"],
    "Nx.tensor/2" => ["f8", "f8_e4m3fn"],
    "Nx.Constants.e/2" => ["f8"],
    "Nx.Constants.epsilon/2" => ["f8"],
    "Nx.Constants.euler_gamma/2" => ["f8"],
    "Nx.Constants.i/2" => ["c128"],
    "Nx.Constants.infinity/2" => ["f8"],
    "Nx.Constants.nan/2" => ["f8"],
    "Nx.Constants.neg_infinity/2" => ["f8"],
    "Nx.Constants.pi/2" => ["f8"],
    "Nx.Constants.smallest_positive_normal/2" => ["f8"]
  }

  # Examples that print the rounding of Nx.BinaryBackend, with the condition number of their operand:
  # by how much more an answer may be off than its operand is. It is the larger of two singular values
  # over the smaller, from the sum of their squares and their product. erf_inv in f64 has the digits of
  # f32 there.
  @conditions %{
    "Nx.erf_inv(Nx.tensor(0.1, type: :f64))" => 2 ** 29,
    "Nx.erf_inv(Nx.tensor([0.1, 0.5, 0.9], names: [:x], type: :f64))" => 2 ** 29,
    "Nx.LinAlg.pinv(Nx.tensor([[1, 1], [3, 4]]))" => 27,
    "Nx.LinAlg.least_squares(Nx.tensor([[1, 2], [2, 3]]), Nx.tensor([1, 2]))" => 18,
    "Nx.LinAlg.least_squares(Nx.tensor([[1, 2, 3], [4, 5, 6]]), Nx.tensor([1, 2]))" => 12.4
  }

  # Examples that print what a decomposition leaves open, and the names of its factors.
  @decompositions %{
    "Nx.LinAlg.eigh/2" => {["eigenvecs"], :eigh, [:eigenvals, :eigenvecs]},
    "Nx.LinAlg.svd/2" => {["u", "vt"], :svd, [:u, :s, :vt]}
  }

  setup context do
    Emily.Defaults.set({Emily.Backend, device: :cpu, f64: true}, context[:defn] || [])
    Application.put_env(:emily, :add_backend_on_inspect, false)
    on_exit(fn -> Application.delete_env(:emily, :add_backend_on_inspect) end)
  end

  for module <- @modules, {{name, arity}, examples} <- Examples.of(module) do
    function = "#{inspect(module)}.#{name}/#{arity}"

    for {how, options} <- [eager: [], compiled: [compiler: Emily.Compiler]] do
      @tag defn: options
      test "#{function} #{how}" do
        assert Examples.run(unquote(examples), judges(unquote(function))) ==
                 {:ok, Map.get(@refused, unquote(function), [])}
      end
    end
  end

  defp judges(function) do
    {codes, decomposition, factors} = Map.get(@decompositions, function, {[], nil, []})

    broken = fn variables ->
      factors = Enum.map(factors, &variables[&1])
      Promises.broken(decomposition, variables[:operand], factors)
    end

    @conditions
    |> Map.new(fn {code, condition} -> {code, {:condition, condition}} end)
    |> Map.merge(Map.new(codes, &{&1, {:promise, broken}}))
  end

  test "an example that is judged in its own way is there, and is not right to the digit" do
    examples = for module <- @modules, {_function, list} <- Examples.of(module), do: list

    for {code, _condition} <- @conditions do
      assert [{code, expected}] = for({^code, _} = example <- List.flatten(examples), do: example)
      assert {{:differs, _}, _code} = {Examples.run([{code, expected}]), code}
    end
  end

  test "any basis of a repeated eigenvalue's vectors is one, and what breaks a promise is told" do
    [half, twice] = [:math.sqrt(0.5), Nx.tensor([1.0, 1.0])]
    turned = Nx.tensor([[half, -half], [half, half]])
    assert Promises.broken(:eigh, Nx.eye(2), [twice, turned]) == []
    skew = Nx.tensor([[1.0, half], [0.0, half]])
    assert Promises.broken(:eigh, Nx.eye(2), [twice, skew]) == ["orthonormal vectors"]

    a = Nx.tensor([[1.0, 0.0], [0.0, 2.0]])
    order = ["sorted from the largest modulus"]
    assert Promises.broken(:eigh, a, [Nx.tensor([1.0, 2.0]), Nx.eye(2)]) == order
    swap = Nx.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert Promises.broken(:eigh, a, [Nx.tensor([2.0, 1.00001]), swap]) == ["A·v = λ·v"]

    assert Promises.broken(:svd, a, [swap, Nx.tensor([2.0, 1.0]), swap]) == []
    order = ["sorted from the largest"]
    assert Promises.broken(:svd, a, [Nx.eye(2), Nx.tensor([1.0, 2.0]), Nx.eye(2)]) == order
    negated = [Nx.negate(swap), Nx.tensor([-2.0, -1.0]), swap]
    assert "no negative value" in Promises.broken(:svd, a, negated)
  end
end
