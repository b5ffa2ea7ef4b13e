defmodule Emily.Models.Training do
  @moduledoc """
  Networks that learn to read digits, by `Axon.Loop` under `Emily.Compiler`.
  """

  @doc "A perceptron of one hidden layer, from images to the scores of ten digits."
  @spec perceptron() :: Axon.t()
  def perceptron do
    images()
    |> Axon.flatten()
    |> Axon.dense(256, activation: :relu)
    |> Axon.dense(10)
  end

  @doc "A convolutional network, likewise."
  @spec convolutional() :: Axon.t()
  def convolutional do
    images()
    |> Axon.conv(8, kernel_size: 5, strides: 2, padding: :same, activation: :relu)
    |> Axon.conv(16, kernel_size: 3, padding: :same, activation: :relu)
    |> Axon.max_pool(kernel_size: 2)
    |> Axon.flatten()
    |> Axon.dense(64, activation: :relu)
    |> Axon.dense(10)
  end

  defp images, do: Axon.input("image", shape: {nil, 28, 28, 1})

  @doc "The same network, computing in `bf16`: parameters, scores and the loss stay in `f32`."
  @spec mixed_precision(Axon.t()) :: Axon.t()
  def mixed_precision(model) do
    policy =
      Axon.MixedPrecision.create_policy(params: {:f, 32}, compute: {:bf, 16}, output: {:f, 32})

    Axon.MixedPrecision.apply_policy(model, policy)
  end

  @doc """
  A loop that takes `steps` steps of Adam, the first at the learning rate `rate` and the last near 0. It
  logs nothing; parameters start from `seed`.
  """
  @spec loop(Axon.t(), float(), pos_integer(), integer()) :: Axon.Loop.t()
  def loop(model, rate, steps, seed \\ 7) do
    decay = Polaris.Schedules.cosine_decay(rate, decay_steps: steps)

    Axon.Loop.trainer(model, &loss/2, Polaris.Optimizers.adam(learning_rate: decay),
      seed: seed,
      log: 0
    )
  end

  @doc "The mean cross entropy of labels `{n, 1}` by scores `{n, classes}`."
  @spec loss(Nx.Tensor.t(), Nx.Tensor.t()) :: Nx.Tensor.t()
  def loss(labels, scores) do
    Axon.Losses.categorical_cross_entropy(labels, scores,
      from_logits: true,
      sparse: true,
      reduction: :mean
    )
  end

  @doc "Trains a network for so many epochs on batches, `:rate` the first learning rate, and gives its parameters."
  @spec train(Axon.t(), [{Nx.Tensor.t(), Nx.Tensor.t()}], keyword()) :: Axon.ModelState.t()
  def train(model, batches, opts) do
    [epochs: epochs, rate: rate] = Enum.sort(opts)

    model
    |> loop(rate, epochs * length(batches))
    |> Axon.Loop.run(batches, Axon.ModelState.empty(), epochs: epochs)
  end

  @doc "The share of the digits that the network reads right, in percent."
  @spec accuracy(Axon.t(), Axon.ModelState.t(), {Nx.Tensor.t(), Nx.Tensor.t()}) :: float()
  def accuracy(model, state, {images, labels}) do
    answers = model |> Axon.predict(state, images) |> Nx.argmax(axis: 1)
    100 * Nx.to_number(Nx.mean(Nx.equal(answers, labels)))
  end
end
