defmodule Emily.Models.AdaptersTest do
  @moduledoc """
  MiniLM learns by low-rank adapters what its embeddings do not tell, natively.
  """

  use ExUnit.Case, async: false

  import Emily.Rewriting, only: [distance: 2]

  alias Emily.Defaults
  alias Emily.Models.Bound
  alias Example.{Adapters, FineTuning, Roles}

  @moduletag :minilm
  @moduletag timeout: 300_000

  # f64 for the bounds alone: parameters are f32.
  @emily {Emily.Backend, device: :cpu, f64: true}
  @rank 4
  @scale 2.0
  @blocks 6
  @size 384

  setup_all do
    Defaults.native_only()
    Nx.default_backend(@emily)
    Nx.Defn.default_options(compiler: Emily.Compiler)
    folder = {:local, System.fetch_env!("EMILY_MINILM")}
    {:ok, %{model: model, params: base}} = Bumblebee.load_model(folder)
    {:ok, tokenizer} = Bumblebee.load_tokenizer(folder)
    adapted = Adapters.add(model, [".query", ".value"], @rank, @scale)

    context = %{
      base: base,
      plain: FineTuning.embedding(model),
      adapted: FineTuning.embedding(adapted),
      seen: FineTuning.encode(tokenizer, Roles.seen()),
      held_out: FineTuning.encode(tokenizer, Roles.held_out()),
      batches:
        for(batch <- Enum.chunk_every(Roles.seen(), 16), do: FineTuning.encode(tokenizer, batch))
    }

    before = bytes(base.data)
    step = train(context)
    {:ok, Map.merge(context, %{before: before, step: step, trained: step.model_state})}
  end

  setup do
    Defaults.set(@emily, compiler: Emily.Compiler)
  end

  test "an adapter that was not trained changes nothing", context do
    {init, predict} = Axon.build(context.adapted, seed: 7)
    {inputs, _} = context.held_out
    found = predict.(init.(inputs, context.base), inputs)
    assert Nx.to_binary(found) == Nx.to_binary(Axon.predict(context.plain, context.base, inputs))
  end

  test "adapters that would go nowhere are refused" do
    model = Axon.input("x", shape: {nil, 3}) |> Axon.dense(2, name: "query")

    assert_raise ArgumentError, ~r/no dense layer's name ends in one of \["kwery"\]/, fn ->
      Adapters.add(model, ["kwery"], 4, 1.0)
    end
  end

  test "unseen sentences are classified right, which were not before", context do
    %{seen: seen, held_out: held_out} = context
    assert FineTuning.accuracy(context.plain, context.base, seen, held_out) <= 60.0
    assert FineTuning.accuracy(context.adapted, context.trained, seen, held_out) >= 90.0
  end

  test "what is trained is the adapters alone", context do
    count = 2 * @blocks * @rank * (@size + @size)
    assert context.trained |> Axon.ModelState.trainable_parameters() |> size() == count

    # Adam's two moments of each, the count of its steps, and the learning rate.
    {rate, moments} = context.step.optimizer_state
    assert size(moments.mu) == count
    assert size(moments.nu) == count
    assert Map.keys(moments) == [:count, :mu, :nu]
    assert Map.keys(rate) == [:scale]
  end

  test "the model's own parameters are as they were, to the bit", context do
    assert bytes(context.base.data) == context.before
    assert bytes(Map.take(context.trained.data, Map.keys(context.base.data))) == context.before
  end

  # Merging rounds a kernel's elements once more, on their way into a product's sums.
  test "merged parameters answer as the adapters", %{base: base, trained: trained} = context do
    {inputs, _} = context.held_out
    right = Axon.predict(context.adapted, wide(trained), inputs)
    rounded = Axon.predict(context.adapted, trained, inputs)

    merged = Axon.predict(context.plain, Adapters.merge(base, trained, @scale), inputs)
    assert Bound.within?(merged, :reordered, right, rounded)
    refute Bound.within?(Axon.predict(context.plain, base, inputs), :reordered, right, rounded)

    # In f64 the same roundings are smaller by 2^29.
    merged =
      Axon.predict(context.plain, Adapters.merge(wide(base), wide(trained), @scale), inputs)

    assert distance(merged, right) <=
             Bound.distance_allowed(:reordered, right, rounded) * 2.0 ** -29
  end

  defp train(context) do
    context.adapted
    |> Adapters.frozen(context.base, 7)
    |> Axon.Loop.trainer(&FineTuning.loss/2, Polaris.Optimizers.adam(learning_rate: 5.0e-3),
      log: 0
    )
    |> Map.put(:output_transform, & &1.step_state)
    |> Axon.Loop.run(context.batches, context.base, epochs: 6)
  end

  defp wide(%Axon.ModelState{} = state), do: %{state | data: wide(state.data)}
  defp wide(container), do: Nx.Defn.Composite.traverse(container, &Nx.as_type(&1, :f64))

  defp tensors(container), do: Nx.Defn.Composite.flatten_list([container])
  defp size(container), do: container |> tensors() |> Enum.map(&Nx.size/1) |> Enum.sum()
  defp bytes(container), do: container |> tensors() |> Enum.map(&Nx.to_binary/1)
end
