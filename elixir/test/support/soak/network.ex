defmodule Emily.Soak.Network do
  @moduledoc """
  A small network, as the engine's harnesses have it: softmax(tanh(x · w₁ + b₁) · w₂ + b₂).
  """

  import Nx.Defn

  @doc "Random weights, the same each time."
  def new({inputs, hidden, outputs}, backend) do
    {layer(inputs, hidden, 1, backend), layer(hidden, outputs, 3, backend)}
  end

  defp layer(inputs, outputs, seed, backend) do
    scale = 1 / :math.sqrt(inputs)
    {random({inputs, outputs}, scale, seed, backend), random({outputs}, scale, seed + 1, backend)}
  end

  @doc "Random numbers between -scale and scale, those of the seed."
  def random(shape, scale, seed, backend) do
    state = :rand.seed_s(:exsss, {seed, 0, 0})

    {numbers, _state} =
      Enum.map_reduce(1..Tuple.product(shape), state, fn _i, state ->
        {uniform, state} = :rand.uniform_s(state)
        {<<(2 * uniform - 1) * scale::float-32-native>>, state}
      end)

    numbers
    |> IO.iodata_to_binary()
    |> Nx.from_binary(:f32, backend: backend)
    |> Nx.reshape(shape)
  end

  defn infer({first, second}, rows) do
    scores = rows |> dense(first) |> Nx.tanh() |> dense(second)
    powers = Nx.exp(scores - Nx.reduce_max(scores, axes: [1], keep_axes: true))
    powers / Nx.sum(powers, axes: [1], keep_axes: true)
  end

  @doc "The loss before a step, and the weights after it."
  defn step(weights, rows, targets) do
    {loss, {{w1, b1}, {w2, b2}}} = value_and_grad(weights, &loss(&1, rows, targets))
    {{v1, c1}, {v2, c2}} = weights
    {loss, {{v1 - 0.05 * w1, c1 - 0.05 * b1}, {v2 - 0.05 * w2, c2 - 0.05 * b2}}}
  end

  defnp loss({first, second}, rows, targets) do
    errors = (rows |> dense(first) |> Nx.tanh() |> dense(second)) - targets
    Nx.mean(errors * errors)
  end

  defnp dense(rows, {weights, bias}), do: Nx.dot(rows, weights) + bias
end
