# One model, an Emily.Stream per process: several processes compute at the same time, with weights that are in
# memory once.
#
#     MIX_ENV=slices mix run examples/serving_streams.exs FOLDER
#
# FOLDER holds all-MiniLM-L6-v2: config.json, model.safetensors, tokenizer.json.

[folder] = System.argv()
Nx.global_default_backend(Emily.Backend)

{:ok, model} = Bumblebee.load_model({:local, folder})
{:ok, tokenizer} = Bumblebee.load_tokenizer({:local, folder})
weights = Emily.Memory.stats().active

serving =
  Bumblebee.Text.text_embedding(model, tokenizer,
    output_attribute: :hidden_state,
    output_pool: :mean_pooling,
    embedding_processor: :l2_norm,
    defn_options: [compiler: Emily.Compiler]
  )

# `run/2` computes in the process that calls it, and so on its stream.
answer = fn texts ->
  stream = Emily.Stream.new()

  embeddings =
    Emily.Stream.with_stream(stream, fn ->
      for text <- texts, do: Nx.Serving.run(serving, text).embedding
    end)

  Emily.Stream.close(stream)
  embeddings
end

texts = for n <- 1..32, do: "Sentence number #{n} of a long list."
[alone | _others] = answer.([hd(texts)])
Emily.Memory.reset_peak()

{micros, embeddings} =
  :timer.tc(fn ->
    texts
    |> Enum.chunk_every(8)
    |> Enum.map(&Task.async(fn -> answer.(&1) end))
    |> Task.await_many(60_000)
    |> Enum.concat()
  end)

%{peak: peak} = Emily.Memory.stats()
mega = fn bytes -> Float.round(bytes / 1.0e6, 1) end
IO.puts("4 processes, #{length(embeddings)} sentences, #{div(micros, 1000)} ms")
IO.puts("weights: #{mega.(weights)} MB; the most in use at any time: #{mega.(peak)} MB")

if peak >= 2 * weights, do: raise("the weights are there more than once")
if Nx.to_list(hd(embeddings)) != Nx.to_list(alone), do: raise("a stream changed the answer")
