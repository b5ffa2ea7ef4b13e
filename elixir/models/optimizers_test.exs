defmodule Emily.Models.OptimizersTest do
  @moduledoc """
  Eight steps of each of Polaris' optimisers, natively, beside `Nx.BinaryBackend`'s.

  How near is derived, not chosen. A step takes as many roundings as its expression has operations, and
  each may be amplified as the optimiser amplifies: that is measured in `f64`, where rounding does not
  show, by moving operands and settings a little. What is judged is relative to the largest element.
  """

  use ExUnit.Case, async: false

  alias Emily.{Defaults, Expression}

  @emily {Emily.Backend, device: :cpu}
  @steps 8
  @eps 2.0 ** -23
  @delta 1.0e-6

  # Polaris' own `b2`, 0.999, would amplify: an early step divides by its small difference from 1, and radam
  # takes a difference of numbers near 2,000. With 0.9 radam's correction sets in at the sixth step.
  @optimizers [
    adabelief: [learning_rate: 1.0e-3, b1: 0.9, b2: 0.9],
    adagrad: [learning_rate: 1.0e-3],
    adam: [learning_rate: 1.0e-3, b1: 0.9, b2: 0.9],
    adamw: [learning_rate: 1.0e-3, b1: 0.9, b2: 0.9, decay: 0.1],
    lamb: [learning_rate: 1.0e-2, b1: 0.9, b2: 0.9, decay: 0.1],
    noisy_sgd: [learning_rate: 1.0e-2, eta: 0.1, gamma: 0.55, seed: 3],
    radam: [learning_rate: 1.0e-3, b1: 0.9, b2: 0.9],
    rmsprop: [learning_rate: 1.0e-2, decay: 0.9],
    rmsprop: [learning_rate: 1.0e-2, decay: 0.9, centered: true, momentum: 0.9, nesterov: true],
    sgd: [learning_rate: 1.0e-2],
    sgd: [learning_rate: 1.0e-2, momentum: 0.9, nesterov: true],
    yogi: [learning_rate: 1.0e-2, b1: 0.9, b2: 0.9]
  ]

  setup do
    Defaults.native_only()
  end

  test "all of Polaris' are here" do
    functions = for {name, 1} <- Polaris.Optimizers.__info__(:functions), do: name
    assert @optimizers |> Keyword.keys() |> Enum.uniq() == Enum.sort(functions)
  end

  for {{name, settings}, index} <- Enum.with_index(@optimizers) do
    test "#{index}: #{name} with #{inspect(settings)} steps as on Nx.BinaryBackend" do
      {name, settings} = {unquote(name), unquote(settings)}
      wanted = train(name, settings, :f32, Nx.BinaryBackend, Nx.Defn.Evaluator)
      slack = slack(name, settings)

      for compiler <- [Nx.Defn.Evaluator, Emily.Compiler] do
        found = train(name, settings, :f32, @emily, compiler)
        assert found |> distances(wanted) |> Enum.max() <= slack, inspect(compiler)
      end
    end
  end

  # The updates and the optimiser's state of each step, as lists of numbers.
  defp train(name, settings, type, backend, compiler) do
    Defaults.set(backend)
    {init, update} = apply(Polaris.Optimizers, name, [settings])
    params = params(type)
    step = Nx.Defn.jit(update, compiler: compiler)
    apply = &Polaris.Updates.apply_updates(&1, &2)

    {trained, _last} =
      Enum.map_reduce(1..@steps, {params, init.(params)}, fn number, {params, state} ->
        {updates, state} = step.(gradients(type, number), state, params)
        {numbers({updates, state}), {Nx.Defn.jit_apply(apply, [params, updates]), state}}
      end)

    Enum.concat(trained)
  end

  # Both backends round: twice as far as the roundings of one, of which each is half an `eps`.
  defp slack(name, settings) do
    Defaults.set(Nx.BinaryBackend)
    {init, update} = apply(Polaris.Optimizers, name, [settings])
    params = params(:f32)
    operands = [gradients(:f32, 1), init.(params), params]
    operations = Expression.operations(&flat(update.(&1, &2, &3)), operands)
    @steps * operations * @eps * amplification(name, settings)
  end

  # By how much more results move than settings.
  defp amplification(name, settings) do
    [still, moved] =
      for settings <- [settings, Enum.map(settings, &moved/1)],
          do: train(name, settings, :f64, Nx.BinaryBackend, Nx.Defn.Evaluator)

    still |> distances(moved) |> Enum.map(&(&1 / @delta)) |> Enum.max() |> max(1.0)
  end

  defp moved({name, number}) when is_float(number), do: {name, number * (1 + @delta)}
  defp moved(setting), do: setting

  # By tensor, relative to its largest element.
  defp distances(found, wanted) do
    assert length(found) == length(wanted)

    Enum.zip_with(found, wanted, fn found, wanted ->
      distance = Enum.zip_with(found, wanted, &abs(&1 - &2)) |> Enum.max()
      if distance == 0, do: 0.0, else: distance / (wanted |> Enum.map(&abs/1) |> Enum.max())
    end)
  end

  defp numbers(container) do
    container |> flat() |> Tuple.to_list() |> Enum.map(&Nx.to_flat_list/1)
  end

  defp flat(container), do: [container] |> Nx.Defn.Composite.flatten_list() |> List.to_tuple()

  defp params(type), do: %{"bias" => drawn({4}, 1, type), "kernel" => drawn({3, 4}, 2, type)}

  defp gradients(type, step) do
    %{"bias" => drawn({4}, 10 * step, type), "kernel" => drawn({3, 4}, 10 * step + 1, type)}
  end

  # Between -1 and 1, the same on every backend and in every type.
  defp drawn(shape, seed, type) do
    :rand.seed(:exsss, seed)
    numbers = for _ <- 1..Tuple.product(shape), do: 2 * :rand.uniform() - 1
    numbers |> Nx.tensor(type: :f32) |> Nx.as_type(type) |> Nx.reshape(shape)
  end
end
