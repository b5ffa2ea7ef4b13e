defmodule Emily.Models.MixtureOfExpertsTest do
  use ExUnit.Case, async: true

  import Emily.Models.Quantised, only: [in_f64: 2, only_native: 1]

  alias Emily.Models.Bound
  alias Emily.Models.MixtureOfExperts
  alias Emily.Quantization

  @count 10
  @size 64
  @inner 96
  @experts 8
  @top_k 2

  @codings [
    [group_size: 32, bits: 4],
    [group_size: 32, bits: 8],
    [mode: :mxfp4],
    [mode: :mxfp8],
    [mode: :nvfp4]
  ]

  setup :only_native

  defp random(shape, seed) do
    {numbers, _key} = Nx.Random.normal(Nx.Random.key(seed), 0.0, 1.0, shape: shape)
    numbers
  end

  defp tokens, do: random({@count, @size}, 1)

  defp params do
    %{
      router: random({@size, @experts}, 2),
      gate: Nx.divide(random({@experts, @size, @inner}, 3), 8),
      up: Nx.divide(random({@experts, @size, @inner}, 4), 8),
      down: Nx.divide(random({@experts, @inner, @size}, 5), 10)
    }
  end

  defp quantised(opts) do
    filter = fn path, _tensor -> path != [:router] end
    Quantization.quantize_params(params(), [filter: filter] ++ opts)
  end

  # Every expert's output for every token, and the weights of those that count.
  defp dense(tokens, params) do
    {weights, experts} = MixtureOfExperts.route(tokens, params.router, top_k: @top_k)
    picked = Nx.equal(Nx.new_axis(experts, -1), Nx.iota({@experts}))
    weights = weights |> Nx.new_axis(-1) |> Nx.multiply(picked) |> Nx.sum(axes: [1])
    [gate, up] = for kernel <- [params.gate, params.up], do: Nx.dot(tokens, kernel)
    hidden = Nx.multiply(MixtureOfExperts.silu(gate), up)
    # Experts are the axis of both, and come first.
    outputs = hidden |> Nx.transpose(axes: [1, 0, 2]) |> Nx.dot([2], [0], params.down, [1], [0])
    outputs |> Nx.multiply(weights |> Nx.transpose() |> Nx.new_axis(-1)) |> Nx.sum(axes: [0])
  end

  # What is right of the layer, and what rounding makes of it, both computed densely.
  defp dense_twice(tokens, floats) do
    {in_f64([tokens, floats], fn [tokens, floats] -> dense(tokens, floats) end),
     dense(tokens, floats)}
  end

  test "experts of quantised matrices give what these give, computed densely" do
    tokens = tokens()

    for opts <- @codings, compiler <- [Emily.Compiler, Nx.Defn.Evaluator] do
      quantised = quantised(opts)
      run = Nx.Defn.jit(&MixtureOfExperts.feed_forward(&1, &2, top_k: @top_k), compiler: compiler)
      floats = Quantization.dequantize_params(quantised)
      {right, rounded} = dense_twice(tokens, floats)
      assert Bound.within?(run.(tokens, quantised), :reordered, right, rounded)

      # These are not the matrices that they were made of.
      refute Bound.within?(dense(tokens, params()), :reordered, right, rounded)
    end
  end

  test "experts in floats do likewise" do
    [tokens, params] = [tokens(), params()]
    {right, rounded} = dense_twice(tokens, params)

    assert tokens
           |> MixtureOfExperts.feed_forward(params, top_k: @top_k)
           |> Bound.within?(:reordered, right, rounded)

    # Of one expert more each token's output is another.
    refute tokens
           |> MixtureOfExperts.feed_forward(params, top_k: @top_k + 1)
           |> Bound.within?(:reordered, right, rounded)
  end

  test "its matrices take what their codes and scales do" do
    bytes = fn params ->
      for name <- [:gate, :up, :down], reduce: 0 do
        sum -> Nx.Defn.Composite.reduce(params[name], sum, &(&2 + Nx.byte_size(&1)))
      end
    end

    elements = 3 * @experts * @size * @inner
    assert bytes.(params()) == elements * 4
    assert bytes.(quantised(mode: :mxfp4)) == div(elements, 2) + div(elements, 32)
    assert bytes.(quantised(mode: :nvfp4)) == div(elements, 2) + div(elements, 16)
    assert bytes.(quantised(bits: 4, group_size: 32)) == div(elements, 2) + div(elements, 32) * 8
  end
end
