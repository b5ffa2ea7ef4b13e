defmodule Emily.Networks do
  @moduledoc """
  Small networks that learn to classify, and a step of gradient descent on each.

  Parameters are kept in the type that they come in; the forward and backward pass run in `:type`, and
  the loss is taken in the parameters' type, as mixed precision has it.
  """

  import Nx.Defn

  @doc "The loss before the step, and the parameters after it."
  defn step(params, images, labels, opts \\ []) do
    opts = keyword!(opts, [:network, type: :f32, rate: 0.1])

    {loss, gradients} =
      value_and_grad(
        params,
        &loss(&1, images, labels, type: opts[:type], network: opts[:network])
      )

    {loss, descend(params, gradients, rate: opts[:rate])}
  end

  deftransformp descend(params, gradients, opts) do
    [params, gradients]
    |> Enum.map(&Tuple.to_list/1)
    |> Enum.zip_with(fn [p, g] -> Nx.subtract(p, Nx.multiply(g, opts[:rate])) end)
    |> List.to_tuple()
  end

  @doc "The mean cross entropy of one-hot labels."
  defn loss(params, images, labels, opts \\ []) do
    logits = logits(params, images, opts)
    shifted = logits - Nx.reduce_max(logits, axes: [1], keep_axes: true)
    log_sum = Nx.log(Nx.sum(Nx.exp(shifted), axes: [1], keep_axes: true))
    -Nx.mean(Nx.sum(labels * (shifted - log_sum), axes: [1]))
  end

  @doc "The scores of each class, in the parameters' type."
  deftransform logits(params, images, opts) do
    kept = Nx.type(elem(params, 0))
    cast = &Nx.as_type(&1, opts[:type])
    params = params |> Tuple.to_list() |> Enum.map(cast) |> List.to_tuple()

    case opts[:network] do
      :perceptron -> perceptron(params, cast.(images))
      :convolutional -> convolutional(params, cast.(images))
      :transformer -> transformer(params, cast.(images))
    end
    |> Nx.as_type(kept)
  end

  defnp perceptron({w1, b1, w2, b2}, images) do
    images
    |> Nx.reshape({Nx.axis_size(images, 0), :auto})
    |> Nx.dot(w1)
    |> Nx.add(b1)
    |> Nx.tanh()
    |> Nx.dot(w2)
    |> Nx.add(b2)
  end

  defnp convolutional({kernel, b1, w, b2}, images) do
    images
    |> Nx.new_axis(1)
    |> Nx.conv(kernel, padding: :same)
    |> Nx.add(Nx.reshape(b1, {1, :auto, 1, 1}))
    |> Nx.max(0)
    |> pool()
    |> Nx.reshape({Nx.axis_size(images, 0), :auto})
    |> Nx.dot(w)
    |> Nx.add(b2)
  end

  # The largest of each two by two. Nx.window_max would do, but for its gradient on Nx.BinaryBackend, which
  # rounds f64 to f32.
  deftransformp pool(x) do
    {batch, channels, height, width} = Nx.shape(x)

    x
    |> Nx.reshape({batch, channels, div(height, 2), 2, div(width, 2), 2})
    |> Nx.reduce_max(axes: [3, 5])
  end

  # A block before the classifier: rows are tokens. Attention and a perceptron, each on what is
  # normalised and added to what was there.
  defnp transformer({wq, wk, wv, wo, w1, w2, gain, w}, rows) do
    normed = normalise(rows) * gain
    {q, k, v} = {Nx.dot(normed, wq), Nx.dot(normed, wk), Nx.dot(normed, wv)}
    scores = Nx.dot(q, [2], [0], k, [2], [0]) / Nx.sqrt(Nx.axis_size(q, 2))
    e = Nx.exp(scores - Nx.reduce_max(scores, axes: [2], keep_axes: true))
    mixed = Nx.dot(e / Nx.sum(e, axes: [2], keep_axes: true), [2], [0], v, [1], [0])
    rows = rows + Nx.dot(mixed, wo)
    rows = rows + Nx.dot(Nx.sigmoid(Nx.dot(normalise(rows) * gain, w1)), w2)
    Nx.dot(Nx.mean(rows, axes: [1]), w)
  end

  defnp normalise(x) do
    centred = x - Nx.mean(x, axes: [-1], keep_axes: true)
    variance = Nx.mean(centred * centred, axes: [-1], keep_axes: true)
    centred * Nx.rsqrt(variance + 1.0e-5)
  end

  @doc "The shapes of a network's parameters, for images of `size` by `size` and so many classes."
  def shapes(:perceptron, size, classes) do
    [{size * size, 24}, {24}, {24, classes}, {classes}]
  end

  def shapes(:convolutional, size, classes) do
    [{4, 1, 3, 3}, {4}, {4 * div(size, 2) * div(size, 2), classes}, {classes}]
  end

  def shapes(:transformer, size, classes) do
    square = {size, size}
    [square, square, square, square, {size, 16}, {16, size}, {size}, {size, classes}]
  end
end
