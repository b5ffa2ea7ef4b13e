defmodule Emily.Models.MiniLM do
  @moduledoc """
  all-MiniLM-L6-v2, which makes sentences into vectors of 384 numbers, from the folder that `EMILY_MINILM`
  names; and a hundred sentences with what Transformers answers.
  """

  import Emily.Rewriting, only: [largest: 1, unit: 1]

  alias Emily.Models.Bound

  @doc "The model on `Emily.Backend`, with its tokenizer. Options are those of `Bumblebee.load_model/2`."
  @spec load(keyword()) :: %{info: map(), tokenizer: struct()}
  def load(opts \\ []) do
    Nx.with_default_backend(Emily.Backend, fn ->
      {:ok, info} = Bumblebee.load_model({:local, folder()}, opts)
      {:ok, tokenizer} = Bumblebee.load_tokenizer({:local, folder()})
      %{info: info, tokenizer: tokenizer}
    end)
  end

  @doc "The bytes of a model's parameters."
  @spec bytes(%{info: map()}) :: pos_integer()
  def bytes(model) do
    Emily.Models.Quantised.bytes(model.info.params)
  end

  @doc """
  A serving that embeds sentences under Emily.Compiler. Options are those of Bumblebee's: without `:compile`
  it takes sentences of any length, and does not batch those of different ones.
  """
  @spec serving(map(), keyword()) :: Nx.Serving.t()
  def serving(model, opts \\ []) do
    Bumblebee.Text.text_embedding(
      model.info,
      model.tokenizer,
      [
        output_pool: :mean_pooling,
        output_attribute: :hidden_state,
        embedding_processor: :l2_norm,
        defn_options: [compiler: Emily.Compiler]
      ] ++ opts
    )
  end

  @doc "Starts a process that loads the model and serves it in batches, for a caller that goes away."
  @spec start_unlinked(atom(), keyword()) :: pid()
  def start_unlinked(name, compile) do
    serving = serving(load(), compile: compile)
    {:ok, pid} = Nx.Serving.start_link(serving: serving, name: name, batch_timeout: 5)
    Process.unlink(pid)
    pid
  end

  @doc "The sentences, each with the embedding that Transformers computes in f64, as a list."
  @spec sentences() :: [{String.t(), [float()]}]
  def sentences do
    head = folder() |> Path.join("slices.json") |> File.read!() |> Jason.decode!()
    Enum.zip(head["base"]["texts"], Nx.to_list(answers("right")))
  end

  @doc """
  How far an element of an embedding in a type may be from what is right. Transformers' own answer is in f32; what
  rounding makes in another type is as many times as large as a rounding is.
  """
  @spec allowed(Nx.Type.t()) :: float()
  def allowed(type \\ {:f, 32}) do
    [right, rounded] = Enum.map(["right", "rounded"], &answers/1)
    spread = Bound.spread(right, rounded) * unit(type) / unit({:f, 32})
    Bound.allowed(:recomposed, type) * spread * largest(right)
  end

  @doc "The largest difference of two lists' elements."
  @spec distance([float()], [float()]) :: float()
  def distance(a, b), do: Enum.zip_with(a, b, &abs(&1 - &2)) |> Enum.max()

  defp answers(kind) do
    Nx.with_default_backend(Nx.BinaryBackend, fn ->
      tensors = Safetensors.read!(Path.join(folder(), "slices.safetensors"))
      tensors["base/f32/#{kind}/embedding"]
    end)
  end

  defp folder, do: System.fetch_env!("EMILY_MINILM")
end
