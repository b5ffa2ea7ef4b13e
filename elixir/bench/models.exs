# Whole models through Bumblebee beside PyTorch and JAX, in one run: a row of JSON per case.
#
#     MIX_ENV=slices mix run bench/models.exs --python PYTHON [--rounds N] [--torchx DIR] minilm=FOLDER gpt2=FOLDER …
#
# Emily and bench/peers.py, which PYTHON runs, take turns, N times each. A row's `by` are medians in nanoseconds:
#
#   * `eager` - Nx's own evaluator, which traces at every call as `Axon.predict/3` does;
#   * `compiled` and `fast` - Emily.Compiler, without and with `fast: true`, traced once;
#   * `torch` and `jax` - what peers.py says;
#   * `torchx` - Nx's own evaluator on Torchx.Backend, where DIR has it, a folder of applications as _build/dev/lib.
#
# `ratio` is the fastest of Emily's over the fastest of the peers'; `tokens` are those that a call generates, if
# it does. Where the outputs are not the same it stops: figures of two computations cannot be compared.
#
#     MIX_ENV=slices mix run bench/models.exs loading FIRST FOLDER
#
# prints the bytes that loading the model in FOLDER needs at its peak, and the bytes of its weights. Linux only.

Code.require_file("turns.exs", __DIR__)

defmodule Emily.Bench.Cases do
  @moduledoc "What is timed: functions of parameters and inputs, with both. peers.py has the same inputs."

  alias Bumblebee.Text.{Generation, GenerationConfig}

  @tokens 64

  def of("minilm", folder) do
    model = load(folder, :base)

    for batch <- [1, 32] do
      title = "MiniLM, 128 tokens, batch of #{batch}"
      forward("batch_#{batch}", title, model, tokens({batch, 128}), :hidden_state)
    end
  end

  def of("gpt2", folder) do
    model = load(folder, :for_causal_language_modeling)
    prompt = tokens({1, 128})
    title = "GPT-2 small, #{@tokens} tokens after a prompt of 128"

    [
      forward("prefill", "GPT-2 small, prefill of 128 tokens", model, prompt, :logits),
      generation("decode", title, model, prompt)
    ]
  end

  def of("vit", folder) do
    model = load(folder, :base)
    inputs = %{"pixel_values" => wave({1, 224, 224, 3})}
    [forward("image", "ViT-base, one image", model, inputs, :hidden_state)]
  end

  def of("whisper", folder) do
    model = load(folder, :for_conditional_generation)
    inputs = %{"input_features" => wave({1, 3000, 80})}
    title = "whisper-base, encoder, 30 s"
    encoder = forward("encoder", title, model, inputs, :encoder_hidden_state)
    encoded = Nx.Defn.jit_apply(encoder.fun, encoder.args, compiler: Emily.Compiler)
    inputs = Map.put(inputs, "encoder_hidden_state", encoded)
    [encoder, generation("decode", "whisper-base, decoder, #{@tokens} tokens", model, inputs)]
  end

  def load(folder, architecture) do
    options = [architecture: architecture, log_params_diff: false]
    {:ok, info} = Bumblebee.load_model({:local, folder}, options)
    info
  end

  defp forward(name, title, model, inputs, output) do
    {_init, predict} = model.model |> Axon.nx(&Map.fetch!(&1, output)) |> Axon.build()
    %{name: name, title: title, tokens: nil, fun: predict, args: [model.params, inputs]}
  end

  # As many tokens whatever they are: none ends the text.
  defp generation(name, title, model, inputs) do
    settings = [max_new_tokens: @tokens, decoder_start_token_id: 0, pad_token_id: 0]
    config = Bumblebee.configure(GenerationConfig, settings)
    generate = Generation.build_generate(model.model, model.spec, config)
    fun = fn params, inputs -> generate.(params, inputs).token_ids end
    inputs = Map.put(inputs, "seed", Nx.tensor([0], type: :s64))
    %{name: name, title: title, tokens: @tokens, fun: fun, args: [model.params, inputs]}
  end

  defp tokens({_batch, _length} = shape) do
    ids = shape |> Nx.iota() |> Nx.multiply(37) |> Nx.remainder(1000)
    %{"input_ids" => ids, "attention_mask" => Nx.broadcast(1, shape)}
  end

  defp wave(shape), do: shape |> Nx.iota(type: :f32) |> Nx.remainder(1000) |> Nx.divide(1000)
