defmodule Emily.Models.ServingTest do
  @moduledoc """
  The three configurations of the README's table, with a real model.
  """

  use ExUnit.Case, async: false

  alias Emily.Models.{MiniLM, Usage}
  alias Emily.TestNode

  @moduletag :minilm

  # The sentences have 8 to 14 tokens.
  @compile_for [batch_size: 8, sequence_length: [11, 14]]

  # Longer than any test.
  @patience 60_000

  setup_all do
    %{model: MiniLM.load(), sentences: MiniLM.sentences(), allowed: MiniLM.allowed()}
  end

  describe "one serving, on the default worker" do
    test "callers at once share batches of their length, and each has its own answer", context do
      {short, long} = Enum.split_with(context.sentences, &(tokens(context.model, &1) <= 11))
      asked = Enum.take(short, 16) ++ Enum.take(long, 8)
      start_serving(context.model, batch_timeout: @patience)

      {answers, batches} = batches(fn -> ask_at_once(__MODULE__, Enum.shuffle(asked)) end)

      assert_right(answers, context)
      assert batches == List.duplicate({8, 384}, 3)
    end

    test "a caller is not kept for a batch to fill, nor held to its size", context do
      start_serving(context.model, batch_timeout: 1)

      for count <- [1, 20] do
        sentences = Enum.take(context.sentences, count)
        assert_right(Enum.zip(sentences, batched(__MODULE__, sentences)), context)
      end
    end

    test "in a batch a sentence means what it means alone", context do
      sentences = Enum.take(context.sentences, 6)
      alone = for {text, _right} <- sentences, do: run(MiniLM.serving(context.model), [text])
      together = run(MiniLM.serving(context.model), Enum.map(sentences, &elem(&1, 0)))

      for {[alone], together} <- Enum.zip(alone, together) do
        # Each is within what is allowed of the same right answer.
        assert MiniLM.distance(alone, together) <= 2 * context.allowed
      end
    end

    test "answers are streamed, batch by batch", context do
      texts = for {text, _right} <- Enum.take(context.sentences, 20), do: text
      whole = context.model |> serving() |> run(texts)

      streaming =
        context.model
        |> serving()
        |> Nx.Serving.client_postprocessing(fn stream, _info ->
          Stream.map(stream, fn {:batch, embeddings, _metadata} -> Nx.to_list(embeddings) end)
        end)
        |> Nx.Serving.streaming()

      start_supervised!({Nx.Serving, serving: streaming, name: __MODULE__, batch_timeout: 1})
      pieces = __MODULE__ |> Nx.Serving.batched_run(texts) |> Enum.to_list()
      assert Enum.map(pieces, &length/1) == [8, 8, 4]
      assert Enum.concat(pieces) == whole
    end

    test "what happens inside is streamed by hooks", context do
      {_init, predict} = Axon.build(context.model.info.model)

      mean = fn params, inputs ->
        predict.(params, inputs).hidden_state
        |> Nx.Defn.Kernel.hook(:hidden_state)
        |> Nx.mean(axes: [1])
      end

      serving =
        fn opts -> &Nx.Defn.jit(mean, opts).(context.model.info.params, &1) end
        |> Nx.Serving.new(compiler: Emily.Compiler)
        |> Nx.Serving.streaming(hooks: [:hidden_state])

      start_supervised!({Nx.Serving, serving: serving, name: __MODULE__, batch_size: 8})
      inputs = Bumblebee.apply_tokenizer(context.model.tokenizer, ["One cat.", "Another cat."])
      events = __MODULE__ |> Nx.Serving.batched_run(Nx.Batch.concatenate([inputs]))

      assert [{:hidden_state, hidden}, {:batch, mean, _metadata}] = Enum.to_list(events)
      assert {2, _length, 384} = hidden.shape
      assert Nx.to_list(Nx.mean(hidden, axes: [1])) == Nx.to_list(mean)
    end

    # A request is in memory as tokens until its batch's turn comes. Of batches, of 8 at most, one runs and one is
    # ready: a few have one of 8 and one of 4, so that two of 8 are less than twice as much.
    test "however many ask, all are answered, once, in the memory that a few need", context do
      start_serving(context.model, batch_timeout: 5)
      few = Enum.take(context.sentences, 12)
      few = Usage.peak(fn -> assert_right(ask_at_once(__MODULE__, few), context) end)

      many =
        Usage.peak(fn -> assert_right(ask_at_once(__MODULE__, context.sentences), context) end)

      assert many <= 2 * few
    end

    test "a stream of requests is read no faster than it is answered", context do
      [read, answered] = for _count <- 1..2, do: :counters.new(1, [])
      id = make_ref()
      :ok = :telemetry.attach(id, [:emily, :to_binary, :stop], &__MODULE__.count/4, answered)

      serving =
        context.model
        |> serving()
        |> Nx.Serving.client_preprocessing(fn batches -> {batches, :none} end)
        |> Nx.Serving.client_postprocessing(fn stream, :none -> stream end)
        |> Nx.Serving.streaming()

      start_supervised!({Nx.Serving, serving: serving, name: __MODULE__, batch_timeout: 1})

      # One batch is on the device, the next is ready.
      batches =
        context.sentences
        |> Stream.chunk_every(8)
        |> Stream.map(fn sentences ->
          :counters.add(read, 1, 1)
          assert :counters.get(read, 1) - :counters.get(answered, 1) <= 2
          batch(context.model, sentences)
        end)

      answers =
        for {:batch, embeddings, _} <- Nx.Serving.batched_run(__MODULE__, batches),
            embedding <- Nx.to_list(embeddings),
            do: embedding

      :telemetry.detach(id)
      assert_right(Enum.zip(context.sentences, answers), context)
    end

    test "callers that are killed while they wait take no one's answer with them", context do
      start_serving(context.model, batch_timeout: 5)
      before = Usage.settled()
      {doomed, others} = Enum.split(context.sentences, 50)

      killed =
        for {text, _right} <- doomed do
          spawn(fn -> Nx.Serving.batched_run(__MODULE__, text) end)
        end

      answers = Task.async(fn -> ask_at_once(__MODULE__, others) end)
      Enum.each(killed, &Process.exit(&1, :kill))
      assert_right(Task.await(answers, @patience), context)
      assert Usage.settles_at?(before)
    end

    test "a serving on another node answers callers here", context do
      node = TestNode.start_connected()
      {:ok, _apps} = :erpc.call(node, Application, :ensure_all_started, [:bumblebee])
      :erpc.call(node, MiniLM, :start_unlinked, [__MODULE__, @compile_for])

      assert Emily.Eventually.eventually(
               fn -> :pg.get_members(Nx.Serving.PG, __MODULE__) != [] end,
               200
             )

      sentences = Enum.take(context.sentences, 20)
      assert_right(ask_at_once({:distributed, __MODULE__}, sentences), context)
    end
  end

  describe "one model, a stream per process" do
    test "each process has its own answers, and the weights are in memory once", context do
      before = Usage.settled()
      weights = MiniLM.bytes(context.model)
      serving = MiniLM.serving(context.model)

      most =
        Usage.peak(fn ->
          context.sentences
          |> Enum.take(32)
          |> Enum.chunk_every(8)
          |> Enum.map(&Task.async(fn -> on_a_stream(serving, &1) end))
          |> Task.await_many(@patience)
          |> Enum.concat()
          |> assert_right(context)
        end)

      # A copy of the weights, in any process, would be seen.
      assert most < weights
      assert Usage.settles_at?(before)
    end

    test "streams go to threads of their own, and the default worker stays idle", context do
      default = Emily.MlxStream.Default.worker()
      serving = MiniLM.serving(context.model)
      [{text, _right} | _rest] = context.sentences

      workers =
        for _process <- 1..2 do
          Task.async(fn ->
            stream = Emily.Stream.new()
            Emily.Stream.with_stream(stream, fn -> Nx.Serving.run(serving, text) end)
            stream.lane.worker
          end)
        end
        |> Task.await_many(@patience)

      assert length(Enum.uniq([default | workers])) == 3
    end
  end

  describe "several servings" do
    test "each has weights of its own, and they share the default worker's queue", context do
      before = Usage.settled()
      queues = Map.keys(Emily.Telemetry.queue_depth())
      half = MiniLM.load(type: :bf16)
      assert MiniLM.bytes(half) == div(MiniLM.bytes(context.model), 2)
      # MLX may give a tensor a buffer that was freed and is larger, but less than twice as large.
      assert Usage.settled() in (before + MiniLM.bytes(half))..(before + 2 * MiniLM.bytes(half) -
                                                                  1)

      for {model, name} <- [{context.model, name(:exact)}, {half, name(:half)}] do
        options = [serving: serving(model), name: name, batch_timeout: 5]
        start_supervised!(Supervisor.child_spec({Nx.Serving, options}, id: name))
      end

      sentences = Enum.take(context.sentences, 16)

      [exact, rough] =
        [name(:exact), name(:half)]
        |> Enum.map(fn name -> Task.async(fn -> ask_at_once(name, sentences) end) end)
        |> Task.await_many(@patience)

      assert_right(exact, context)
      assert Map.keys(Emily.Telemetry.queue_depth()) == queues

      assert_right(rough, %{allowed: MiniLM.allowed({:bf, 16})})
    end
  end

  defp name(name), do: Module.concat(__MODULE__, name)

  defp serving(model) do
    MiniLM.serving(model, compile: @compile_for)
  end

  defp start_serving(model, opts) do
    start_supervised!({Nx.Serving, [serving: serving(model), name: __MODULE__] ++ opts})
  end

  defp tokens(model, {text, _right}) do
    inputs = Bumblebee.apply_tokenizer(model.tokenizer, text)
    Nx.axis_size(inputs["input_ids"], 1)
  end

  defp batch(model, sentences) do
    tokenizer = Bumblebee.configure(model.tokenizer, length: 14, return_token_type_ids: false)
    texts = for {text, _right} <- sentences, do: text
    inputs = Bumblebee.apply_tokenizer(tokenizer, texts)
    [inputs] |> Nx.Batch.concatenate() |> Nx.Batch.key({:sequence_length, 14})
  end

  defp run(serving, texts) do
    for %{embedding: embedding} <- Nx.Serving.run(serving, texts), do: Nx.to_list(embedding)
  end

  defp batched(name, sentences) do
    texts = for {text, _right} <- sentences, do: text
    for %{embedding: vector} <- Nx.Serving.batched_run(name, texts), do: Nx.to_list(vector)
  end

  # Each sentence by a process of its own, all of them waiting at the same time.
  defp ask_at_once(name, sentences) do
    sentences
    |> Enum.map(fn {text, _right} = sentence ->
      Task.async(fn ->
        %{embedding: embedding} = Nx.Serving.batched_run(name, text)
        # No answer comes twice.
        assert Process.info(self(), :messages) == {:messages, []}
        {sentence, Nx.to_list(embedding)}
      end)
    end)
    |> Task.await_many(@patience)
  end

  defp on_a_stream(serving, sentences) do
    stream = Emily.Stream.new()

    answers =
      Emily.Stream.with_stream(stream, fn ->
        for {text, _right} = sentence <- sentences, do: {sentence, hd(run(serving, [text]))}
      end)

    :ok = Emily.Stream.close(stream)
    answers
  end

  defp assert_right(answers, %{allowed: allowed}) do
    for {{text, right}, answer} <- answers do
      assert MiniLM.distance(right, answer) <= allowed, text
    end
  end

  # What a function gives, and the shapes of the batches of embeddings that were read meanwhile.
  defp batches(fun) do
    id = make_ref()
    event = [:emily, :to_binary, :stop]
    :ok = :telemetry.attach(id, event, &__MODULE__.tell/4, {self(), id})
    result = fun.()
    :telemetry.detach(id)
    {result, told(id)}
  end

  @doc false
  def tell(_event, _measurements, metadata, {test, id}), do: send(test, {id, metadata.shape})

  @doc false
  def count(_event, _measurements, _metadata, counter), do: :counters.add(counter, 1, 1)

  defp told(id) do
    receive do
      {^id, shape} -> [shape | told(id)]
    after
      0 -> []
    end
  end
end
