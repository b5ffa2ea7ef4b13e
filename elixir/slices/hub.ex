defmodule Emily.Conformance.Slices.Hub do
  @moduledoc """
  Public checkpoints, from Hugging Face's cache on this machine, held against what is published of their outputs:
  `cargo xtask slices --hub`. Nothing is downloaded.

  A checkpoint is a map: its `:repository` on the hub, the `:architecture` that Bumblebee is to load, and `:ask`:

    * `{:outputs, inputs, [{output, ranges, values}]}` - the parts of the outputs that the ranges leave are the
      values; `inputs` is a function, so that they are made where they are used;
    * `{:likeliest, inputs, {output, ranges, index}}` - the same of the place of the largest element;
    * `{:tokens, ids, tokens}` - the likeliest tokens, one after the other, after these;
    * `{:answers, [{question, context, answer}]}` - the answers that a text gives to questions;
    * `{:continues, prompt, text}` - the likeliest text after the prompt, of 32 tokens.
  """

  alias Bumblebee.Text
  alias Emily.Conformance
  alias Emily.Conformance.Slices

  @lanes [eager: Nx.Defn.Evaluator, compiled: Emily.Compiler]

  # Published to four digits, and for this tolerance, absolute and relative.
  @tolerance 1.0e-4

  @type checkpoint :: %{repository: String.t(), architecture: atom(), ask: tuple()}

  @doc "Runs what the cache has and prints a line for each; exits with 1 where an answer is wrong."
  @spec main() :: :ok
  def main do
    counts = run(cache(), Slices.Published.all())
    if counts.wrong > 0, do: System.halt(1), else: :ok
  end

  @doc "Where the hub's own libraries keep what they download, by the variables that they read."
  @spec cache(%{String.t() => String.t()}) :: Path.t()
  def cache(environment \\ System.get_env()) do
    home = fn -> Path.expand(environment["XDG_CACHE_HOME"] || "~/.cache") end

    environment["HF_HUB_CACHE"] ||
      Path.join(environment["HF_HOME"] || Path.join(home.(), "huggingface"), "hub")
  end

  @doc "The folder of a repository's files in a cache, with weights and what else is needed; or why there is none."
  @spec snapshot(Path.t(), String.t(), [String.t()]) :: {:ok, Path.t()} | {:error, String.t()}
  def snapshot(cache, repository, needed \\ ["config.json"]) do
    folder = Path.join(cache, "models--" <> String.replace(repository, "/", "--"))

    revisions =
      case File.read(Path.join(folder, "refs/main")) do
        {:ok, revision} -> [Path.join([folder, "snapshots", String.trim(revision)])]
        {:error, _} -> Path.wildcard(Path.join(folder, "snapshots/*"))
      end

    case revisions do
      [] -> {:error, "#{cache} has it not; `hf download #{repository}` fetches it"}
      [snapshot] -> complete(snapshot, needed)
      _several -> {:error, "#{folder} has several revisions, and none is named main"}
    end
  end

  # Links to files that are gone are not there either.
  defp complete(snapshot, needed) do
    missing = Enum.reject(needed, &File.regular?(Path.join(snapshot, &1)))
    weights = Path.wildcard(Path.join(snapshot, "*.{safetensors,bin}"))

    cond do
      missing != [] -> {:error, "#{snapshot} has no #{Enum.join(missing, " and no ")}"}
      not Enum.any?(weights, &File.regular?/1) -> {:error, "#{snapshot} has no weights"}
      true -> {:ok, snapshot}
    end
  end

  defp needed({:answers, _questions}), do: ["config.json", "tokenizer.json"]

  defp needed({:continues, _prompt, _text}),
    do: ["config.json", "generation_config.json", "tokenizer.json"]

  defp needed(_ask), do: ["config.json"]

  @doc "Asks the checkpoints that are in the cache, eagerly and compiled; prints and counts."
  @spec run(Path.t(), [checkpoint()]) :: %{atom() => non_neg_integer()}
  def run(cache, checkpoints) do
    verdicts =
      for checkpoint <- checkpoints, {title, verdict} <- verdicts(cache, checkpoint) do
        IO.puts(line(title, verdict))
        elem(verdict, 0)
      end

    counts = Map.merge(%{right: 0, wrong: 0, not_run: 0}, Enum.frequencies(verdicts))
    IO.puts("#{counts.right} right, #{counts.wrong} wrong, #{counts.not_run} not run")
    counts
  end

  defp verdicts(cache, checkpoint) do
    title = "#{checkpoint.repository} #{checkpoint.architecture} #{elem(checkpoint.ask, 0)}"

    case snapshot(cache, checkpoint.repository, needed(checkpoint.ask)) do
      {:ok, folder} ->
        for {lane, compiler} <- @lanes,
            do: {"#{title} #{lane}", verdict(folder, checkpoint, compiler)}

      {:error, reason} ->
        [{title, {:not_run, reason}}]
    end
  end

  defp line(title, {:right, _}), do: "right    #{title}"
  defp line(title, {:wrong, reason}), do: "WRONG    #{title}: #{reason}"
  defp line(title, {:not_run, reason}), do: "not run  #{title}: #{reason}"

  defp verdict(folder, checkpoint, compiler) do
    on_emily(checkpoint.repository, fn ->
      case Enum.find_value(answers(folder, checkpoint, compiler), &difference/1) do
        nil -> {:right, nil}
        difference -> {:wrong, difference}
      end
    end)
  rescue
    error -> {:wrong, Exception.message(error)}
  end

  # What no native operation computes is an error.
  defp on_emily(name, fun) do
    Conformance.Nx.on({:peer, {Emily.Backend, device: :cpu}}, :cpu, fn ->
      Conformance.Nx.native(name, fun)
    end)
  end

  # What was found, with what is published.
  defp answers(folder, %{ask: {:outputs, inputs, parts}} = checkpoint, compiler) do
    outputs = predict(folder, checkpoint, inputs.(), compiler)

    for {output, ranges, values} <- parts,
        do: {Map.fetch!(outputs, output)[ranges], Nx.tensor(values)}
  end

  defp answers(folder, %{ask: {:likeliest, inputs, {output, ranges, index}}} = one, compiler) do
    outputs = predict(folder, one, inputs.(), compiler)

    [
      {outputs
       |> Map.fetch!(output)
       |> then(& &1[ranges])
       |> Nx.flatten()
       |> Nx.argmax()
       |> Nx.to_number(), index}
    ]
  end

  defp answers(folder, %{ask: {:tokens, ids, tokens}} = checkpoint, compiler) do
    info = load(folder, checkpoint)

    inputs = %{
      "input_ids" => Nx.tensor([ids]),
      "attention_mask" => Nx.broadcast(1, {1, length(ids)})
    }

    config = %{generates: [max_new_tokens: length(tokens), pad_token_id: 0]}
    {generate, args} = Slices.generation(Map.merge(info, Map.put(config, :inputs, inputs)))
    found = Nx.Defn.jit_apply(generate, args, compiler: compiler).token_ids
    [{Nx.to_flat_list(found), tokens}]
  end

  defp answers(folder, %{ask: {:answers, questions}} = checkpoint, compiler) do
    serving =
      Text.question_answering(load(folder, checkpoint), tokenizer(folder),
        defn_options: [compiler: compiler]
      )

    for {question, context, answer} <- questions do
      %{results: [%{text: found} | _]} =
        Nx.Serving.run(serving, %{question: question, context: context})

      {found, answer}
    end
  end

  defp answers(folder, %{ask: {:continues, prompt, text}} = checkpoint, compiler) do
    {:ok, config} = Bumblebee.load_generation_config({:local, folder})
    config = Bumblebee.configure(config, max_new_tokens: 32, strategy: %{type: :greedy_search})

    serving =
      Text.generation(load(folder, checkpoint), tokenizer(folder), config,
        defn_options: [compiler: compiler]
      )

    %{results: [%{text: found}]} = Nx.Serving.run(serving, prompt)
    [{found, text}]
  end

  defp predict(folder, checkpoint, inputs, compiler) do
    info = load(folder, checkpoint)
    Axon.predict(info.model, info.params, inputs, compiler: compiler)
  end

  defp load(folder, %{architecture: architecture}) do
    {:ok, info} =
      Bumblebee.load_model({:local, folder}, architecture: architecture, log_params_diff: false)

    info
  end

  defp tokenizer(folder) do
    {:ok, tokenizer} = Bumblebee.load_tokenizer({:local, folder})
    tokenizer
  end

  defp difference({%Nx.Tensor{shape: shape} = found, %Nx.Tensor{shape: shape} = published}) do
    allowed = Nx.add(@tolerance, Nx.multiply(@tolerance, Nx.abs(published)))
    difference = Nx.abs(Nx.subtract(found, published))

    # A NaN is beyond whatever is allowed.
    if Nx.to_number(Nx.all(Nx.less_equal(difference, allowed))) == 0 do
      "#{inspect(Nx.to_flat_list(found))} is published as #{inspect(Nx.to_flat_list(published))}"
    end
  end

  defp difference({same, same}), do: nil

  defp difference({found, published}),
    do: "#{inspect(found)} is published as #{inspect(published)}"
end