end

defmodule Emily.Bench.Ours do
  @moduledoc "A case on Emily, timed."

  @doc "A call that is warm, and the checksum of what it gives."
  def warm(one, way) do
    call = call(one, way)
    result = Nx.backend_copy(call.(), Emily.Backend)
    {call, result |> Nx.abs() |> Nx.mean() |> Nx.to_number()}
  end

  defp call(one, "eager") do
    fn -> Emily.eval(Nx.Defn.jit_apply(one.fun, one.args, compiler: Nx.Defn.Evaluator)) end
  end

  # On the CPU a call of libtorch's returns when it is done.
  defp call(one, "torchx") do
    backend = {:"Elixir.Torchx.Backend", device: :cpu}
    args = Enum.map(one.args, &copied(&1, backend))

    fn ->
      Nx.with_default_backend(backend, fn ->
        Nx.Defn.jit_apply(one.fun, args, compiler: Nx.Defn.Evaluator)
      end)
    end
  end

  defp call(one, way) do
    options = [compiler: Emily.Compiler, fast: way == "fast"]
    compiled = Nx.Defn.compile(one.fun, one.args, options)
    fn -> Emily.eval(apply(compiled, one.args)) end
  end

  defp copied(%Axon.ModelState{} = state, backend) do
    %{state | data: copied(state.data, backend)}
  end

  defp copied(container, backend) do
    Nx.Defn.Composite.traverse(container, &Nx.backend_copy(&1, backend))
  end
end

defmodule Emily.Bench.Models do
  alias Emily.Bench.{Cases, Ours, Peers, Turns}

  # Programs that only round differently agree in six digits; the least of the mistakes tried, GELU's
  # approximation in MiniLM, shows in the fourth.
  @agreement 1.0e-4

  def main(["loading", first, folder]), do: loading(first, folder)

  def main(argv) do
    {options, models} =
      OptionParser.parse!(argv, strict: [python: :string, rounds: :integer, torchx: :string])

    python = Keyword.fetch!(options, :python)
    torchx = options[:torchx] && torchx!(options[:torchx])

    for model <- models do
      [name, folder] = String.split(model, "=", parts: 2)
      port = Peers.open(python, name, folder)
      nx_peers = List.wrap(torchx)

      for one <- Cases.of(name, folder),
          do: one |> row(port, nx_peers, options[:rounds] || 5) |> Turns.print()

      Port.close(port)
    end
  end

  defp torchx!(folder) do
    [folder, "*", "ebin"] |> Path.join() |> Path.wildcard() |> Enum.each(&Code.append_path/1)
    {:ok, _applications} = Application.ensure_all_started(:torchx)
    "torchx"
  end

  defp row(one, port, nx_peers, rounds) do
    ours = on_nx(one, ["eager", "compiled", "fast"])
    peers = Peers.ways(port, one.name) ++ on_nx(one, nx_peers)
    Turns.agree!(one.title, ours ++ peers, @agreement)
    medians = Turns.medians(ours ++ peers, rounds)
    ratio = Turns.fastest(medians, ours) / Turns.fastest(medians, peers)
    %{name: one.title, tokens: one.tokens, by: medians, ratio: ratio, bar: 1.0}
  end

  defp on_nx(one, ways) do
    for way <- ways do
      {call, checksum} = Ours.warm(one, way)
      {way, fn -> Turns.time(call) end, checksum}
    end
  end

  # The first model loads the code.
  defp loading(first, folder) do
    Cases.load(first, :base)
    Enum.each(Process.list(), &:erlang.garbage_collect/1)
    # Sets the peak back to what is resident now.
    File.write!("/proc/self/clear_refs", "5")
    before = peak()
    info = Cases.load(folder, :base)
    IO.puts("#{peak() - before} #{bytes(info.params.data)}")
  end

  defp peak do
    [_, kibibytes] = Regex.run(~r/VmHWM:\s+(\d+) kB/, File.read!("/proc/self/status"))
    String.to_integer(kibibytes) * 1024
  end

  defp bytes(layers) do
    for {_layer, parameters} <- layers, {_name, tensor} <- parameters, reduce: 0 do
      bytes -> bytes + Nx.byte_size(tensor)
    end
  end
end

Nx.global_default_backend(Emily.Backend)
Emily.Bench.Models.main(System.argv())
