defmodule Emily.Models.MixtureOfExperts do
  @moduledoc """
  The feed-forward layer of a mixture of experts, as Mixtral and Qwen's have it: a router picks a few experts for
  each token, each of which is a gated perceptron, and adds up what these give.

  Its parameters are

    * `:router`, of shape `{size, experts}`;
    * `:gate` and `:up`, of `{experts, size, inner}`, and `:down`, of `{experts, inner, size}`: tensors, or
      `Emily.Quantization.Matrix`.

  A token is multiplied by the matrices of its own experts only (`Emily.Fast.gather_mm/4`,
  `Emily.Quantization.gather_qmm/7`).

      params = Emily.Quantization.quantize_params(params, mode: :mxfp4, filter: fn path, _ -> path != [:router] end)
      MixtureOfExperts.feed_forward(tokens, params, top_k: 2)
  """

  import Nx.Defn

  alias Emily.Quantization.Matrix

  @doc "What the experts make of tokens of shape `{count, size}`; `:top_k` of them each, 2 by default."
  defn feed_forward(tokens, params, opts \\ []) do
    {weights, experts} = route(tokens, params.router, opts)
    tokens = tokens |> Nx.new_axis(1) |> Nx.new_axis(1)
    gate = picked_dot(tokens, params.gate, experts)
    up = picked_dot(tokens, params.up, experts)
    outputs = picked_dot(silu(gate) * up, params.down, experts)

    outputs
    |> Nx.squeeze(axes: [2])
    |> Nx.multiply(Nx.new_axis(weights, -1))
    |> Nx.sum(axes: [1])
  end

  @doc "The weights and indices of each token's experts, of shape `{count, top_k}`."
  defn route(tokens, router, opts \\ []) do
    opts = keyword!(opts, top_k: 2)
    {scores, experts} = Nx.top_k(Nx.dot(tokens, router), k: opts[:top_k])
    {Emily.Fast.softmax(scores), experts}
  end

  @doc "The gate's activation."
  defn silu(x), do: x * Nx.sigmoid(x)

  # Rows of shape {count, 1 or top_k, 1, from} times the matrices of {count, top_k} experts.
  deftransformp picked_dot(x, kernel, experts) do
    case kernel do
      %Matrix{} -> Matrix.gather_dot(x, kernel, nil, experts)
      %Nx.Tensor{} -> Emily.Fast.gather_mm(x, kernel, nil, experts)
    end
  end
end
