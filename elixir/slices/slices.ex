defmodule Emily.Conformance.Slices do
  @moduledoc """
  The layer `slices`: the models of `fixtures/slices`, or a real one, loaded by Bumblebee and run on Emily.

  A question is `{folder, head, dtype, lane, device, ask, mistake}`. Lanes are `:eager`, `:compiled`,
  `:fast`, which is compiled with `fast: true`, and `:reference`, which is `Nx.BinaryBackend`. What is asked:

    * `:outputs` - the head's outputs, in the order of its description; of a head with texts, their
      embeddings, by a serving and the model's own tokenizer;
    * `:tokens` - 32 tokens, or as many as it says, of greedy generation from the first row of the inputs;
    * `:sample` - as many drawn with a fixed seed;
    * `:gradients` - of the loss by each parameter: Emily's, and Transformers' in f64 and in f32.

  The answer is a list of tensors as `Emily.Conformance.Nx.read/1` gives them. A mistake (`nil` for none)
  is one that the suite has to notice.
  """

  alias Bumblebee.Text.Generation
  alias Bumblebee.Text.GenerationConfig
  alias Emily.Conformance
  alias Emily.Conformance.Slices.Loading

  @tokens 32

  @doc "Answers a question."
  @spec answer(tuple()) :: [tuple()]
  def answer({folder, name, dtype, lane, device, ask, mistake}) do
    Conformance.Nx.on({:peer, backend(lane, device)}, device, fn ->
      model = Loading.load(folder, name, dtype, mistake)

      # What no native operation computes is an error, also a block's default function.
      results = Conformance.Nx.native(name, fn -> ask(ask, model, compiler(lane)) end)
      results |> List.to_tuple() |> Conformance.Nx.read()
    end)
  end

  defp backend(:reference, _device), do: {Nx.BinaryBackend, []}
  defp backend(_lane, device), do: {Emily.Backend, device: device}

  defp compiler(:compiled), do: [compiler: Emily.Compiler]
  defp compiler(:fast), do: [compiler: Emily.Compiler, fast: true]
  defp compiler(lane) when lane in [:eager, :reference], do: [compiler: Nx.Defn.Evaluator]

  defp ask(:outputs, %{texts: [_ | _]} = model, compiler) do
    serving =
      Bumblebee.Text.text_embedding(model.info, model.tokenizer,
        output_pool: :mean_pooling,
        output_attribute: :hidden_state,
        embedding_processor: :l2_norm,
        compile: [batch_size: 32, sequence_length: 24],
        defn_options: compiler
      )

    embeddings =
      for %{embedding: embedding} <- Nx.Serving.run(serving, model.texts), do: embedding

    [Nx.stack(embeddings)]
  end

  defp ask(:outputs, model, compiler) do
    outputs = Axon.predict(model.model, model.params, model.inputs, compiler)
    for name <- model.outputs, do: Map.fetch!(outputs, String.to_existing_atom(name))
  end

  defp ask(:tokens, model, compiler), do: [generate(model, [], compiler)]

  defp ask(:sample, model, compiler) do
    strategy = %{type: :multinomial_sampling, top_k: 40, top_p: 0.95}
    [generate(model, [strategy: strategy, temperature: 2.0], compiler)]
  end

  defp ask(:gradients, model, compiler) do
    {init, predict} = Axon.build(model.model, mode: :train)
    # Dropout has a state, which no checkpoint holds.
    state = init.(model.inputs, model.params)

    loss = fn parameters, rest, inputs ->
      data = Map.merge(rest, parameters)
      logits = predict.(%{state | data: data}, inputs).prediction.logits
      labels = Nx.new_axis(inputs["input_ids"], -1)

      Axon.Losses.categorical_cross_entropy(labels, logits,
        sparse: true,
        from_logits: true,
        reduction: :mean
      )
    end

    gradients = fn parameters, rest, inputs ->
      Nx.Defn.grad(parameters, &loss.(&1, rest, inputs))
    end

    ours =
      Nx.Defn.jit_apply(gradients, [model.params.data, state.data, model.inputs], compiler)

    for {path, [right, rounded]} <- model.gradients,
        gradient <- [ours(ours, path), right, rounded] do
      gradient
    end
  end

  defp ours(gradients, paths) do
    paths |> Enum.map(&get_in(gradients, &1)) |> Enum.reduce(&Nx.add/2)
  end

  defp generate(model, options, compiler) do
    {generate, args} = generation(model, options)
    tokens = Nx.Defn.jit_apply(generate, args, compiler).token_ids
    Nx.as_type(tokens, :s64)
  end

  @doc "The function that generates from the first row of a model's inputs, and its arguments."
  @spec generation(map(), keyword()) :: {function(), [term()]}
  def generation(model, options \\ []) do
    settings = Keyword.merge([max_new_tokens: @tokens], model.generates)
    config = Bumblebee.configure(%GenerationConfig{}, settings ++ options)
    first = Map.new(model.inputs, fn {name, tensor} -> {name, tensor[0..0]} end)

    inputs =
      first |> Map.delete("decoder_input_ids") |> Map.put("seed", Nx.tensor([7], type: :s64))

    {Generation.build_generate(model.model, model.spec, config), [model.params, inputs]}
  end
end
