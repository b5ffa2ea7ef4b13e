# Several servings on the default worker: each has its weights and its batches, and they share the worker's queue.
#
#     MIX_ENV=slices mix run examples/serving_several.exs FOLDER
#
# FOLDER holds all-MiniLM-L6-v2: config.json, model.safetensors, tokenizer.json.

[folder] = System.argv()
Nx.global_default_backend(Emily.Backend)
{:ok, tokenizer} = Bumblebee.load_tokenizer({:local, folder})

# The same model exact and at half the memory: two small models as an application may have them.
children =
  for {name, type} <- [{Example.Exact, :f32}, {Example.Half, :bf16}] do
    {:ok, model} = Bumblebee.load_model({:local, folder}, type: type)

    serving =
      Bumblebee.Text.text_embedding(model, tokenizer,
        output_attribute: :hidden_state,
        output_pool: :mean_pooling,
        embedding_processor: :l2_norm,
        compile: [batch_size: 8, sequence_length: 16],
        defn_options: [compiler: Emily.Compiler]
      )

    options = [serving: serving, name: name, batch_timeout: 20]
    Supervisor.child_spec({Nx.Serving, options}, id: name)
  end

{:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)
texts = for n <- 1..16, do: "Sentence number #{n} of a long list."

[exact, half] =
  for name <- [Example.Exact, Example.Half] do
    Task.async(fn ->
      for %{embedding: embedding} <- Nx.Serving.batched_run(name, texts), do: embedding
    end)
  end
  |> Task.await_many(60_000)

IO.inspect(Emily.Telemetry.queue_depth(), label: "jobs that wait, by worker")
Supervisor.stop(supervisor)

cosines = for {a, b} <- Enum.zip(exact, half), do: Nx.to_number(Nx.dot(a, b))
IO.puts("least cosine of an embedding in f32 and in bf16: #{Float.round(Enum.min(cosines), 5)}")

if Enum.min(cosines) < 0.99, do: raise("half the memory is more than half the truth")
