defmodule Emily.Models.Tiny do
  @moduledoc """
  The tiny models of `fixtures/slices`, which know 96 tokens, and words for these tokens: a space parts two.
  """

  alias Bumblebee.Text.GenerationConfig
  alias Bumblebee.Text.PreTrainedTokenizer
  alias Tokenizers.Tokenizer

  @fixtures Path.expand("../../../fixtures/slices", __DIR__)

  # Token 0 pads, and each of the others is a syllable.
  @pad "<pad>"
  @syllables for consonant <- ~w(b c d f g h j k l m n p q r s t v w z),
                 vowel <- ~w(a e i o u),
                 do: consonant <> vowel

  @doc "What `Bumblebee.load_model/2` gives of a folder's architecture, with these options of its."
  @spec load(String.t(), atom(), keyword()) :: map()
  def load(name, architecture, opts \\ []) do
    opts = [architecture: architecture, log_params_diff: false] ++ opts
    {:ok, info} = Bumblebee.load_model({:local, Path.join(@fixtures, name)}, opts)
    info
  end

  @doc "A tensor of `slices.safetensors`, as a list."
  @spec reference(String.t(), String.t()) :: list()
  def reference(name, key) do
    Nx.with_default_backend(Nx.BinaryBackend, fn ->
      file = Path.join([@fixtures, name, "slices.safetensors"])
      file |> Safetensors.read!() |> Map.fetch!(key) |> Nx.to_list()
    end)
  end

  @doc "The words of tokens."
  @spec text([non_neg_integer()]) :: String.t()
  def text(tokens), do: Enum.map_join(tokens, " ", &Enum.at([@pad | @syllables], &1))

  @doc "The tokens of words."
  @spec tokens(String.t()) :: [non_neg_integer()]
  def tokens(text) do
    for word <- String.split(text), do: Enum.find_index([@pad | @syllables], &(&1 == word))
  end

  @doc "The tokenizer that knows the words; `others` are words in place of some, as `%{token => word}`."
  @spec tokenizer(map()) :: struct()
  def tokenizer(others \\ %{}) do
    {:ok, native} = others |> tokenizer_json() |> Tokenizer.from_buffer()
    %PreTrainedTokenizer{native_tokenizer: native, type: :gpt2, special_tokens: %{pad: @pad}}
  end

  @doc "The same as a checkpoint has it, in a tokenizer.json."
  @spec tokenizer_json(map()) :: String.t()
  def tokenizer_json(others \\ %{}) do
    vocabulary =
      for {word, token} <- Enum.with_index([@pad | @syllables]), into: %{} do
        {Map.get(others, token, word), token}
      end

    Jason.encode!(%{
      version: "1.0",
      added_tokens: [],
      pre_tokenizer: %{type: "WhitespaceSplit"},
      model: %{type: "WordLevel", vocab: vocabulary, unk_token: Map.get(others, 0, @pad)}
    })
  end

  @doc "A serving that generates. `config` are fields of `GenerationConfig`, `opts` Bumblebee's options."
  @spec generation(map(), keyword(), keyword()) :: Nx.Serving.t()
  def generation(info, config, opts \\ []) do
    config = Bumblebee.configure(%GenerationConfig{}, [pad_token_id: 0] ++ config)

    Bumblebee.Text.generation(
      info,
      tokenizer(),
      config,
      [defn_options: [compiler: Emily.Compiler]] ++ opts
    )
  end
end
