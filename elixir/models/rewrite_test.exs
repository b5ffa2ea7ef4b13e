defmodule Emily.Models.RewriteTest do
  @moduledoc """
  `fast: true` finds in each model of fixtures/slices what its architecture has, by its configuration. That the answer
  stays as near to Transformers' is for the layer `slices` to say, in its lane `fast`; here it is said of what that
  does not ask.
  """

  use ExUnit.Case, async: false

  import Emily.Rewriting, only: [compiled: 3, distance: 2, largest: 1, rewrites: 2]

  @moduletag :capture_log

  alias Emily.Conformance.Slices
  alias Emily.Conformance.Slices.Loading
  alias Emily.Models.Bound

  @slices Path.expand("../../fixtures/slices", __DIR__)
  @models @slices
          |> Path.join("*/slices.json")
          |> Path.wildcard()
          |> Enum.map(&Path.dirname/1)
          |> Enum.sort()

  # The layer asks for all outputs of a head, and so for the weights of an encoder-decoder's attention as well.
  @encoder_decoders ["bart", "t5", "whisper"]

  for folder <- @models do
    name = Path.basename(folder)
    heads = folder |> Path.join("slices.json") |> File.read!() |> Jason.decode!()

    for {head, description} <- heads do
      test "#{name}, #{head}: as many rewritten as it has" do
        for dtype <- unquote(Enum.map(description["dtypes"], &String.to_atom/1)) do
          model = Loading.load(unquote(folder), unquote(head), dtype, nil)
          {outputs, args} = outputs(model)
          assert rewrites(outputs, args) == expected(unquote(name), unquote(head), :outputs)

          if unquote(name) in @encoder_decoders do
            result = compiled(outputs, args, fast: true)
            assert_right(unquote(folder), unquote(head), dtype, result)
          end
        end
      end

      if description["generates"] do
        test "#{name}, #{head}: generation, before its loop and in it" do
          model = Loading.load(unquote(folder), unquote(head), :f32, nil)
          {generate, args} = Slices.generation(model)
          assert rewrites(generate, args) == expected(unquote(name), unquote(head), :generation)
          question = {unquote(folder), unquote(head), :f32, :fast, :cpu, :tokens, nil}
          assert [{_dtype, _dims, tokens}] = Slices.answer(question)
          answers = answers(unquote(folder))
          assert tokens == Nx.to_binary(answers["#{unquote(head)}/tokens"])
        end
      end
    end
  end

  # The head's outputs only, as generation asks for them.
  defp outputs(model) do
    {_init, predict} = Axon.build(model.model)
    names = Enum.map(model.outputs, &String.to_existing_atom/1)

    {fn params, inputs -> Map.take(predict.(params, inputs), names) end,
     [model.params, model.inputs]}
  end

  # Generation runs what decodes for the prompt, if that is longer than a token, and for a token in the loop;
  # behind an encoder the prompt is the token that begins all answers.
  defp expected(name, head, ask) do
    config = @slices |> Path.join("#{name}/config.json") |> File.read!() |> Jason.decode!()
    once = Map.new(encoder(name, head, config))
    decoded = Map.new(decoder(name, head, config))
    times = if ask == :generation and once == %{}, do: 2, else: 1
    decoded = Map.new(decoded, fn {kind, count} -> {kind, times * count} end)
    counts = Map.merge(once, decoded, fn _kind, left, right -> left + right end)
    for {kind, count} <- counts, count > 0, into: %{}, do: {short(kind), count}
  end

  defp short(:attention), do: :scaled_dot_product_attention
  defp short(kind), do: kind

  # A block of an encoder has a norm for its attention and one for its dense layers.
  defp encoder(name, head, config) when name in ["bert", "roberta"] do
    layers = config["num_hidden_layers"]
    [layer_norm: 1 + 2 * layers + masked(head), attention: layers]
  end

  defp encoder("distilbert", head, config) do
    [layer_norm: 1 + 2 * config["n_layers"] + masked(head), attention: config["n_layers"]]
  end

  # The first block's attention has no norm, that of the embeddings being one; heads have one.
  defp encoder("modernbert", head, config) do
    layers = config["num_hidden_layers"]
    norms = 1 + (2 * layers - 1) + 1 + if(head == "base", do: 0, else: 1)
    [layer_norm: norms, attention: layers, rope: 2 * layers]
  end

  defp encoder("vit", _head, config) do
    [layer_norm: 2 * config["num_hidden_layers"] + 1, attention: config["num_hidden_layers"]]
  end

  # Text ends with a norm; vision begins with one, too.
  defp encoder("clip", _head, config) do
    [text, vision] =
      for part <- ["text_config", "vision_config"], do: config[part]["num_hidden_layers"]

    [layer_norm: 2 * text + 1 + 2 * vision + 2, attention: text + vision]
  end

  defp encoder("bart", _head, config) do
    [layer_norm: 1 + 2 * config["encoder_layers"], attention: config["encoder_layers"]]
  end

  defp encoder("whisper", _head, config) do
    [layer_norm: 2 * config["encoder_layers"] + 1, attention: config["encoder_layers"]]
  end

  defp encoder("t5", _head, config) do
    [rms_norm: 2 * config["num_layers"] + 1, attention: config["num_layers"]]
  end

  # A transformer, of a block with attention to itself and across, after each residual block of a stage with
  # attention, one in the middle; upwards a stage has a residual block more. Its own norms are of groups.
  defp encoder("unet", _head, config) do
    crossing = fn stages -> Enum.count(config[stages], &String.starts_with?(&1, "CrossAttn")) end
    per_stage = config["layers_per_block"]
    up = (per_stage + 1) * crossing.("up_block_types")
    transformers = per_stage * crossing.("down_block_types") + 1 + up
    [layer_norm: 3 * transformers, attention: 2 * transformers]
  end

  # Attention in the middle of the encoder, and of the decoder.
  defp encoder("vae", "base", _config), do: [attention: 2]
  defp encoder("vae", "decoder", _config), do: [attention: 1]

  # Norms of batches.
  defp encoder("resnet", _head, _config), do: []
  defp encoder(_decoder, _head, _config), do: []

  # A block has a norm, and where there is an encoder an attention, more.
  defp decoder("bart", _head, config) do
    [layer_norm: 1 + 3 * config["decoder_layers"], attention: 2 * config["decoder_layers"]]
  end

  defp decoder("whisper", _head, config) do
    [layer_norm: 3 * config["decoder_layers"] + 1, attention: 2 * config["decoder_layers"]]
  end

  defp decoder("t5", "encoder", _config), do: []

  defp decoder("t5", _head, config) do
    [rms_norm: 3 * config["num_decoder_layers"] + 1, attention: 2 * config["num_decoder_layers"]]
  end

  defp decoder("gpt2", _head, config) do
    [layer_norm: 2 * config["n_layer"] + 1, attention: config["n_layer"]]
  end

  # Queries and keys are turned.
  defp decoder("llama", _head, config) do
    layers = config["num_hidden_layers"]
    [rms_norm: 2 * layers + 1, rope: 2 * layers, attention: layers]
  end

  # They have a norm, too.
  defp decoder("qwen3", _head, config) do
    layers = config["num_hidden_layers"]
    [rms_norm: 4 * layers + 1, rope: 2 * layers, attention: layers]
  end

  # Not all layers turn.
  defp decoder("smollm3", _head, config) do
    layers = config["num_hidden_layers"]
    [rms_norm: 2 * layers + 1, rope: 2 * Enum.sum(config["no_rope_layers"]), attention: layers]
  end

  defp decoder(_encoder, _head, _config), do: []

  defp masked("for_masked_language_modeling"), do: 1
  defp masked(_head), do: 0

  defp assert_right(folder, head, dtype, result) do
    answers = answers(folder)
    spread = spread(answers, dtype)

    for {output, tensor} <- result do
      right = answers["#{head}/#{dtype}/right/#{output}"]
      assert {tensor.shape, tensor.type} == {right.shape, Nx.Type.normalize!(dtype)}
      spreads = distance(right, tensor) / spread / largest(right)
      assert spreads <= Bound.allowed(:recomposed, tensor.type), "#{output}"
    end
  end

  # The most of all heads, as few numbers of one head's are too few to tell.
  defp spread(answers, dtype) do
    spreads =
      for {name, rounded} <- answers, [head, ^dtype, "rounded", output] <- [parts(name, dtype)] do
        Bound.spread(answers["#{head}/#{dtype}/right/#{output}"], rounded)
      end

    Enum.max(spreads)
  end

  defp parts(name, dtype) do
    text = Atom.to_string(dtype)

    case String.split(name, "/") do
      [head, ^text, kind, output] -> [head, dtype, kind, output]
      _ -> []
    end
  end

  defp answers(folder) do
    Nx.with_default_backend(Nx.BinaryBackend, fn ->
      Safetensors.read!(Path.join(folder, "slices.safetensors"))
    end)
  end
end
