defmodule Example.FineTuning do
  @moduledoc """
  Sentences that are classified by their embeddings: of the class whose mean embedding is the nearest.

  There is nothing but the model itself to train: it moves sentences to those of their class.
  """

  @tokens 10
  @temperature 0.1

  @doc "Bumblebee's model with a sentence's embedding for its output: the mean of its tokens, of norm 1."
  @spec embedding(Axon.t()) :: Axon.t()
  def embedding(model), do: Axon.layer(&mean/3, [model, Axon.input("attention_mask")])

  defp mean(%{hidden_state: tokens}, mask, _opts) do
    tokens |> Nx.multiply(Nx.new_axis(mask, -1)) |> Nx.sum(axes: [1]) |> normalized()
  end

  @doc "Sentences with their classes, as the model's inputs and `{n, 1}`."
  @spec encode(struct(), [{String.t(), non_neg_integer()}]) :: {map(), Nx.Tensor.t()}
  def encode(tokenizer, labelled) do
    {sentences, labels} = Enum.unzip(labelled)
    tokenizer = Bumblebee.configure(tokenizer, length: @tokens)

    {Bumblebee.apply_tokenizer(tokenizer, sentences), Nx.new_axis(Nx.tensor(labels), 1)}
  end

  @doc "How far embeddings `{n, size}` are from the means of their classes: a mean cross entropy."
  @spec loss(Nx.Tensor.t(), Nx.Tensor.t()) :: Nx.Tensor.t()
  def loss(labels, embeddings) do
    Axon.Losses.categorical_cross_entropy(labels, scores(embeddings, {embeddings, labels}),
      from_logits: true,
      sparse: true,
      reduction: :mean
    )
  end

  @doc "The share of the asked that is nearest to the mean of its own class among the seen, in percent."
  @spec accuracy(Axon.t(), Axon.ModelState.t(), tuple(), tuple()) :: float()
  def accuracy(model, params, {seen, classes}, {asked, answers}) do
    [seen, asked] = for inputs <- [seen, asked], do: Axon.predict(model, params, inputs)
    nearest = seen |> then(&scores(asked, {&1, classes})) |> Nx.argmax(axis: 1, keep_axis: true)
    100 * Nx.to_number(Nx.mean(Nx.equal(nearest, answers)))
  end

  # The cosines with the means of two classes.
  defp scores(embeddings, {seen, classes}) do
    members = Nx.equal(classes, Nx.iota({1, 2}))
    means = members |> Nx.dot([0], seen, [0]) |> normalized()
    embeddings |> Nx.dot([1], means, [1]) |> Nx.divide(@temperature)
  end

  defp normalized(rows) do
    Nx.divide(rows, Nx.sqrt(Nx.sum(Nx.multiply(rows, rows), axes: [1], keep_axes: true)))
  end
end
