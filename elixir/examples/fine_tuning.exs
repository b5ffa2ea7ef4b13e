# MiniLM is fine-tuned by low-rank adapters (LoRA) to tell who does it, a person to an animal or an animal to
# a person: its embeddings tell what a sentence is about, and hardly that.
#
#     MIX_ENV=slices mix run examples/fine_tuning.exs FOLDER
#
# FOLDER holds all-MiniLM-L6-v2: config.json, model.safetensors, tokenizer.json. Beside this file, support/ has the
# adapters, what is trained and the sentences.

for file <- ["adapters", "fine_tuning", "roles"],
    do: Code.require_file("support/#{file}.ex", __DIR__)

alias Example.{Adapters, FineTuning, Roles}

[folder] = System.argv()
Nx.global_default_backend(Emily.Backend)
Nx.Defn.global_default_options(compiler: Emily.Compiler)

{:ok, %{model: model, params: base}} = Bumblebee.load_model({:local, folder})
{:ok, tokenizer} = Bumblebee.load_tokenizer({:local, folder})

# Beside each block's query and value: their kernels W act as W + 2·A·B, and A and B are of rank 4.
{rank, scale} = {4, 2.0}
plain = FineTuning.embedding(model)
adapted = model |> Adapters.add([".query", ".value"], rank, scale) |> FineTuning.embedding()

batches =
  for batch <- Enum.chunk_every(Roles.seen(), 16), do: FineTuning.encode(tokenizer, batch)

trained =
  adapted
  |> Adapters.frozen(base, 7)
  |> Axon.Loop.trainer(&FineTuning.loss/2, Polaris.Optimizers.adam(learning_rate: 5.0e-3), log: 1)
  |> Axon.Loop.run(batches, base, epochs: 6)

IO.inspect(trained)

# As fast as the model was, and what any serving takes.
merged = Adapters.merge(base, trained, scale)

[seen, held_out] =
  for texts <- [Roles.seen(), Roles.held_out()], do: FineTuning.encode(tokenizer, texts)

[before, later] =
  for params <- [base, merged], do: FineTuning.accuracy(plain, params, seen, held_out)

IO.puts("#{before} % of unseen sentences right before, #{later} % after")
if later < 90, do: raise("it gets 90 % of them")
