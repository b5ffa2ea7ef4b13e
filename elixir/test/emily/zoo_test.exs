defmodule Emily.ZooTest do
  @moduledoc """
  Values and gradients of functions of several operations, in `f64` and `f32`, on the backend and
  under the compiler, before three judges: what XLA gives for the same in JAX (fixtures/zoo),
  `Nx.BinaryBackend`, and finite differences. And a transformer's block, trained for three steps.

  How near is derived, not chosen. A gradient takes as many roundings as its expression has
  operations, and each may be amplified as the function amplifies: that is measured in `f64`, where
  rounding does not show, by moving the operands a little.
  """

  use ExUnit.Case, async: false

  import Kernel, except: [abs: 1]

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

  # Where Nx.BinaryBackend rounds f64 to f32: the gradient of window_max.
  @rounded ["max_pool", "overlapping_max_pool"]

  # A difference is over twice this far.
  @step 1.0e-4

  test "the functions are those that JAX was asked for", %{zoo: zoo, golden: golden} do
    names = ["training" | Enum.map(zoo, &elem(&1, 0))]
    assert Enum.sort(names) == golden |> Map.keys() |> Enum.sort()
  end

  for type <- [:f64, :f32],
      {how, compiler} <- [eager: Nx.Defn.Evaluator, compiled: Emily.Compiler] do
    test "values and gradients in #{type} are XLA's, #{how}", %{zoo: zoo, golden: golden} do
      wrong =
        for {name, shapes, fun} <- zoo,
            found = run(fun, operands(shapes, unquote(type)), unquote(compiler)),
            slack = slack(name, shapes, fun, unquote(type)),
            apart <- apart(Map.fetch!(golden, name), found, slack),
            do: {name, apart}

      assert wrong == []
    end

    test "a trained transformer's block in #{type} is XLA's, #{how}", %{zoo: zoo, golden: golden} do
      {"transformer_block", shapes, fun} = List.last(zoo)
      found = train(fun, operands(shapes, unquote(type)), unquote(compiler))
      slack = training_slack(shapes, fun, unquote(type))
      assert apart(Map.fetch!(golden, "training"), found, slack) == []
    end
  end

  # Where there is no gradient, what is composed is rewritten.
  for type <- [:f64, :f32] do
    test "values in #{type} are XLA's, rewritten", %{zoo: zoo, golden: golden} do
      wrong =
        for {name, shapes, fun} <- zoo,
            operands = Tuple.to_list(operands(shapes, unquote(type))),
            value = Nx.Defn.jit_apply(fun, operands, compiler: Emily.Compiler, fast: true),
            [wanted | _gradients] = Map.fetch!(golden, name),
            slack = slack(name, shapes, fun, unquote(type)),
            apart <- apart([wanted], [Nx.to_flat_list(value)], slack),
            do: {name, apart}

      assert wrong == []

      assert Enum.any?(zoo, fn {_name, shapes, fun} ->
               operands = Tuple.to_list(operands(shapes, unquote(type)))
               Enum.sum(Map.values(Emily.Fast.rewrites(fun, operands))) > 0
             end)
    end
  end

  test "values and gradients in f64 are Nx.BinaryBackend's", %{zoo: zoo} do
    slacks = for {name, shapes, fun} <- zoo, do: slack(name, shapes, fun, :f64)
    found = for {_, shapes, fun} <- zoo, do: run(fun, operands(shapes, :f64), Emily.Compiler)
    Emily.Defaults.set(Nx.BinaryBackend)

    wrong =
      for {{name, shapes, fun}, found, slack} <- Enum.zip([zoo, found, slacks]),
          wanted = run(fun, operands(shapes, :f64), Nx.Defn.Evaluator),
          slack = if(name in @rounded, do: slack + 2.0 ** -23, else: slack),
          apart <- apart(wanted, found, slack),
          do: {name, apart}

    assert wrong == []
  end

  # The difference is off by the third derivative times the square of the step, of which the one over
  # the double step has four times as much, and by the rounding of two values.
  test "gradients in f64 are the slopes of finite differences, in random directions", %{zoo: zoo} do
    wrong =
      for {name, shapes, fun} <- zoo,
          operands = operands(shapes, :f64),
          slack = slack(name, shapes, fun, :f64),
          [[value] | gradients] = run(fun, operands, Emily.Compiler),
          seed <- 1..3,
          direction = direction(shapes, seed),
          slope = dot(gradients, direction),
          near = difference(fun, operands, direction, @step),
          far = difference(fun, operands, direction, 2 * @step),
          rounding = slack * (abs(value) / @step + dot(abs(gradients), abs(direction))),
          not (abs(near - slope) <= abs(far - near) + rounding),
          do: {name, seed, near, far, slope}

    assert wrong == []
  end

  defp direction(shapes, seed) do
    :rand.seed(:exsss, seed)
    for shape <- shapes, do: for(_ <- 1..Tuple.product(shape), do: 2 * :rand.uniform() - 1)
  end

  defp difference(fun, operands, direction, step) do
    [high, low] =
      for step <- [step, -step] do
        operands
        |> Tuple.to_list()
        |> Enum.zip_with(direction, fn operand, numbers ->
          moves = Nx.tensor(Enum.map(numbers, &(&1 * step)), type: :f64)
          Nx.add(operand, Nx.reshape(moves, operand))
        end)
        |> then(&Nx.Defn.jit_apply(fun, &1, compiler: Emily.Compiler))
        |> Nx.to_number()
      end

    (high - low) / (2 * step)
  end

  defp dot(lists, others) do
    Enum.zip_reduce(List.flatten(lists), List.flatten(others), 0.0, &(&1 * &2 + &3))
  end

  defp abs(number) when is_number(number), do: Kernel.abs(number)
  defp abs(list) when is_list(list), do: Enum.map(list, &abs/1)

  # The loss before the last of three steps, and the weights after it, as lists of numbers.
  defp train(fun, operands, compiler) do
    [x | rest] = Tuple.to_list(operands)
    {weights, [target]} = Enum.split(rest, -1)
    still = List.to_tuple(for weight <- weights, do: Nx.multiply(weight, 0))
    step = Nx.Defn.jit(&descend(fun, &1, &2, &3, &4), compiler: compiler)

    {_loss, weights, _velocity} =
      trained =
      Enum.reduce(1..3, {nil, List.to_tuple(weights), still}, fn _, {_loss, weights, velocity} ->
        step.(weights, velocity, x, target)
      end)

    Enum.map([elem(trained, 0) | Tuple.to_list(weights)], &Nx.to_flat_list/1)
  end

  # As fixtures/zoo/make.py does.
  defp descend(fun, weights, velocity, x, target) do
    loss = &apply(fun, [x | Tuple.to_list(&1)] ++ [target])
    {loss, gradients} = Nx.Defn.value_and_grad(weights, loss)
    velocity = both(velocity, gradients, &Nx.add(Nx.multiply(&1, 0.9), &2))
    {loss, both(weights, velocity, &Nx.subtract(&1, Nx.multiply(&2, 0.5))), velocity}
  end

  defp both(a, b, fun) do
    [Tuple.to_list(a), Tuple.to_list(b)]
    |> Enum.zip_with(fn [a, b] -> fun.(a, b) end)
    |> List.to_tuple()
  end

  # What is further from what is wanted than so many times its largest element.
  defp apart(wanted, found, slack) do
    assert length(wanted) == length(found)

    for {wanted, found} <- Enum.zip(wanted, found),
        not near?(wanted, found, slack * largest(wanted)),
        do: {wanted, found, slack}
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
    operands = operands(shapes, :f64)
    operations = Expression.operations(&value_and_grad(fun, &1), [operands])
    amplified = amplification(operands, &run(fun, &1, Nx.Defn.Evaluator))
    operations * (eps(type) + Map.get(@off, name, 0.0)) * amplified
  end

  # Each of three steps has the roundings of a gradient and, for each of six weights, four more.
  defp training_slack(shapes, fun, type) do
    operands = operands(shapes, :f64)
    operations = Expression.operations(&value_and_grad(fun, &1), [operands])
    amplified = amplification(operands, &train(fun, &1, Nx.Defn.Evaluator))
    3 * (operations + 6 * 4) * eps(type) * amplified
  end

  defp eps(:f64), do: 2.0 ** -52
  defp eps(:f32), do: 2.0 ** -23

  # By how much more results move than operands.
  defp amplification(operands, run) do
    still = run.(operands)
    moved = operands |> Tuple.to_list() |> Enum.map(&Nx.add(&1, @delta)) |> List.to_tuple()

    for {still, moved} <- Enum.zip(still, run.(moved)), reduce: 1.0 do
      worst ->
        distance = Enum.zip_with(still, moved, &abs(&1 - &2)) |> Enum.max()
        max(worst, distance / (@delta * largest(still)))
    end
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
