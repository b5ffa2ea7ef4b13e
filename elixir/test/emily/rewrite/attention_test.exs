defmodule Emily.Rewrite.AttentionTest do
  @moduledoc """
  Which compositions `fast: true` takes for attention.
  """

  use ExUnit.Case, async: true

  import Emily.Rewriting
  import Nx.Defn

  defn attention(query, key, value),
    do: attend(Nx.dot(query, [3], [0, 1], key, [3], [0, 1]) * 0.5, value)

  defn masked_attention(query, key, value, mask) do
    scores = Nx.dot(query, [3], [0, 1], key, [3], [0, 1]) / 2

    bias =
      Nx.select(mask, Nx.tensor(0, type: Nx.type(query)), Nx.Constants.min_finite(Nx.type(query)))

    attend(scores + bias, value)
  end

  defn hidden_attention(query, key, value, mask) do
    scores = Nx.dot(query * 0.5, [3], [0, 1], key, [3], [0, 1])

    attend(
      Nx.select(
        mask,
        Nx.broadcast(scores, {2, 3, 5, 7}),
        Nx.Constants.neg_infinity(Nx.type(scores))
      ),
      value
    )
  end

  # Of one head, the keys transposed, the softmax in f32.
  defn attention_of_matrices(query, key, value) do
    scores = Nx.dot(query, [2], [0], Nx.transpose(key, axes: [0, 2, 1]), [1], [0]) * 0.5
    weights = scores |> Nx.as_type(:f32) |> softmax(axes: [-1]) |> Nx.as_type(Nx.type(value))
    Nx.dot(weights, [2], [0], value, [1], [0])
  end

  defnp attend(scores, value) do
    Nx.dot(softmax(scores, axes: [-1]), [3], [0, 1], value, [2], [0, 1])
  end

  # Four features and seven keys of numbers up to 1, scores up to 2. A score is off by that many products and
  # roundings, 4 + 2 times its 2; what is added to it rounds once more. A weight is off by twice that and what
  # softmax is. The sum of seven values by weights that sum to 1 is off by as much, and 7 more.
  @attention 2 * (4 + 2 + 1) * 2 + (4 + 4 + 7 + 2) + 7 + 1

  defp data(type) do
    [tensor({2, 3, 5, 4}, type), tensor({2, 3, 7, 4}, type, 1), tensor({2, 3, 7, 6}, type, 2)]
  end

  # The first key is seen by all.
  defp seen(shape), do: shape |> Nx.iota() |> Nx.remainder(3) |> Nx.not_equal(1) |> on_emily()

  test "however it is written" do
    for type <- [:f32, :f16, :bf16] do
      data = data(type)
      assert_rewritten(&attention/3, data, %{scaled_dot_product_attention: 1}, @attention)

      for shape <- [{2, 1, 1, 7}, {1, 1, 5, 7}, {2, 3, 5, 7}] do
        counts = %{scaled_dot_product_attention: 1}
        assert_rewritten(&masked_attention/4, data ++ [seen(shape)], counts, @attention)
      end

      assert_rewritten(
        &hidden_attention/4,
        data ++ [seen({2, 3, 5, 7})],
        %{scaled_dot_product_attention: 1},
        @attention
      )

      matrices = Enum.map(data, & &1[[.., 0]])

      assert_rewritten(
        &attention_of_matrices/3,
        matrices,
        %{scaled_dot_product_attention: 1},
        @attention
      )
    end
  end

  test "nothing is left of it, nor of a mask that hides nothing" do
    seen = fn query, key, value ->
      masked_attention(query, key, value, Nx.broadcast(1, {1, 1, 5, 7}))
    end

    assert ops(&attention/3, data(:f32)) == [:block, :parameter]
    assert ops(seen, data(:bf16)) == [:block, :parameter]
  end

  test "with one mask for several, which selects the other way round, or is a float" do
    [query, key, value] = data(:f32)
    mask = seen({1, 1, 5, 7})

    twice = fn query, key, value, mask ->
      bias = Nx.select(mask, 0.0, Nx.Constants.min_finite(:f32))
      scores = &Nx.add(Nx.dot(&1, [3], [0, 1], key, [3], [0, 1]), bias)
      Nx.add(attend(scores.(query), value), attend(scores.(Nx.sin(query)), value))
    end

    counts = %{scaled_dot_product_attention: 2}
    assert_rewritten(twice, [query, key, value, mask], counts, 2 * @attention)

    other = fn hidden ->
      fn query, key, value, mask ->
        scores = Nx.dot(query, [3], [0, 1], key, [3], [0, 1])
        infinity = Nx.Constants.neg_infinity(:f32)
        mask = Nx.broadcast(mask, {2, 3, 5, 7})

        attend(
          if(hidden,
            do: Nx.select(mask, infinity, scores),
            else: Nx.select(mask, scores, infinity)
          ),
          value
        )
      end
    end

    counts = %{scaled_dot_product_attention: 1}
    assert_rewritten(other.(true), [query, key, value, Nx.equal(mask, 0)], counts, @attention)
    float = Nx.multiply(mask, 0.5)
    assert_rewritten(other.(false), [query, key, value, float], counts, @attention)
  end

  test "of values that lie the other way round, but not of more axes" do
    [query, key, value] = data(:f32)

    fun = fn query, key, value ->
      weights = softmax(Nx.dot(query, [3], [0, 1], key, [3], [0, 1]), axes: [-1])
      Nx.dot(weights, [3], [0, 1], Nx.transpose(value, axes: [0, 1, 3, 2]), [3], [0, 1])
    end

    assert_rewritten(fun, [query, key, value], %{scaled_dot_product_attention: 1}, @attention)

    more = fn query, key, value ->
      weights = softmax(Nx.dot(query, [4], [0, 1, 2], key, [4], [0, 1, 2]), axes: [-1])
      Nx.dot(weights, [4], [0, 1, 2], value, [3], [0, 1, 2])
    end

    data = for tensor <- [query, key, value], do: Nx.new_axis(tensor, 1)
    assert_rewritten(more, data, %{softmax: 1}, @attention)
  end

  test "with a bias, where all is seen" do
    args = data(:f32) ++ [tensor({1, 3, 5, 7}, :f32, 4)]

    fun = fn query, key, value, bias ->
      seen = Nx.broadcast(1, {1, 3, 5, 7})
      bias = Nx.select(seen, bias, Nx.Constants.min_finite(:f32))
      attend(Nx.add(Nx.dot(query, [3], [0, 1], key, [3], [0, 1]), bias), value)
    end

    assert_rewritten(fun, args, %{scaled_dot_product_attention: 1}, @attention)
  end

  test "of queries that see nothing, by the least finite number: of all keys alike" do
    for type <- [:f32, :bf16, :f16] do
      data = data(type)

      result =
        compiled(&masked_attention/4, data ++ [Nx.broadcast(0, {1, 1, 1, 7})], fast: true)

      even = Nx.mean(wide(List.last(data)), axes: [2], keep_axes: true)
      even = Nx.broadcast(even, result.shape)
      # Computed in f32, of values up to 1, and rounded once.
      assert distance(result, even) <= unit(result.type) + bound({:f, 32}, @attention)
    end
  end

  test "a constant that hides all keys, whatever the type of its zero" do
    for zero <- [0, 0.0, -0.0] do
      fun = fn query, key, value ->
        bias = Nx.select(Nx.broadcast(zero, {1, 1, 5, 7}), 0.0, Nx.Constants.min_finite(:f32))
        attend(Nx.add(Nx.dot(query, [3], [0, 1], key, [3], [0, 1]), bias), value)
      end

      assert_rewritten(fun, data(:f32), %{scaled_dot_product_attention: 1}, @attention)
    end
  end

  test "a softmax of it stays where its weights go elsewhere" do
    [query, key, value] = data(:f32)

    for use <- [&{&1, &2}, &{Nx.multiply(&1, 2), &2}] do
      fun = fn query, key, value ->
        weights = softmax(Nx.dot(query, [3], [0, 1], key, [3], [0, 1]), axes: [-1])
        use.(weights, Nx.dot(weights, [3], [0, 1], value, [2], [0, 1]))
      end

      assert rewrites(fun, [query, key, value]) == %{softmax: 1}
    end

    headed = fn query, key, value ->
      weights = softmax(Nx.dot(query, [3], [0, 1], key, [3], [0, 1]), axes: [-1])
      Nx.dot(Nx.multiply(weights, 0.5), [3], [0, 1], value, [2], [0, 1])
    end

    assert_rewritten(headed, [query, key, value], %{softmax: 1}, @attention)
  end

  test "not with a scale beyond the mask, a mask that is not -∞, a softmax of another axis" do
    [query, key, value] = data(:f32)
    dot = &Nx.dot(&1, [3], [0, 1], &2, [3], [0, 1])

    of = fn scores ->
      fn q, k, v -> Nx.dot(softmax(scores.(q, k), axes: [-1]), [3], [0, 1], v, [2], [0, 1]) end
    end

    mask = Nx.backend_copy(seen({1, 1, 5, 7}), Nx.BinaryBackend)
    outside = of.(&Nx.multiply(Nx.add(dot.(&1, &2), Nx.select(mask, 0.0, -9.0)), 0.5))
    assert_rewritten(outside, [query, key, value], %{softmax: 1}, @attention)
    finite = of.(&Nx.select(Nx.broadcast(mask, {2, 3, 5, 7}), dot.(&1, &2), -1.0))
    assert_rewritten(finite, [query, key, value], %{softmax: 1}, @attention)

    other_way = of.(&Nx.select(Nx.broadcast(mask, {2, 3, 5, 7}), -1.0, dot.(&1, &2)))
    assert_rewritten(other_way, [query, key, value], %{softmax: 1}, @attention)

    # Integers are added like others; as a mask they would select. Scores are then up to 34 more, and what is added
    # rounds by as much more, twice in a weight.
    integers = of.(&Nx.add(dot.(&1, &2), Nx.iota({5, 7})))
    assert_rewritten(integers, [query, key, value], %{softmax: 1}, @attention + 2 * 34)

    # One batch of queries and keys, seen in two ways.
    ways = Nx.tensor([[[[1.0]]], [[[-1.0]]]])
    widened = of.(&Nx.add(dot.(&1, &2), ways))
    assert_rewritten(widened, [query[0..0], key[0..0], value], %{softmax: 1}, @attention)

    # Sums of seven weights that are at most 1.
    other = fn q, k, v ->
      Nx.dot(softmax(dot.(q, k), axes: [2]), [3], [0, 1], v, [2], [0, 1])
    end

    assert_rewritten(other, [query, key, value], %{softmax: 1}, 7 * @attention)
  end
end
