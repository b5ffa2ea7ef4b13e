defmodule Emily.Models.QuantizationMiniLMTest do
  # Tests of other modules would wait for this one's work, as one worker does it all.
  use ExUnit.Case, async: false

  import Emily.Models.Quantised

  alias Emily.Models.Bound
  alias Emily.Quantization

  @moduletag :minilm
  # On a busy machine; half a minute on a quiet one.
  @moduletag timeout: 300_000

  # The 90 statements are nine each about ten subjects, in the order of the ten questions after them.
  @about 9
  @subjects 10

  # None of the sentences has more tokens.
  @length 16

  setup :only_native

  setup_all do
    folder = System.fetch_env!("EMILY_MINILM")
    head = folder |> Path.join("slices.json") |> File.read!() |> Jason.decode!()
    {:ok, tokenizer} = Bumblebee.load_tokenizer({:local, folder})

    info =
      Nx.with_default_backend({Emily.Backend, device: :cpu}, fn ->
        {:ok, info} = Bumblebee.load_model({:local, folder})
        info
      end)

    texts = head["base"]["texts"]
    {statements, questions} = Enum.split(texts, @about * @subjects)
    # One statement about each subject, and the questions.
    few = Enum.take_every(statements, @about) ++ questions
    %{info: info, tokenizer: tokenizer, texts: texts, few: few}
  end

  defp serving(context, model, params) do
    Bumblebee.Text.text_embedding(
      %{context.info | model: model, params: params},
      context.tokenizer,
      output_pool: :mean_pooling,
      output_attribute: :hidden_state,
      embedding_processor: :l2_norm,
      compile: [batch_size: 20, sequence_length: @length],
      defn_options: [compiler: Emily.Compiler]
    )
  end

  defp embeddings(context, model, params, texts) do
    answers = context |> serving(model, params) |> Nx.Serving.run(texts)
    answers |> Enum.map(& &1.embedding) |> Nx.stack() |> Nx.backend_copy(Emily.Backend)
  end

  # The statement nearest to each question, which are last.
  defp found(embeddings) do
    statements = Nx.axis_size(embeddings, 0) - @subjects
    questions = embeddings[statements..-1//1]
    questions |> Nx.dot([1], embeddings[0..(statements - 1)], [1]) |> Nx.argmax(axis: 1)
  end

  # 1 - cosine of embeddings, which are of length 1.
  defp mean_distance(a, b) do
    cosines = a |> Nx.multiply(b) |> Nx.sum(axes: [1])
    1 |> Nx.subtract(cosines) |> Nx.mean() |> Nx.to_number()
  end

  test "a search among a hundred sentences is answered right", context do
    %{info: info, texts: texts} = context
    assert length(texts) == (@about + 1) * @subjects

    for opts <- [[mode: :mxfp8], [mode: :nvfp4]] do
      {model, params} = Quantization.Axon.quantize(info.model, info.params, opts)
      found = found(embeddings(context, model, params, texts))
      assert Nx.to_list(Nx.quotient(found, @about)) == Enum.to_list(0..(@subjects - 1))
    end
  end

  # `MIX_ENV=slices mix test models/quantization_minilm_test.exs --include long` measures it anew.
  @tag :long
  test "the table in Emily.Quantization's documentation is what is measured", context do
    %{info: info, texts: texts} = context
    before = embeddings(context, info.model, info.params, texts)
    {:docs_v1, _, _, _, %{"en" => doc}, _, _} = Code.fetch_docs(Quantization)
    rows = for row <- Regex.scan(~r/^\| `(\S.*)` \| [\d.]+ \| (.*) \|$/m, doc), do: tl(row)
    assert length(rows) == 6

    for [options, documented] <- rows do
      {opts, _} = Code.eval_string("[#{options}]")
      {model, params} = Quantization.Axon.quantize(info.model, info.params, opts)
      after_it = embeddings(context, model, params, texts)
      cosines = after_it |> Nx.multiply(before) |> Nx.sum(axes: [1])

      [mean, least] =
        for cosine <- [Nx.mean(cosines), Nx.reduce_min(cosines)],
            do: cosine |> Nx.to_number() |> :erlang.float_to_binary(decimals: 4)

      megabytes = :erlang.float_to_binary(bytes(params) / 1.0e6, decimals: 1)
      found = Nx.to_number(Nx.sum(Nx.equal(found(after_it), found(before))))
      assert {options, "#{megabytes} | #{mean}, #{least} | #{found}"} == {options, documented}
    end
  end

  test "affine codes answer right too, and cost what as much noise does", context do
    %{info: info, few: few} = context
    before = embeddings(context, info.model, info.params, few)

    for bits <- [4, 8] do
      {model, params} = Quantization.Axon.quantize(info.model, info.params, bits: bits)
      embeddings = embeddings(context, model, params, few)
      assert Nx.to_list(found(embeddings)) == Enum.to_list(0..(@subjects - 1))

      # The distance is quadratic in what moves the embedding: twice as far is four times.
      noisy = embeddings(context, info.model, noisy(info.params, params), few)
      assert mean_distance(embeddings, before) <= 4 * mean_distance(noisy, before)
    end
  end

  test "the model computes as with what its matrices stand for", context do
    %{info: info, tokenizer: tokenizer, few: few} = context
    tokenizer = Bumblebee.configure(tokenizer, length: @length, return_token_type_ids: false)
    inputs = Bumblebee.apply_tokenizer(tokenizer, Enum.take(few, 4))

    for opts <- [[bits: 8], [mode: :mxfp4]] do
      {model, params} = Quantization.Axon.quantize(info.model, info.params, opts)
      floats = Quantization.dequantize_params(params)
      right = predict_wide(info.model, floats, inputs, :hidden_state)
      rounded = predict(info.model, floats, inputs, :hidden_state)
      hidden = predict(model, params, inputs, :hidden_state)
      assert Bound.within?(hidden, :reordered, right, rounded)
    end
  end

  test "a serving's process holds it, and answers batches", context do
    %{info: info, few: [text | _]} = context
    {model, params} = Quantization.Axon.quantize(info.model, info.params, mode: :nvfp4)
    serving = serving(context, model, params)
    start_supervised!({Nx.Serving, serving: serving, name: __MODULE__, batch_timeout: 50})

    tasks = for _ <- 1..3, do: Task.async(fn -> Nx.Serving.batched_run(__MODULE__, text) end)
    [first | others] = for %{embedding: e} <- Task.await_many(tasks, 60_000), do: Nx.to_binary(e)
    assert others == [first, first]

    # A batch is filled up to the size that it was compiled for: the first row is computed as before.
    [alone] = Nx.Serving.run(serving, [text])
    assert Nx.to_binary(alone.embedding) == first
  end
end
