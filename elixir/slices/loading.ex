defmodule Emily.Conformance.Slices.Loading do
  @moduledoc """
  A head of a model, as its folder describes it: fixtures/README.md says how.
  """

  alias Emily.Conformance.Slices.Mistake

  @doc "Loads the head at a dtype, with a mistake in it where one is asked for."
  @spec load(String.t(), String.t(), atom(), atom()) :: map()
  def load(folder, name, dtype, mistake) do
    head =
      folder |> Path.join("slices.json") |> File.read!() |> Jason.decode!() |> Map.fetch!(name)

    options = [type: dtype] ++ variant(head["variant"]) ++ Mistake.options(mistake)
    info = info(folder, head, options)

    texts = head["texts"] || []

    %{
      info: info,
      texts: texts,
      tokenizer: if(texts != [], do: tokenizer(folder)),
      model: info.model,
      spec: info.spec,
      params: info.params,
      inputs: inputs(folder, name),
      outputs: head["outputs"],
      generates: for({key, value} <- head["generates"] || %{}, do: {String.to_atom(key), value}),
      gradients: if(head["trains"], do: gradients(folder, head), else: [])
    }
    |> Mistake.make(mistake)
  end

  defp tokenizer(folder) do
    {:ok, tokenizer} = Bumblebee.load_tokenizer({:local, folder})
    tokenizer
  end

  defp variant(nil), do: []
  defp variant(name), do: [params_variant: name]

  defp info(folder, head, options) do
    {{:ok, info}, told} =
      told(fn ->
        architecture = String.to_atom(head["architecture"])
        options = [architecture: architecture, log_params_diff: true] ++ options
        Bumblebee.load_model({:local, folder}, options)
      end)

    check!("missing", listed(told, "missing"), head["missing"])
    check!("unused", listed(told, "unused"), head["unused"])
    info
  end

  defp check!(word, found, known) do
    if Enum.sort(found) != Enum.sort(known) do
      raise "parameters #{word} that should not be: #{inspect(found -- known)}; " <>
              "#{word} ones that are not: #{inspect(known -- found)}"
    end
  end

  # Bumblebee tells what was missing and what it did not use in its log alone.
  defp told(fun) do
    level = Logger.level()
    Logger.configure(level: :debug)
    :ok = :logger.add_handler(__MODULE__, __MODULE__, %{})

    try do
      {fun.(), heard([])}
    after
      :logger.remove_handler(__MODULE__)
      Logger.configure(level: level)
    end
  end

  @doc false
  # Handlers run in the process that logs.
  def log(%{msg: {:string, text}}, _config), do: send(self(), {__MODULE__, to_string(text)})
  def log(_event, _config), do: :ok

  defp heard(texts) do
    receive do
      {__MODULE__, text} -> heard([text | texts])
    after
      0 -> texts
    end
  end

  defp listed(texts, word) do
    for text <- texts,
        text =~ "were #{word}",
        "  * " <> name <- String.split(text, "\n"),
        do: name
  end

  defp inputs(folder, head) do
    file = Path.join(folder, "slices.safetensors")
    # There are answers in f64 beside the inputs.
    all = Nx.with_default_backend(Nx.BinaryBackend, fn -> Safetensors.read!(file) end)

    for {key, tensor} <- all,
        [^head, "in", name] <- [String.split(key, "/")],
        into: %{} do
      {name, Nx.backend_transfer(tensor)}
    end
  end

  # Transformers' gradients are checkpoints, so that Bumblebee lays them out as it does parameters.
  defp gradients(folder, head) do
    [right, rounded] =
      for kind <- ["gradients_right", "gradients_rounded"] do
        {:ok, info} =
          Bumblebee.load_model({:local, folder},
            architecture: String.to_atom(head["architecture"]),
            params_variant: kind,
            log_params_diff: false
          )

        info.params.data
      end

    tied = Enum.map(head["tied"], &path/1)

    single =
      for {layer, parameters} <- right,
          {name, _tensor} <- parameters,
          [layer, name] not in tied,
          do: [[layer, name]]

    for paths <- Enum.sort(Enum.reject([tied], &(&1 == [])) ++ single) do
      {paths, [get_in(right, hd(paths)), get_in(rounded, hd(paths))]}
    end
  end

  defp path(name) do
    {parameter, layer} = name |> String.split(".") |> List.pop_at(-1)
    [Enum.join(layer, "."), parameter]
  end
end
