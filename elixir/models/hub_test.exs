defmodule Emily.Models.HubTest do
  @moduledoc """
  From a cache of the hub to a judged answer. The cache is made here, of the tiny models of fixtures/slices.
  """

  use ExUnit.Case, async: true

  import ExUnit.CaptureIO

  alias Emily.Conformance.Slices.{Hub, Published}
  alias Emily.Models.Tiny

  @moduletag :tmp_dir
  @moduletag :capture_log

  @slices Path.expand("../../fixtures/slices", __DIR__)
  @repository "somebody/tiny-bert"

  describe "the cache" do
    test "is where the hub's libraries have it" do
      assert Hub.cache(%{}) == Path.expand("~/.cache/huggingface/hub")
      assert Hub.cache(%{"XDG_CACHE_HOME" => "/c"}) == "/c/huggingface/hub"
      assert Hub.cache(%{"HF_HOME" => "/h", "XDG_CACHE_HOME" => "/c"}) == "/h/hub"
      assert Hub.cache(%{"HF_HUB_CACHE" => "/k", "HF_HOME" => "/h"}) == "/k"
    end

    test "has a repository's files at the revision that is main's", %{tmp_dir: cache} do
      keep(cache, "older")
      main = keep(cache, "newer")
      assert {:error, reason} = Hub.snapshot(cache, @repository)
      assert reason =~ "several revisions"

      name_main(cache, "newer")
      assert Hub.snapshot(cache, @repository) == {:ok, main}
    end

    test "has it at the only one, where none is named", %{tmp_dir: cache} do
      only = keep(cache, "only")
      assert Hub.snapshot(cache, @repository) == {:ok, only}
    end

    test "may lack it, or a part of it", %{tmp_dir: cache} do
      assert {:error, reason} = Hub.snapshot(cache, @repository)
      assert reason =~ "`hf download somebody/tiny-bert`"

      snapshot = keep(cache, "only")

      assert {:error, reason} =
               Hub.snapshot(cache, @repository, ["config.json", "tokenizer.json"])

      assert reason =~ "has no tokenizer.json"

      weights = Path.join(snapshot, "model.safetensors")
      File.rm!(File.read_link!(weights))
      assert {:error, reason} = Hub.snapshot(cache, @repository)
      assert reason =~ "no weights"

      File.rm!(Path.join(snapshot, "config.json"))
      assert {:error, reason} = Hub.snapshot(cache, @repository)
      assert reason =~ "no config.json"
    end
  end

  test "what the cache has is judged eagerly and compiled, and what it has not is told", %{
    tmp_dir: cache
  } do
    keep(cache, "only")
    absent = %{bert(:hidden_state, right()) | repository: "nobody/nothing"}

    [[_, row | _] | _] = reference("bert", "base/f32/right/hidden_state")
    place = Enum.find_index(row, &(&1 == Enum.max(row)))
    likeliest = %{absent | repository: @repository, ask: likeliest(place)}

    output =
      capture_io(fn ->
        assert Hub.run(cache, [bert(:hidden_state, right()), likeliest, absent]) ==
                 %{right: 4, wrong: 0, not_run: 1}
      end)

    assert output =~ "right    somebody/tiny-bert base outputs eager\n"
    assert output =~ "right    somebody/tiny-bert base outputs compiled\n"
    assert output =~ ~r"not run  nobody/nothing base outputs: .* has it not"
    assert output =~ "4 right, 0 wrong, 1 not run\n"
  end

  test "another number, output or place is wrong", %{tmp_dir: cache} do
    keep(cache, "only")
    [[first | row] | rows] = right()

    wrong = [
      bert(:hidden_state, [[first + 3.0e-4 * max(1, abs(first)) | row] | rows]),
      bert(:hidden_state, Enum.reverse(right())),
      bert(:pooled_state, right()),
      bert(:nothing, right()),
      %{bert(:hidden_state, right()) | ask: likeliest(99)}
    ]

    output =
      capture_io(fn -> assert Hub.run(cache, wrong) == %{right: 0, wrong: 10, not_run: 0} end)

    assert output =~ "is published as"
  end

  test "tokens are generated and compared", %{tmp_dir: cache} do
    keep(cache, "only", "gpt2")
    tokens = List.flatten(reference("gpt2", "for_causal_language_modeling/tokens"))
    [ids | _] = reference("gpt2", "for_causal_language_modeling/in/input_ids")
    gpt2 = %{repository: @repository, architecture: :for_causal_language_modeling, ask: nil}
    ask = fn tokens -> %{gpt2 | ask: {:tokens, ids, tokens}} end

    capture_io(fn ->
      assert Hub.run(cache, [ask.(tokens)]) == %{right: 2, wrong: 0, not_run: 0}
      assert Hub.run(cache, [ask.(Enum.reverse(tokens))]) == %{right: 0, wrong: 2, not_run: 0}
    end)
  end

  test "text is continued by the model's own tokenizer and configuration, and compared", %{
    tmp_dir: cache
  } do
    snapshot = keep(cache, "only", "gpt2")
    File.write!(Path.join(snapshot, "tokenizer.json"), Tiny.tokenizer_json())
    File.write!(Path.join(snapshot, "generation_config.json"), ~s({"pad_token_id": 0}))
    File.write!(Path.join(snapshot, "special_tokens_map.json"), ~s({"eos_token": "<pad>"}))
    [tokens] = reference("gpt2", "for_causal_language_modeling/tokens")
    [ids | _] = reference("gpt2", "for_causal_language_modeling/in/input_ids")

    ask = fn text ->
      ask = {:continues, Tiny.text(ids), text}
      %{repository: @repository, architecture: :for_causal_language_modeling, ask: ask}
    end

    output =
      capture_io(fn ->
        assert Hub.run(cache, [ask.(Tiny.text(tokens))]) == %{right: 2, wrong: 0, not_run: 0}
        assert Hub.run(cache, [ask.("ba be bi")]) == %{right: 0, wrong: 2, not_run: 0}
      end)

    assert output =~ ~s(#{inspect(Tiny.text(tokens))} is published as "ba be bi")
  end

  test "questions are answered from a text, and compared", %{tmp_dir: cache} do
    snapshot = keep(cache, "only", "distilbert")
    words = %{0 => "[PAD]", 1 => "[CLS]", 2 => "[SEP]", 3 => "[UNK]", 4 => "[MASK]"}
    File.write!(Path.join(snapshot, "tokenizer.json"), asking(Tiny.tokenizer_json(words)))
    [question, context] = for tokens <- [30..34, 40..52], do: Tiny.text(Enum.to_list(tokens))

    answer =
      Nx.with_default_backend(Nx.BinaryBackend, fn ->
        {:ok, info} =
          Bumblebee.load_model({:local, snapshot},
            architecture: :for_question_answering,
            log_params_diff: false
          )

        {:ok, tokenizer} = Bumblebee.load_tokenizer({:local, snapshot})
        serving = Bumblebee.Text.question_answering(info, tokenizer)
        asked = Nx.Serving.run(serving, %{question: question, context: context})
        hd(asked.results).text
      end)

    ask = fn answer ->
      ask = {:answers, [{question, context, answer}]}
      %{repository: @repository, architecture: :for_question_answering, ask: ask}
    end

    output =
      capture_io(fn ->
        assert Hub.run(cache, [ask.(answer)]) == %{right: 2, wrong: 0, not_run: 0}
        assert Hub.run(cache, [ask.("none")]) == %{right: 0, wrong: 2, not_run: 0}
      end)

    assert output =~ ~s(#{inspect(answer)} is published as "none")
  end

  test "what is published is of four models that people use, and of tiny ones" do
    real = for %{repository: name} <- Published.all(), not (name =~ "tiny-random"), do: name

    assert Enum.uniq(real) == [
             "distilbert/distilbert-base-uncased-distilled-squad",
             "google/vit-base-patch16-224",
             "openai/whisper-tiny",
             "Qwen/Qwen3-0.6B"
           ]

    for %{ask: {:outputs, inputs, parts}} <- Published.all() do
      assert map_size(inputs.()) > 0
      assert parts != []
    end
  end

  # As the hub's libraries lay it out: files are links to blobs.
  defp keep(cache, revision, model \\ "bert") do
    repository = Path.join(cache, "models--somebody--tiny-bert")

    [snapshot, blobs] = [
      Path.join([repository, "snapshots", revision]),
      Path.join(repository, "blobs")
    ]

    Enum.each([snapshot, blobs], &File.mkdir_p!/1)

    for file <- ["config.json", "model.safetensors"] do
      blob = Path.join(blobs, "#{revision}-#{file}")
      File.cp!(Path.join([@slices, model, file]), blob)
      File.ln_s!(blob, Path.join(snapshot, file))
    end

    snapshot
  end

  # A question and a text as BERT has them, in one.
  defp asking(tokenizer) do
    part = fn name, type -> %{name => %{"id" => type, "type_id" => 0}} end
    [cls, sep] = for id <- ["[CLS]", "[SEP]"], do: part.("SpecialToken", id)
    [first, second] = for id <- ["A", "B"], do: part.("Sequence", id)

    template = %{
      "type" => "TemplateProcessing",
      "single" => [cls, first, sep],
      "pair" => [cls, first, sep, second, sep],
      "special_tokens" =>
        for {token, id} <- [{"[CLS]", 1}, {"[SEP]", 2}], into: %{} do
          {token, %{"id" => token, "ids" => [id], "tokens" => [token]}}
        end
    }

    tokenizer |> Jason.decode!() |> Map.put("post_processor", template) |> Jason.encode!()
  end

  defp name_main(cache, revision) do
    refs = Path.join(cache, "models--somebody--tiny-bert/refs")
    File.mkdir_p!(refs)
    File.write!(Path.join(refs, "main"), revision)
  end

  defp bert(output, values) do
    ask = {:outputs, &inputs/0, [{output, [0, 1..3, 1..3], values}]}
    %{repository: @repository, architecture: :base, ask: ask}
  end

  defp likeliest(place), do: {:likeliest, &inputs/0, {:hidden_state, [0, 1], place}}

  defp inputs do
    for name <- ["input_ids", "attention_mask"], into: %{} do
      {name, Nx.tensor(reference("bert", "base/in/#{name}"))}
    end
  end

  # As many digits as are published.
  defp right do
    [rows | _] = reference("bert", "base/f32/right/hidden_state")

    for row <- Enum.slice(rows, 1..3) do
      for number <- Enum.slice(row, 1..3), do: Float.round(number, 4)
    end
  end

  defp reference(model, key), do: Tiny.reference(model, key)
end
