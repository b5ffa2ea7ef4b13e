defmodule Emily.ModelTest do
  @moduledoc """
  A small net, a convolution and two dense layers, trained for ten steps and then served: on Emily
  it gives `Nx.BinaryBackend`'s numbers.

  How near is derived, not chosen. Both backends take the same steps; a step rounds once or twice
  per operation, and the training amplifies what it is given. The amplification is measured in
  `f64`, where rounding does not show, by training twice from starts that differ by a little.
  """

  use ExUnit.Case, async: false

  import Nx.Defn

  @steps 10

  defn predict({kernel, w1, b1, w2, b2}, images) do
    images
    |> Nx.conv(kernel, padding: :same)
    |> Nx.max(0)
    |> Nx.reshape({:auto, 128})
    |> Nx.dot(w1)
    |> Nx.add(b1)
    |> Nx.tanh()
    |> Nx.dot(w2)
    |> Nx.add(b2)
  end

  defn loss(params, images, labels) do
    error = predict(params, images) - labels
    Nx.mean(error * error)
  end

  defn step({kernel, w1, b1, w2, b2} = params, images, labels) do
    {loss, {dk, dw1, db1, dw2, db2}} = value_and_grad(params, &loss(&1, images, labels))
    rate = 0.05

    {{kernel - rate * dk, w1 - rate * dw1, b1 - rate * db1, w2 - rate * dw2, b2 - rate * db2},
     loss}
  end

  # Numbers in [-0.5, 0.5) without a library: Weyl's sequence.
  defp numbers(shape, seed, type) do
    {Nx.size(shape)}
    |> Nx.iota(type: :f64)
    |> Nx.add(seed)
    |> Nx.multiply(0.6180339887498949)
    |> then(&Nx.subtract(&1, Nx.floor(&1)))
    |> Nx.subtract(0.5)
    |> Nx.as_type(:f32)
    |> Nx.as_type(type)
    |> Nx.reshape(shape)
  end

  defp params(type) do
    {numbers({2, 1, 3, 3}, 1, type), numbers({128, 8}, 100, type), numbers({8}, 5000, type),
     numbers({8, 3}, 6000, type), numbers({3}, 7000, type)}
  end

  defp data(type), do: {numbers({4, 1, 8, 8}, 300, type), numbers({4, 3}, 900, type)}

  defp train(params, {images, labels}, opts) do
    step = Nx.Defn.jit(&step/3, opts)

    Enum.map_reduce(1..@steps, params, fn _, params ->
      {params, loss} = step.(params, images, labels)
      {Nx.to_number(loss), params}
    end)
  end

  defp flat({losses, params}) do
    losses ++ Enum.flat_map(Tuple.to_list(params), &Nx.to_flat_list/1)
  end

  defp distance(a, b), do: Enum.zip_with(a, b, &abs(&1 - &2)) |> Enum.max()

  # The number of operations in one step, each of which rounds.
  defp operations do
    {images, labels} = data(:f32)
    Emily.Expression.operations(&step/3, [params(:f32), images, labels])
  end

  # The largest Σ|aᵢ·bᵢ| of the forward pass. Those of the gradient are smaller: there one factor is
  # the error of the prediction, divided by the number of labels.
  defn magnitude({kernel, w1, _b1, w2, _b2}, images) do
    conv = Nx.conv(Nx.abs(images), Nx.abs(kernel), padding: :same)
    hidden = conv |> Nx.reshape({:auto, 128}) |> Nx.dot(Nx.abs(w1))
    output = hidden |> Nx.min(1) |> Nx.dot(Nx.abs(w2))
    Nx.max(Nx.reduce_max(hidden), Nx.max(Nx.reduce_max(conv), Nx.reduce_max(output)))
  end

  # |result − exact| is at most the number of roundings, times what one is, times what the training
  # makes of it; two backends may err in opposite directions. An operation's result is within two
  # roundings of its magnitude (`Tolerance::Accum(2)` of the rows), a rounding being half an epsilon.
  defp bound do
    delta = 1.0e-6
    {images, _labels} = data(:f64)
    {_losses, trained} = run = train(params(:f64), data(:f64), compiler: Nx.Defn.Evaluator)
    exact = flat(run)

    moved =
      params(:f64)
      |> Tuple.to_list()
      |> Enum.map(&Nx.add(&1, delta))
      |> List.to_tuple()
      |> train(data(:f64), compiler: Nx.Defn.Evaluator)
      |> flat()

    amplification = max(distance(exact, moved) / delta, 1.0)

    magnitude =
      [params(:f64), trained] |> Enum.map(&Nx.to_number(magnitude(&1, images))) |> Enum.max()

    2 * @steps * operations() * 2 * magnitude * 2.0 ** -24 * amplification
  end

  # A tensor that a `defn` captures is inlined, so Nx wants one of ours to be an argument.
  defp serve(params, opts) do
    predict = Nx.Defn.jit(&predict/2, opts)
    &predict.(params, &1)
  end

  test "training and serving give the binary backend's numbers" do
    {_losses, trained} = want = train(params(:f32), data(:f32), compiler: Nx.Defn.Evaluator)
    {losses, ours} = got = train(params(:f32), data(:f32), compiler: Emily.Compiler)

    bound = bound()
    assert bound < 0.1 * List.last(losses), "a bound of #{bound} proves little"
    assert distance(flat(want), flat(got)) <= bound
    assert List.last(losses) < hd(losses)
    for p <- Tuple.to_list(ours), do: assert(%Emily.Backend{} = p.data)

    {images, _labels} = data(:f32)

    start_supervised!(
      {Nx.Serving,
       serving: Nx.Serving.new(&serve(ours, &1), compiler: Emily.Compiler),
       name: __MODULE__.Serving,
       batch_size: 4,
       batch_timeout: 10}
    )

    served = Nx.Serving.batched_run(__MODULE__.Serving, Nx.Batch.concatenate([images]))
    plain = Nx.Defn.jit(&predict/2, compiler: Nx.Defn.Evaluator).(trained, images)
    assert distance(Nx.to_flat_list(served), Nx.to_flat_list(plain)) <= bound
  end
end
