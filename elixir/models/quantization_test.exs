defmodule Emily.Models.QuantizationTest do
  use ExUnit.Case, async: true

  import Emily.Models.Quantised

  alias Bumblebee.Text.{Generation, GenerationConfig}
  alias Emily.Models.{Bound, Tiny}
  alias Emily.Quantization
  alias Emily.Quantization.Matrix

  doctest Emily.Quantization.Axon

  @codings [
    [group_size: 32, bits: 4],
    [group_size: 32, bits: 8],
    [mode: :mxfp4],
    [mode: :mxfp8],
    [mode: :nvfp4]
  ]

  @causal :for_causal_language_modeling
  @masked :for_masked_language_modeling

  # Each with its number of kernels in whole groups: of two blocks the attention's four and what takes 32 to
  # 44, Llama's gate too; the embeddings; the head, BERT's of two layers.
  @models [
    {"gpt2", @causal, 2 * 5 + 2 + 1},
    {"llama", @causal, 2 * 6 + 1 + 1},
    {"qwen3", @causal, 2 * 6 + 1 + 1},
    {"bert", @masked, 2 * 5 + 3 + 2}
  ]

  setup :only_native

  # Two rows of 24 of the tiny models' 96 tokens.
  defp inputs do
    tokens = {2, 24} |> Nx.iota() |> Nx.multiply(37) |> Nx.add(11) |> Nx.remainder(96)
    %{"input_ids" => tokens, "attention_mask" => Nx.broadcast(1, {2, 24})}
  end

  for {name, architecture, kernels} <- @models do
    @tag architecture: architecture, kernels: kernels
    test "#{name} runs with the kernels that fit quantised, as with what these stand for",
         context do
      info = Tiny.load(unquote(name), context.architecture)

      for opts <- @codings do
        {model, params} = Quantization.Axon.quantize(info.model, info.params, opts)
        assert map_size(matrices(params)) == context.kernels

        floats = Quantization.dequantize_params(params)
        right = predict_wide(info.model, floats, inputs(), :logits)
        assert right.type == {:f, 64}

        rounded = predict(info.model, floats, inputs(), :logits)
        logits = predict(model, params, inputs(), :logits)
        assert Bound.within?(logits, :reordered, right, rounded)

        # It is not the model of before.
        before = predict(info.model, info.params, inputs(), :logits)
        refute Bound.within?(before, :reordered, right, rounded)
      end
    end
  end

  test "a rewritten model without quantised parameters is the one that it was, to the bit" do
    for {name, architecture, _kernels} <- @models do
      info = Tiny.load(name, architecture)
      logits = predict(Quantization.Axon.rewrite(info.model), info.params, inputs(), :logits)
      before = predict(info.model, info.params, inputs(), :logits)
      assert Nx.to_binary(logits) == Nx.to_binary(before)
    end
  end

  test "a model in bf16 stays one" do
    for {name, architecture, _kernels} <- @models, opts <- @codings do
      info = Tiny.load(name, architecture, type: :bf16)
      # Its own layers would cast to bf16.
      wide = Tiny.load(name, architecture)
      {model, params} = Quantization.Axon.quantize(info.model, info.params, opts)
      floats = Quantization.dequantize_params(params)
      right = predict_wide(wide.model, floats, inputs(), :logits)
      rounded = predict(info.model, floats, inputs(), :logits)
      assert {rounded.type, rounded.shape} == {{:bf, 16}, {2, 24, 96}}
      logits = predict(model, params, inputs(), :logits)
      assert Bound.within?(logits, :reordered, right, rounded)
    end
  end

  test "a filter takes layers out by name" do
    info = Tiny.load("llama", @causal)
    filter = fn [layer, "kernel"], _tensor -> layer =~ "self_attention" end
    opts = [filter: filter, mode: :mxfp8]
    {model, params} = Quantization.Axon.quantize(info.model, info.params, opts)
    assert map_size(matrices(params)) == 2 * 4
    assert predict(model, params, inputs(), :logits).shape == {2, 24, 96}
  end

  test "a head that is tied to the embedding has its codes" do
    info = Tiny.load("gpt2", @causal)
    {_model, params} = Quantization.Axon.quantize(info.model, info.params, mode: :nvfp4)

    [head, embedding] =
      for layer <- ["language_modeling_head.output", "embedder.token_embedding"],
          do: params.data[layer]["kernel"]

    assert Nx.to_binary(head.tensors.packed) == Nx.to_binary(embedding.tensors.packed)
    assert Nx.to_binary(head.tensors.scales) == Nx.to_binary(embedding.tensors.scales)
  end

  test "the model's state is counted as Axon counts" do
    info = Tiny.load("bert", @masked)
    {_model, params} = Quantization.Axon.quantize(info.model, info.params, mode: :mxfp4)
    kilobytes = :erlang.float_to_binary(bytes(params) / 1000, decimals: 2)
    assert inspect(params) =~ "(#{kilobytes} KB)"
  end

  # The tokens that a model writes after these.
  defp written(model, info, params, inputs, options) do
    config =
      Bumblebee.configure(%GenerationConfig{}, [eos_token_id: nil, pad_token_id: 0] ++ options)

    generate = Generation.build_generate(model, info.spec, config)
    seeds = Nx.iota({Nx.axis_size(inputs["input_ids"], 0)}, type: :s64)
    arguments = [params, Map.put(inputs, "seed", seeds)]
    Nx.Defn.jit_apply(generate, arguments, compiler: Emily.Compiler).token_ids
  end

  test "a quantised model generates what its float one does" do
    for name <- ["gpt2", "llama"] do
      info = Tiny.load(name, @causal)
      {model, params} = Quantization.Axon.quantize(info.model, info.params, group_size: 32)
      floats = Quantization.dequantize_params(params)

      [quantised, expected] =
        for {model, params} <- [{model, params}, {info.model, floats}],
            do: written(model, info, params, inputs(), max_new_tokens: 32)

      assert Nx.to_list(quantised) == Nx.to_list(expected)
    end
  end

  test "what quantising costs is what as much noise does" do
    for name <- ["gpt2", "llama"], bits <- [4, 8] do
      info = Tiny.load(name, @causal)
      opts = [group_size: 32, bits: bits]
      {model, params} = Quantization.Axon.quantize(info.model, info.params, opts)
      logits = predict(info.model, info.params, inputs(), :logits)
      noisy = predict(info.model, noisy(info.params, params), inputs(), :logits)
      quantised = predict(model, params, inputs(), :logits)

      # Two draws of the same kind: that one is twice the other is not to be expected of 4608 logits.
      assert root_mean_square(quantised, logits) <= 2 * root_mean_square(noisy, logits)
    end
  end

  # What a model says of each next token of these: the logarithms of probabilities.
  defp said(model, params, tokens) do
    logits = predict(model, params, %{"input_ids" => tokens}, :logits)[[.., 3..-2//1]]
    Nx.subtract(logits, Emily.Fast.logsumexp(logits, axes: [-1], keep_axes: true))
  end

  # What is lost of a token's likelihood, in nats, where the latter is taken for the former.
  defp divergence(a, b) do
    terms = Nx.multiply(Nx.exp(a), Nx.subtract(a, b))
    terms |> Nx.sum(axes: [-1]) |> Nx.mean() |> Nx.to_number()
  end

  test "a text that the model wrote is as likely in eight bits, and its next tokens are the same" do
    for name <- ["gpt2", "llama"] do
      info = Tiny.load(name, @causal)
      prompts = {8, 4} |> Nx.iota() |> Nx.multiply(37) |> Nx.add(11) |> Nx.remainder(96)
      start = %{"input_ids" => prompts, "attention_mask" => Nx.broadcast(1, {8, 4})}
      options = [max_new_tokens: 28, strategy: %{type: :multinomial_sampling}]
      tokens = written(info.model, info, info.params, start, options)
      tokens = Nx.concatenate([prompts, tokens], axis: 1)

      {model, params} =
        Quantization.Axon.quantize(info.model, info.params, group_size: 32, bits: 8)

      before = said(info.model, info.params, tokens)
      noisy = said(info.model, noisy(info.params, params), tokens)
      quantised = said(model, params, tokens)

      # Divergence is quadratic in the logits' change, which is at most twice that of as much noise (above). The
      # text was drawn from the model, so that its likelihood falls by the divergence on average, and deviates
      # by the root of twice the divergence over the number of tokens: four times that is allowed.
      allowed = 4 * divergence(before, noisy)
      assert divergence(before, quantised) <= allowed
      next = Nx.new_axis(tokens[[.., 4..-1//1]], -1)
      [old, new] = for said <- [before, quantised], do: Nx.take_along_axis(said, next, axis: 2)
      loss = old |> Nx.subtract(new) |> Nx.mean() |> Nx.to_number()
      assert abs(loss) <= allowed + 4 * :math.sqrt(2 * allowed / Nx.size(next))

      # The lead of the first over the second is moved by two logits: one of four standard deviations, of twice as
      # much noise, is not made up for.
      {leading, _indices} = Nx.top_k(before, k: 2)
      lead = Nx.subtract(leading[[.., .., 0]], leading[[.., .., 1]])
      safe = Nx.greater(lead, 2 * 4 * :math.sqrt(2) * root_mean_square(noisy, before))
      # Enough of them to say something.
      assert Nx.to_number(Nx.mean(safe)) > 0.25
      [old, new] = for said <- [before, quantised], do: Nx.argmax(said, axis: -1)
      assert Nx.to_number(Nx.all(Nx.logical_or(Nx.equal(old, new), Nx.logical_not(safe)))) == 1
    end
  end

  test "a model of integers computes with quantised kernels as with floats" do
    model = Axon.input("x", shape: {nil, 64}) |> Axon.dense(8, name: "dense")
    kernel = Nx.divide(Nx.iota({64, 8}, type: :f32), 64)
    state = Axon.ModelState.new(%{"dense" => %{"kernel" => kernel, "bias" => Nx.iota({8})}})
    x = Nx.iota({2, 64}, type: :u8)

    for opts <- @codings do
      {quantised, params} = Quantization.Axon.quantize(model, state, opts)
      floats = Axon.predict(quantised, params, Nx.as_type(x, :f32))
      assert Nx.to_binary(Axon.predict(quantised, params, x)) == Nx.to_binary(floats)
    end
  end

  test "what is no model, and an axis, are refused by name" do
    model = Axon.input("x", shape: {nil, 64}) |> Axon.dense(8, name: "dense")
    state = Axon.ModelState.new(%{"dense" => %{"kernel" => Nx.iota({64, 8}, type: :f32)}})

    assert_raise ArgumentError,
                 ~r"^Emily.Quantization.Axon.quantize: the first argument is a model of Axon",
                 fn -> Quantization.Axon.quantize(state, model) end

    assert_raise ArgumentError, ~r"^Emily.Quantization.Axon.rewrite: .*a model of Axon", fn ->
      Quantization.Axon.rewrite(state)
    end

    assert_raise ArgumentError,
                 ~r"^Emily.Quantization.Axon.quantize: .*:axis is no option",
                 fn -> Quantization.Axon.quantize(model, state, axis: -1) end

    assert_raise ArgumentError, ~r":filter is a function of a path and a tensor, got: nil", fn ->
      Quantization.Axon.quantize(model, state, filter: nil)
    end
  end

  test "layers that take no matrix tell" do
    table = Matrix.quantize(Nx.iota({32, 8}, type: :f32), axis: -2, mode: :mxfp4)
    model = Axon.input("x") |> Axon.embedding(32, 8, name: "table") |> Quantization.Axon.rewrite()
    params = Axon.ModelState.new(%{"table" => %{"kernel" => table}})

    assert_raise Axon.CompileError, ~r"quantize it with axis: -1", fn ->
      Axon.predict(model, params, Nx.tensor([1]))
    end
  end
end
