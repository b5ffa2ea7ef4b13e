defmodule Emily.Models.GenerationTest do
  @moduledoc """
  Text from tiny models, by Bumblebee's serving. Their likeliest token leads by far more than rounding.
  """

  use ExUnit.Case, async: false

  alias Emily.Models.{Tiny, Usage}

  @head "for_causal_language_modeling"
  @tokens 32

  for name <- ["gpt2", "llama"] do
    describe name do
      setup do
        name = unquote(name)
        [row | _rows] = Tiny.reference(name, "#{@head}/in/input_ids")
        [tokens] = Tiny.reference(name, "#{@head}/tokens")
        model = Tiny.load(name, String.to_atom(@head), backend: Emily.Backend)
        %{model: model, row: row, prompt: Tiny.text(row), tokens: tokens}
      end

      test "a stream has Transformers' text in pieces", %{model: model} = context do
        text = Tiny.text(context.tokens)
        assert generate(model, context.prompt) == text

        streaming = Tiny.generation(model, [max_new_tokens: @tokens], stream: true)
        pieces = streaming |> Nx.Serving.run(context.prompt) |> Enum.to_list()
        assert Enum.join(pieces) == text
        # A word waits for the space behind it.
        assert length(pieces) == @tokens - 1
      end

      test "prompts of other lengths beside it change no text", %{model: model, row: row} do
        prompts = for count <- [2, 3, 6, 10], do: row |> Enum.take(count) |> Tiny.text()
        alone = for prompt <- prompts, do: generate(model, prompt)
        batch = [compile: [batch_size: 4, sequence_length: 12]]
        serving = Tiny.generation(model, [max_new_tokens: @tokens], batch)
        assert for(result <- Nx.Serving.run(serving, prompts), do: text(result)) == alone
        # Fewer than the batch holds.
        assert serving |> Nx.Serving.run(hd(prompts)) |> text() == hd(alone)
      end

      test "callers at once share a batch and have their own texts", %{model: model, row: row} do
        prompts = for count <- [2, 5, 8, 10], do: row |> Enum.take(count) |> Tiny.text()
        batch = [compile: [batch_size: 4, sequence_length: 12]]
        serving = Tiny.generation(model, [max_new_tokens: @tokens], batch)
        start_supervised!({Nx.Serving, serving: serving, name: __MODULE__, batch_timeout: 60_000})

        texts =
          prompts
          |> Enum.map(&Task.async(fn -> text(Nx.Serving.batched_run(__MODULE__, &1)) end))
          |> Task.await_many(60_000)

        assert texts == for(prompt <- prompts, do: generate(model, prompt))
      end

      test "a seed draws the same text alone and in a batch", %{model: model} = context do
        config = [
          max_new_tokens: @tokens,
          strategy: %{type: :multinomial_sampling, top_k: 20},
          temperature: 2.0
        ]

        serving = Tiny.generation(model, config)
        inputs = for seed <- [1, 2, 1], do: %{text: context.prompt, seed: seed}
        assert [a, b, a] = for(result <- Nx.Serving.run(serving, inputs), do: text(result))
        assert a != b
        assert serving |> Nx.Serving.run(hd(inputs)) |> text() == a
      end

      test "it stops at :max_new_tokens", %{model: model, tokens: tokens} = context do
        for count <- [1, 7] do
          result = run(model, context.prompt, max_new_tokens: count)
          assert text(result) == tokens |> Enum.take(count) |> Tiny.text()
          assert %{results: [%{token_summary: %{output: ^count}}]} = result
        end
      end

      test "it stops behind an end token, of one or of several", %{tokens: tokens} = context do
        # One that is not among those before it.
        last = Enum.find(11..@tokens, &(Enum.at(tokens, &1) not in Enum.take(tokens, &1)))
        token = Enum.at(tokens, last)
        unused = Enum.find(1..95, &(&1 not in tokens))

        for ending <- [token, [unused, token]] do
          options = [max_new_tokens: @tokens, eos_token_id: ending]
          result = run(context.model, context.prompt, options)
          assert %{results: [%{token_summary: %{output: output}}]} = result
          assert output == last + 1
          # What is behind the end is padding.
          assert tokens |> Enum.take(last + 1) |> Tiny.text() == without_padding(text(result))

          stream = Tiny.generation(context.model, options, stream: true, stream_done: true)
          {pieces, [{:done, done}]} = events(stream, context.prompt)
          assert Enum.join(pieces) == tokens |> Enum.take(last + 1) |> Tiny.text()
          assert done.token_summary.output == last + 1
        end
      end

      test "an end token is held back until :min_length", %{tokens: tokens} = context do
        length = length(context.row) + 9
        options = [max_new_tokens: @tokens, min_length: length, eos_token_id: hd(tokens)]
        result = run(context.model, context.prompt, options)
        assert %{results: [%{token_summary: %{output: output}}]} = result
        assert output >= 9
      end

      test "no run of tokens comes twice with :no_repeat_ngram_length",
           %{tokens: tokens} = context do
        assert repeats?(context.row ++ tokens, 2)
        text = generate(context.model, context.prompt, no_repeat_ngram_length: 2)
        refute repeats?(context.row ++ Tiny.tokens(text), 2)
      end

      test "a consumer that stops reading leaves nothing behind", %{model: model} = context do
        streaming = Tiny.generation(model, [max_new_tokens: @tokens], stream: true)
        start_supervised!({Nx.Serving, serving: streaming, name: __MODULE__, batch_timeout: 1})
        ask = fn -> Nx.Serving.batched_run(__MODULE__, context.prompt) end
        before = Usage.settled()

        # What is still sent to the reader ends with it.
        begun = for _reader <- 1..4, do: Task.await(Task.async(fn -> Enum.take(ask.(), 2) end))
        words = context.tokens |> Enum.take(2) |> Tiny.text()
        assert Enum.all?(begun, &(Enum.join(&1) == words))

        assert Enum.join(ask.()) == Tiny.text(context.tokens)
        assert Emily.Eventually.eventually(fn -> Task.Supervisor.children(tasks()) == [] end, 200)
        assert Usage.settles_at?(before)
      end
    end
  end

  # A second of sound is what the tiny Whisper hears at once: 30 frames of 160 samples, as 12 features.
  describe "whisper" do
    @second 4800
    @no_timestamps 95

    setup do
      seconds =
        for pitch <- [0.05, 0.4, 2.0] do
          angles = Nx.iota({@second}, type: :f32, backend: Nx.BinaryBackend)
          Nx.sin(Nx.multiply(angles, Nx.tensor(pitch, backend: Nx.BinaryBackend)))
        end

      model = Tiny.load("whisper", :for_conditional_generation)
      alone = for second <- seconds, do: heard(Nx.Serving.run(transcription(model), second))
      assert Enum.uniq(alone) == alone
      %{model: model, seconds: seconds, alone: alone}
    end

    test "callers at once share a batch and have their own texts", context do
      serving = transcription(context.model, compile: [batch_size: 3])
      start_supervised!({Nx.Serving, serving: serving, name: __MODULE__, batch_timeout: 60_000})

      texts =
        context.seconds
        |> Enum.map(&Task.async(fn -> heard(Nx.Serving.batched_run(__MODULE__, &1)) end))
        |> Task.await_many(60_000)

      assert texts == context.alone
    end

    test "a stream is heard second by second", context do
      options = [stream: true, chunk_num_seconds: 1, context_num_seconds: 0]
      stream = transcription(context.model, options)
      sounds = Stream.map(context.seconds, & &1)
      chunks = stream |> Nx.Serving.run(sounds) |> Enum.to_list()
      assert for(%{text: text} <- chunks, do: text) == context.alone
    end
  end

  defp transcription(model, options \\ []) do
    config = [
      max_new_tokens: 8,
      pad_token_id: 0,
      decoder_start_token_id: 2,
      extra_config: %Bumblebee.Text.WhisperGenerationConfig{
        no_timestamps_token_id: @no_timestamps
      }
    ]

    Bumblebee.Audio.speech_to_text_whisper(
      model,
      %Bumblebee.Audio.WhisperFeaturizer{
        feature_size: 12,
        sampling_rate: @second,
        num_seconds: 1
      },
      Tiny.tokenizer(%{@no_timestamps => "<|notimestamps|>"}),
      Bumblebee.configure(%Bumblebee.Text.GenerationConfig{}, config),
      [task: nil, defn_options: [compiler: Emily.Compiler]] ++ options
    )
  end

  defp heard(%{chunks: [%{text: text}]}), do: text

  defp tasks, do: Module.concat(__MODULE__, TaskSupervisor)

  defp generate(model, prompt, options \\ []) do
    model |> run(prompt, [max_new_tokens: @tokens] ++ options) |> text()
  end

  defp run(model, prompt, options),
    do: model |> Tiny.generation(options) |> Nx.Serving.run(prompt)

  defp text(%{results: [%{text: text}]}), do: text

  defp without_padding(text), do: text |> String.replace("<pad>", "") |> String.trim()

  defp events(serving, prompt) do
    serving |> Nx.Serving.run(prompt) |> Enum.split_with(&is_binary/1)
  end

  defp repeats?(tokens, length) do
    runs = Enum.chunk_every(tokens, length, 1, :discard)
    length(Enum.uniq(runs)) < length(runs)
  end
end
