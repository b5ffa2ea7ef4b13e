defmodule Emily.ZooTest do
  @moduledoc """
  Values and gradients of functions of several operations, in `f64` and `f32`, on the backend and
  under the compiler, beside what XLA gives for the same in JAX (fixtures/zoo).

  How near is derived, not chosen. A gradient takes as many roundings as its expression has
  operations, and each may be amplified as the function amplifies: that is measured in `f64`, where
  rounding does not show, by moving the operands a little.
  """

  use ExUnit.Case, async: false

  alias Emily.Expression

  @folder Path.expand("../../../fixtures/zoo", __DIR__)
  @primes [2, 3, 5, 7, 11, 13, 17, 19]
  @delta 1.0e-6

  # What Nx itself is off by: its gradient of a decomposition is that of its default function, which
  # adds this to divisors.
  @off %{"log_determinant_by_cholesky" => 1.0e-10}

  setup_all do
    {zoo, _} = Code.eval_file(Path.join(@folder, "zoo.exs"))
    {:ok, zoo: zoo, golden: golden()}
  end

  setup do
    Emily.Defaults.set({Emily.Backend, device: :cpu, f64: true})
  end

  test "the functions are those that JAX was asked for", %{zoo: zoo, golden: golden} do
    names = Enum.map(zoo, &elem(&1, 0))
    assert Enum.sort(names) == golden |> Map.keys() |> Enum.sort()
  end

  for type <- [:f64, :f32],
      {how, compiler} <- [eager: Nx.Defn.Evaluator, compiled: Emily.Compiler] do
    test "values and gradients in #{type} are XLA's, #{how}", %{zoo: zoo, golden: golden} do
      wrong =
        for {name, shapes, fun} <- zoo,
            found = run(fun, operands(shapes, unquote(type)), unquote(compiler)),
            slack = slack(name, shapes, fun, unquote(type)),
            {wanted, found} <- Enum.zip(Map.fetch!(golden, name), found),
            not near?(wanted, found, slack * largest(wanted)),
            do: {name, wanted, found, slack}

      assert wrong == []
    end
  end

  defp near?(wanted, found, slack) do
    length(wanted) == length(found) and
      Enum.all?(Enum.zip(wanted, found), fn {a, b} -> abs(a - b) <= slack end)
  end

  defp largest(numbers), do: numbers |> Enum.map(&abs/1) |> Enum.max()

  # The value, and the gradient by each operand, as lists of numbers.
  defp run(fun, operands, compiler) do
    {value, gradients} =
      Nx.Defn.jit_apply(&value_and_grad(fun, &1), [operands], compiler: compiler)

    Enum.map([value | Tuple.to_list(gradients)], &Nx.to_flat_list/1)
  end

  defp value_and_grad(fun, operands) do
    Nx.Defn.value_and_grad(operands, &apply(fun, Tuple.to_list(&1)))
  end

  # Relative to the largest element.
  defp slack(name, shapes, fun, type) do
    {_class, bits} = Nx.Type.normalize!(type)
    eps = if bits == 64, do: 2.0 ** -52, else: 2.0 ** -23
    operands = operands(shapes, :f64)
    still = run(fun, operands, Nx.Defn.Evaluator)
    moved = operands |> Tuple.to_list() |> Enum.map(&Nx.add(&1, @delta)) |> List.to_tuple()
    moved = run(fun, moved, Nx.Defn.Evaluator)

    amplification =
      for {still, moved} <- Enum.zip(still, moved), reduce: 1.0 do
        worst ->
          distance = Enum.zip_with(still, moved, &abs(&1 - &2)) |> Enum.max()
          max(worst, distance / (@delta * largest(still)))
      end

    operations = Expression.operations(&value_and_grad(fun, &1), [operands])
    operations * (eps + Map.get(@off, name, 0.0)) * amplification
  end

  # As fixtures/zoo/make.py draws them.
  defp operands(shapes, type) do
    shapes
    |> Enum.zip(@primes)
    |> Enum.map(fn {shape, prime} ->
      numbers = for i <- 1..Tuple.product(shape), do: i * :math.sqrt(prime)

      numbers
      |> Enum.map(&(&1 - Float.floor(&1) - 0.5))
      |> Nx.tensor(type: :f32)
      |> Nx.as_type(type)
      |> Nx.reshape(shape)
    end)
    |> List.to_tuple()
  end

  defp golden do
    Path.join(@folder, "golden.txt")
    |> File.stream!()
    |> Stream.reject(&String.starts_with?(&1, "#"))
    |> Enum.reduce([], fn line, functions ->
      case String.split(line) do
        [<<letter, _::binary>> = name, value] when letter in ?a..?z ->
          [{name, [[number(value)]]} | functions]

        numbers ->
          [{name, lists} | rest] = functions
          [{name, lists ++ [Enum.map(numbers, &number/1)]} | rest]
      end
    end)
    |> Map.new()
  end

  # JAX writes 1e-10, Elixir 1.0e-10.
  defp number(text) do
    {number, ""} = Float.parse(text)
    number
  end
end
