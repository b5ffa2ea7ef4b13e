defmodule Emily.Conformance.Slices.Published do
  @moduledoc """
  What is published of public checkpoints' outputs: Bumblebee's tests have those of tiny random ones, which
  Transformers gave, and Emily 1.0's have those of models that people use.
  """

  alias Emily.Conformance.Slices.Hub

  @padded [10, 20, 30, 40, 50, 60, 70, 80, 0, 0]
  @mask [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]

  @doc "The checkpoints, as `Emily.Conformance.Slices.Hub` describes them."
  @spec all() :: [Hub.checkpoint()]
  def all, do: distilbert() ++ vit() ++ whisper() ++ qwen3()

  defp distilbert do
    [
      tiny("DistilBertModel", :base, &text/0,
        hidden_state: {
          [0, 1..3, 1..3],
          [[-0.9427, 0.7933, 0.1031], [1.0913, 1.0214, -1.5890], [-2.1149, -0.3367, -0.6268]]
        }
      ),
      tiny("DistilBertForMaskedLM", :for_masked_language_modeling, &text/0,
        logits: {
          [0, 1..3, 1..3],
          [[-0.1839, -0.0195, 0.1220], [-0.2048, 0.0667, 0.0878], [-0.2045, -0.0483, -0.1567]]
        }
      ),
      tiny("DistilBertForSequenceClassification", :for_sequence_classification, &text/0,
        logits: {[0], [-0.0047, -0.0103]}
      ),
      tiny("DistilBertForTokenClassification", :for_token_classification, &text/0,
        logits: {[0, 1..3], [[-0.0504, -0.0751], [0.1354, 0.2180], [-0.0386, 0.1059]]}
      ),
      tiny("DistilBertForQuestionAnswering", :for_question_answering, &text/0,
        start_logits: {[0, 1..3], [0.1790, -0.0074, 0.0412]},
        end_logits: {[0, 1..3], [-0.1520, -0.0973, 0.0166]}
      ),
      tiny("DistilBertForMultipleChoice", :for_multiple_choice, &choices/0,
        logits: {[0], [-0.0027]}
      ),
      checkpoint(
        "distilbert/distilbert-base-uncased-distilled-squad",
        :for_question_answering,
        {:answers,
         [
           {"What is my name?", "My name is Sarah.", "Sarah"},
           {"Where do I live?", "I live in London.", "London"}
         ]}
      )
    ]
  end

  defp vit do
    [
      tiny("ViTModel", :base, &small_image/0,
        hidden_state: {
          [0, 1..3, 1..3],
          [[-0.2075, 2.7865, 0.2361], [-0.3014, 2.5312, -0.6127], [-0.3460, 2.8741, 0.1988]]
        },
        pooled_state: {[0, 1..3], [-0.0244, -0.0515, -0.1584]}
      ),
      tiny("ViTForImageClassification", :for_image_classification, &small_image/0,
        logits: {[0], [-0.1596, 0.1818]}
      ),
      tiny("ViTForMaskedImageModeling", :for_masked_image_modeling, &small_image/0,
        pixel_values: {
          [0, 1..2, 1..2, 1..2],
          [[[0.0752, 0.0548], [-0.0192, -0.0216]], [[-0.0252, 0.0728], [0.0232, -0.1687]]]
        }
      )
    ] ++
      real("google/vit-base-patch16-224", :for_image_classification, &image/0,
        logits: {[0, 0..4], [0.0112, -0.5066, -0.7792, -1.0436, -0.1899]},
        likeliest: {:logits, [0], 763}
      )
  end

  defp whisper do
    [
      tiny("WhisperModel", :base, &short_sound/0,
        hidden_state: {
          [0, 1..3, 1..3],
          [[-0.3791, -1.6131, -0.6913], [0.1247, -1.3631, 0.0034], [-0.0097, 0.2039, 1.9897]]
        }
      ),
      tiny("WhisperForConditionalGeneration", :for_conditional_generation, &short_sound/0,
        logits: {
          [0, 1..3, 1..3],
          [[0.0942, 0.1288, 0.0243], [-0.1667, -0.1401, 0.1191], [0.0398, -0.0449, -0.0574]]
        }
      )
    ] ++
      real("openai/whisper-tiny", :for_conditional_generation, &sound/0,
        logits: {
          [0, 0..2, 0..2],
          [[2.9246, 0.2663, 3.8530], [-4.5523, -8.4833, -4.4232], [17.7350, 16.3070, 13.2149]]
        },
        likeliest: {:logits, [0, -1], 50_257}
      )
  end

  defp qwen3 do
    fox = " The quick brown fox is a character in the story."

    [
      tiny("Qwen3Model", :base, &text/0,
        hidden_state: {
          [0, 1..3, 1..3],
          [[0.0461, -1.5811, 1.5504], [0.1340, -1.3477, 0.8047], [-0.5821, -0.4164, 0.9769]]
        }
      ),
      tiny("Qwen3ForCausalLM", :for_causal_language_modeling, &text/0,
        logits: {
          [0, 1..3, 1..3],
          [[0.1457, 0.0313, -0.0651], [0.1718, -0.0265, -0.0186], [0.2281, -0.0124, -0.0147]]
        }
      ),
      tiny("Qwen3ForSequenceClassification", :for_sequence_classification, &text/0,
        logits: {[0], [-0.1487, -0.0071]}
      ),
      checkpoint(
        "bumblebee-testing/tiny-random-Qwen3ForCausalLM",
        :for_causal_language_modeling,
        {:tokens, Enum.take(@padded, 8),
         [6, 277, 436, 806, 833, 436, 785, 135, 550, 309, 511, 89, 865, 72, 1021, 865]}
      ),
      checkpoint(
        "Qwen/Qwen3-0.6B",
        :for_causal_language_modeling,
        {:continues, "The quick brown fox jumps over the lazy dog.",
         fox <> fox <> String.trim_trailing(fox, ".")}
      )
    ]
  end

  defp tiny(name, architecture, inputs, parts) do
    owner = if String.starts_with?(name, "Qwen3"), do: "bumblebee", else: "hf-internal"
    outputs("#{owner}-testing/tiny-random-#{name}", architecture, inputs, parts)
  end

  defp real(repository, architecture, inputs, logits: logits, likeliest: likeliest) do
    [
      outputs(repository, architecture, inputs, logits: logits),
      checkpoint(repository, architecture, {:likeliest, inputs, likeliest})
    ]
  end

  defp outputs(repository, architecture, inputs, parts) do
    parts = for {output, {ranges, values}} <- parts, do: {output, ranges, values}
    checkpoint(repository, architecture, {:outputs, inputs, parts})
  end

  defp checkpoint(repository, architecture, ask) do
    %{repository: repository, architecture: architecture, ask: ask}
  end

  defp text, do: %{"input_ids" => Nx.tensor([@padded]), "attention_mask" => Nx.tensor([@mask])}
  defp choices, do: Map.new(text(), fn {name, ids} -> {name, Nx.new_axis(ids, 0)} end)

  defp small_image, do: %{"pixel_values" => Nx.broadcast(0.5, {1, 30, 30, 3})}
  defp image, do: %{"pixel_values" => Nx.broadcast(0.5, {1, 224, 224, 3})}

  defp short_sound do
    %{
      "input_features" => Nx.sin(Nx.iota({1, 60, 80}, type: :f32)),
      "decoder_input_ids" => Nx.tensor([[15, 25, 35, 45, 55, 65, 0, 0]]),
      "decoder_attention_mask" => Nx.tensor([[1, 1, 1, 1, 1, 1, 0, 0]])
    }
  end

  defp sound do
    ids = [50_258, 50_259, 50_359, 50_363, 50, 100]

    %{
      "input_features" => Nx.sin(Nx.multiply(Nx.iota({1, 3000, 80}, type: :f32), 0.01)),
      "decoder_input_ids" => Nx.tensor([ids]),
      "decoder_attention_mask" => Nx.broadcast(1, {1, length(ids)})
    }
  end
end
