# One serving on the default worker: whoever asks at the same time shares a batch.
#
#     MIX_ENV=slices mix run examples/serving_one.exs FOLDER
#
# FOLDER holds all-MiniLM-L6-v2: config.json, model.safetensors, tokenizer.json.

defmodule Example.Tally do
  def count(_event, _measurements, _metadata, counter), do: :counters.add(counter, 1, 1)
end

[folder] = System.argv()
Nx.global_default_backend(Emily.Backend)

{:ok, model} = Bumblebee.load_model({:local, folder})
{:ok, tokenizer} = Bumblebee.load_tokenizer({:local, folder})

# The lengths are those that texts are padded to; only texts of one length share a batch.
serving =
  Bumblebee.Text.text_embedding(model, tokenizer,
    output_attribute: :hidden_state,
    output_pool: :mean_pooling,
    embedding_processor: :l2_norm,
    compile: [batch_size: 8, sequence_length: [16, 64]],
    defn_options: [compiler: Emily.Compiler]
  )

# In an application, a child of its supervisor.
children = [{Nx.Serving, serving: serving, name: Example.Embeddings, batch_timeout: 20}]
{:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)

batches = :counters.new(1, [])
executed = [:nx, :serving, :execute, :start]
:telemetry.attach("batches", executed, &Example.Tally.count/4, batches)

subjects = ~w(cat dog piano violin river lake lawyer judge)
texts = for subject <- subjects, verb <- ~w(saw heard knew met), do: "We #{verb} the #{subject}."

{micros, embeddings} =
  :timer.tc(fn ->
    texts
    |> Enum.map(&Task.async(fn -> Nx.Serving.batched_run(Example.Embeddings, &1).embedding end))
    |> Task.await_many(60_000)
  end)

:telemetry.detach("batches")
Supervisor.stop(supervisor)
batches = :counters.get(batches, 1)
IO.puts("#{length(texts)} callers, #{batches} batches, #{div(micros, 1000)} ms")

# What is near in meaning is near in the space of embeddings.
[question | others] = Enum.zip(texts, embeddings)
nearness = fn {_text, embedding} -> Nx.to_number(Nx.dot(elem(question, 1), embedding)) end
{nearest, _embedding} = Enum.max_by(others, nearness)
IO.puts("nearest to #{inspect(elem(question, 0))}: #{inspect(nearest)}")

if batches >= length(texts), do: raise("the callers did not share batches")
if not String.contains?(nearest, "the cat"), do: raise("that is about something else")
