defmodule Emily.RewriteTest do
  @moduledoc """
  What `fast: true` of `Emily.Compiler` rewrites, what it leaves alone, and that the meaning stays.

  Bounds: u is half of the last place of 1 in the type. A result of k roundings, each relative, is off by
  k u to first order, a sum of n by n u more. `bound/1` doubles that, for there are two computations, and
  doubles it again for what is of higher order, which is less than the first as long as k u is below 1.
  """

  use ExUnit.Case, async: true

  import Nx.Defn

  @emily {Emily.Backend, device: :cpu}
  @eps 0.05

  defn softmax(x, opts \\ []) do
    powers = Nx.exp(x - Nx.reduce_max(x, axes: opts[:axes], keep_axes: true))
    powers / Nx.sum(powers, axes: opts[:axes], keep_axes: true)
  end

  # As Axon has it.
  defn softmax_by_reciprocal(x) do
    powers = Nx.exp(x - stop_grad(Nx.reduce_max(x, axes: [-1], keep_axes: true)))
    1 / Nx.sum(powers, axes: [-1], keep_axes: true) * powers
  end

  defn softmax_twice(x) do
    Nx.exp(x - Nx.reduce_max(x, axes: [-1], keep_axes: true)) /
      Nx.sum(Nx.exp(x - Nx.reduce_max(x, axes: [-1], keep_axes: true)),
        axes: [-1],
        keep_axes: true
      )
  end

  # As Axon has it.
  defn layer_norm(x, weight, bias) do
    mean = Nx.mean(x, axes: [-1], keep_axes: true)
    variance = Nx.variance(x, axes: [-1], keep_axes: true)

    Nx.reshape(weight, {1, 1, 6}) * Nx.rsqrt(variance + @eps) * (x - mean) +
      Nx.reshape(bias, {1, 1, 6})
  end

  defn layer_norm_by_hand(x, weight, bias) do
    centered = x - Nx.new_axis(Nx.sum(x, axes: [-1]), -1) / 6
    variance = Nx.mean(centered * centered, axes: [-1], keep_axes: true)
    bias + centered / Nx.sqrt(variance + @eps) * weight
  end

  defn layer_norm_plain(x) do
    centered = x - Nx.mean(x, axes: [-1], keep_axes: true)
    centered * Nx.pow(Nx.mean(centered ** 2, axes: [-1], keep_axes: true) + @eps, -0.5)
  end

  # As Bumblebee has it.
  defn rms_norm(x, weight) do
    wide = Nx.as_type(x, :f32)
    mean = wide |> Nx.pow(2) |> Nx.mean(axes: [-1], keep_axes: true)
    Nx.as_type(wide * Nx.rsqrt(mean + @eps), Nx.type(x)) * weight
  end

  defn rms_norm_shifted(x, weight) do
    x / Nx.sqrt(Nx.mean(x * x, axes: [-1], keep_axes: true) + @eps) * (1 + weight)
  end

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

  defp tensor(shape, type \\ :f32, seed \\ 0) do
    shape
    |> Nx.iota(type: :f32, backend: Nx.BinaryBackend)
    |> Nx.multiply(0.7)
    |> Nx.add(seed)
    |> Nx.sin()
    |> Nx.as_type(type)
    |> Nx.backend_copy(@emily)
  end

  defp compiled(fun, args, opts \\ []) do
    Nx.Defn.jit_apply(fun, args, [compiler: Emily.Compiler, device: :cpu] ++ opts)
  end

  defp rewrites(fun, args) do
    for {kind, count} <- Emily.Fast.rewrites(fun, args), count > 0, into: %{}, do: {kind, count}
  end

  # That it is rewritten so, and is within the bound of what it was.
  defp assert_rewritten(fun, args, counts, roundings) do
    assert rewrites(fun, args) == counts
    [plain, fast] = for fast <- [false, true], do: compiled(fun, args, fast: fast)
    assert {fast.type, fast.shape, fast.names} == {plain.type, plain.shape, plain.names}

    largest =
      Nx.subtract(wide(plain), wide(fast)) |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()

    assert largest <= bound(plain.type, roundings),
           "#{largest} beyond #{bound(plain.type, roundings)}"

    fast
  end

  defp wide(tensor), do: tensor |> Nx.backend_copy(Nx.BinaryBackend) |> Nx.as_type(:f64)

  # Of a result that is `roundings` times as large as 1.
  defp bound(type, roundings), do: 4 * roundings * unit(type)

  defp unit({:f, 32}), do: 2 ** -24
  defp unit({:f, 16}), do: 2 ** -11
  defp unit({:bf, 16}), do: 2 ** -8

  defp assert_left_alone(fun, args, counts \\ %{}) do
    assert rewrites(fun, args) == counts

    if counts == %{} do
      [plain, fast] = for fast <- [false, true], do: compiled(fun, args, fast: fast)
      assert Nx.to_binary(plain) == Nx.to_binary(fast)
    end
  end

  describe "softmax" do
    # Weights are at most 1. A difference within a row, 2 at most here, is rounded once, which the power
    # multiplies by it; the power is good to 4 u; then a sum of n, a reciprocal, a product.
    defp softmax_roundings(n), do: 2 + 4 + n + 2

    test "however it is written" do
      for type <- [:f32, :f16, :bf16] do
        x = tensor({2, 3, 6}, type)

        for fun <- [&softmax(&1, axes: [-1]), &softmax_by_reciprocal/1, &softmax_twice/1] do
          assert_rewritten(fun, [x], %{softmax: 1}, softmax_roundings(6))
        end

        assert_rewritten(&softmax(&1, axes: [0]), [x], %{softmax: 1}, softmax_roundings(2))
        assert_rewritten(&softmax(&1, axes: [0, 2]), [x], %{softmax: 1}, softmax_roundings(12))

        assert_rewritten(
          &softmax(Nx.reshape(&1, {36}), axes: nil),
          [x],
          %{softmax: 1},
          softmax_roundings(36)
        )
      end
    end

    test "in f32 of what is narrower" do
      x = tensor({2, 6}, :bf16)

      result =
        assert_rewritten(
          &softmax(Nx.as_type(&1, :f32), axes: [-1]),
          [x],
          %{softmax: 1},
          softmax_roundings(6)
        )

      assert result.type == {:f, 32}
    end

    test "names and vectors stay" do
      x = Nx.rename(tensor({2, 6}), [:a, :b])
      assert_rewritten(&softmax(&1, axes: [1]), [x], %{softmax: 1}, softmax_roundings(6))
      vectors = Nx.vectorize(tensor({2, 6}), :v)

      [plain, fast] =
        for fast <- [false, true], do: compiled(&softmax(&1, axes: [0]), [vectors], fast: fast)

      assert rewrites(&softmax(&1, axes: [0]), [vectors]) == %{softmax: 1}
      assert {fast.vectorized_axes, fast.shape} == {plain.vectorized_axes, plain.shape}
    end

    test "not without the largest, or with that of another axis or tensor" do
      x = tensor({3, 3})

      of = fn largest, axes ->
        fn x ->
          powers = Nx.exp(Nx.subtract(x, largest.(x)))
          Nx.divide(powers, Nx.sum(powers, axes: axes, keep_axes: true))
        end
      end

      max = &Nx.reduce_max(&1, axes: [1], keep_axes: true)
      assert_rewritten(of.(max, [1]), [x], %{softmax: 1}, softmax_roundings(3))
      assert_left_alone(of.(fn _ -> 0.0 end, [1]), [x])
      assert_left_alone(of.(max, [0]), [x])
      assert_left_alone(of.(&max.(Nx.sin(&1)), [1]), [x])
      assert_left_alone(of.(&Nx.reduce_min(&1, axes: [1], keep_axes: true), [1]), [x])
      assert_left_alone(of.(&Nx.reshape(max.(&1), {1, 3}), [1]), [x])
      # The shape is right, by chance.
      assert_left_alone(of.(&Nx.reshape(Nx.reduce_max(&1, axes: [0]), {3, 1}), [1]), [x])
    end

    test "not over the sum of another tensor, of other rows, or of more" do
      x = tensor({3, 3})
      powers = &Nx.exp(Nx.subtract(&1, Nx.reduce_max(&1, axes: [1], keep_axes: true)))
      sum = &Nx.sum(powers.(&1), axes: [1], keep_axes: true)

      assert_rewritten(
        &Nx.divide(powers.(&1), sum.(&1)),
        [x],
        %{softmax: 1},
        softmax_roundings(3)
      )

      assert_left_alone(&Nx.divide(powers.(&1), sum.(Nx.sin(&1))), [x])
      assert_left_alone(&Nx.divide(powers.(&1), Nx.reshape(sum.(&1), {1, 3})), [x])
      more = &Nx.multiply(Nx.divide(Nx.broadcast(1.0, {4, 1}), sum.(&1)), powers.(&1))
      assert_left_alone(more, [tensor({1, 3})])
    end

    test "not of integers, whose differences wrap" do
      assert_left_alone(&softmax(&1, axes: [-1]), [Nx.tensor([[1, 3], [2, 2]], type: :u8)])
    end

    test "not where its powers are used besides" do
      fun = fn x ->
        powers = Nx.exp(Nx.subtract(x, Nx.reduce_max(x, axes: [-1], keep_axes: true)))
        Nx.add(Nx.divide(powers, Nx.sum(powers, axes: [-1], keep_axes: true)), powers)
      end

      assert_left_alone(fun, [tensor({2, 6})])
    end
  end

  describe "norms" do
    # Elements, weights and biases are at most 1, n of them in a row. Centered, an element d is below 2, off
    # by n + 3 roundings; its square by twice that times d, and one. The mean of squares adds n + 1. Over
    # sigma^2, at least eps, half of it is what the root is off by. An element over sigma is below root n.
    defp norm_roundings(n) do
      centered = n + 3
      square = 2 * 2 * centered + 4
      root = (square + 4 * (n + 1)) / @eps / 2 + 4
      centered / :math.sqrt(@eps) + :math.sqrt(n) * (root + 4) + 2
    end

    test "layer_norm, however it is written" do
      for type <- [:f32, :f16, :bf16] do
        args = [tensor({2, 3, 6}, type), tensor({6}, type, 1), tensor({6}, type, 2)]

        for fun <- [&layer_norm/3, &layer_norm_by_hand/3] do
          assert_rewritten(fun, args, %{layer_norm: 1}, norm_roundings(6))
        end

        assert_rewritten(
          &layer_norm_plain/1,
          Enum.take(args, 1),
          %{layer_norm: 1},
          norm_roundings(6)
        )
      end
    end

    test "layer_norm with numbers for vectors, and a residual beside it" do
      x = tensor({2, 3, 6})
      scaled = &Nx.add(Nx.multiply(layer_norm_plain(&1), 0.5), 0.25)
      assert_rewritten(scaled, [x], %{layer_norm: 1}, norm_roundings(6))

      assert_rewritten(
        &Nx.add(layer_norm_plain(&1), &2),
        [x, x],
        %{layer_norm: 1},
        norm_roundings(6)
      )

      assert_rewritten(
        &Nx.multiply(layer_norm_plain(&1), &2),
        [x, x],
        %{layer_norm: 1},
        norm_roundings(6)
      )
    end

    test "rms_norm, however it is written" do
      for type <- [:f32, :f16, :bf16], fun <- [&rms_norm/2, &rms_norm_shifted/2] do
        args = [tensor({2, 3, 6}, type), tensor({6}, type, 1)]
        # A weight of up to 2.
        assert_rewritten(fun, args, %{rms_norm: 1}, 2 * norm_roundings(6))
      end
    end

    test "rms_norm of narrow numbers by a weight in f32, and of a product" do
      args = [tensor({2, 6}, :bf16), tensor({6}, :f32, 1)]
      assert rewrites(&rms_norm/2, args) == %{rms_norm: 1}
      result = compiled(&rms_norm/2, args, fast: true)
      assert result.type == {:f, 32}
      args = [tensor({2, 6}), tensor({6}, :f32, 1)]
      product = &rms_norm(Nx.multiply(&1, Nx.cos(&1)), &2)
      assert_rewritten(product, args, %{rms_norm: 1}, norm_roundings(6))
    end

    test "without ε, and with one that is an integer" do
      norm = fn eps ->
        fn x ->
          Nx.multiply(
            x,
            Nx.rsqrt(Nx.add(Nx.mean(Nx.pow(x, 2), axes: [-1], keep_axes: true), eps))
          )
        end
      end

      # The mean square is above 0.05 in these rows.
      assert_rewritten(norm.(0), [tensor({2, 6})], %{rms_norm: 1}, norm_roundings(6))
      assert_rewritten(norm.(1), [tensor({2, 6})], %{rms_norm: 1}, norm_roundings(6))
    end

    test "not along another axis, not all" do
      x = tensor({6, 6})

      norm = fn axes, eps ->
        fn x ->
          mean = &Nx.mean(&1, axes: axes, keep_axes: true)
          centered = Nx.subtract(x, mean.(x))
          Nx.multiply(centered, Nx.rsqrt(eps.(mean.(Nx.pow(centered, 2)))))
        end
      end

      inside = &Nx.add(&1, @eps)
      assert_rewritten(norm.([1], inside), [x], %{layer_norm: 1}, norm_roundings(6))
      assert_left_alone(norm.([0], inside), [x])
      assert_left_alone(norm.([0, 1], inside), [x])
      assert_left_alone(norm.([1], &Nx.max(&1, @eps)), [x])
      assert_left_alone(norm.([1], &Nx.add(&1, -1.0e-9)), [x])
      assert_left_alone(norm.([1], &Nx.multiply(&1, 1.5)), [x])
    end

    test "not by the mean of other rows, or of another tensor" do
      x = tensor({6, 6})

      norm = fn mean, spread ->
        fn x ->
          centered = Nx.subtract(x, mean.(x))
          moment = Nx.mean(spread.(x, centered), axes: [1], keep_axes: true)
          Nx.multiply(centered, Nx.rsqrt(Nx.add(moment, @eps)))
        end
      end

      mean = &Nx.mean(&1, axes: [1], keep_axes: true)
      square = fn _x, centered -> Nx.multiply(centered, centered) end
      assert_rewritten(norm.(mean, square), [x], %{layer_norm: 1}, norm_roundings(6))

      # What is subtracted is not the mean: what is left has a norm, but is not centered.
      for other <- [
            &Nx.reshape(mean.(&1), {1, 6}),
            &Nx.reshape(Nx.mean(&1, axes: [0]), {6, 1}),
            &mean.(Nx.sin(&1))
          ] do
        assert rewrites(norm.(other, square), [x]) == %{rms_norm: 1}
      end

      assert_left_alone(norm.(mean, fn x, centered -> Nx.multiply(centered, x) end), [x])
      other = fn x, _ -> Nx.pow(Nx.subtract(Nx.sin(x), mean.(Nx.sin(x))), 2) end
      assert_left_alone(norm.(mean, other), [x])
    end

    test "a weight with more axes than the rows stays apart" do
      args = [tensor({2, 6}), tensor({1, 1, 6})]
      rms = &Nx.multiply(rms_norm_shifted(&1, 0), &2)
      assert_rewritten(rms, args, %{rms_norm: 1}, norm_roundings(6))

      assert_rewritten(
        &Nx.multiply(layer_norm_plain(&1), &2),
        args,
        %{layer_norm: 1},
        norm_roundings(6)
      )
    end

    test "not with eps beside the root, a power of another kind, or one element less" do
      x = tensor({2, 6})

      norm = fn moment, root ->
        fn x ->
          centered = Nx.subtract(x, Nx.mean(x, axes: [1], keep_axes: true))
          Nx.divide(centered, root.(moment.(centered)))
        end
      end

      mean = &Nx.mean(Nx.pow(&1, 2), axes: [1], keep_axes: true)
      root = &Nx.sqrt(Nx.add(&1, @eps))
      assert_rewritten(norm.(mean, root), [x], %{layer_norm: 1}, norm_roundings(6))
      assert_left_alone(norm.(mean, &Nx.add(Nx.sqrt(&1), @eps)), [x])
      assert_left_alone(norm.(mean, &Nx.add(&1, @eps)), [x])
      assert_left_alone(norm.(mean, &Nx.pow(Nx.add(&1, @eps), 0.25)), [x])
      assert_left_alone(norm.(mean, &Nx.pow(Nx.add(&1, @eps), -0.5)), [x])
      over = &Nx.divide(1, Nx.pow(Nx.add(&1, @eps), -0.5))
      assert_rewritten(norm.(mean, over), [x], %{layer_norm: 1}, norm_roundings(6))
      assert_left_alone(norm.(mean, &Nx.divide(1, Nx.pow(Nx.add(&1, @eps), -0.25))), [x])
      assert_left_alone(norm.(&Nx.mean(Nx.pow(&1, 4), axes: [1], keep_axes: true), root), [x])

      assert_left_alone(
        norm.(&Nx.divide(Nx.sum(Nx.pow(&1, 2), axes: [1], keep_axes: true), 5), root),
        [x]
      )
    end

    test "not where weights differ by row, or the mean is used besides" do
      x = tensor({6, 6})

      assert rewrites(&Nx.multiply(layer_norm_plain(&1), Nx.reshape(&2, {6, 1})), [x, tensor({6})]) ==
               %{layer_norm: 1}

      fun = fn x ->
        mean = Nx.mean(Nx.pow(x, 2), axes: [-1], keep_axes: true)
        {Nx.multiply(x, Nx.rsqrt(Nx.add(mean, @eps))), mean}
      end

      assert rewrites(fun, [x]) == %{}
    end

    test "not of integers" do
      # What is centered is a float.
      assert rewrites(&layer_norm_plain/1, [Nx.iota({2, 6})]) == %{rms_norm: 1}
      assert_left_alone(&rms_norm_shifted/2, [Nx.iota({2, 6}), tensor({6})])
    end
  end

  describe "attention" do
    # Four features and seven keys of numbers up to 1, scores up to 2. A score is off by that many products and
    # roundings, 4 + 2 times its 2; what is added to it rounds once more. A weight is off by twice that and what
    # softmax is. The sum of seven values by weights that sum to 1 is off by as much, and 7 more.
    @attention 2 * (4 + 2 + 1) * 2 + (4 + 4 + 7 + 2) + 7 + 1

    defp data(type) do
      [tensor({2, 3, 5, 4}, type), tensor({2, 3, 7, 4}, type, 1), tensor({2, 3, 7, 6}, type, 2)]
    end

    # The first key is seen by all.
    defp seen(shape),
      do: shape |> Nx.iota() |> Nx.remainder(3) |> Nx.not_equal(1) |> Nx.backend_copy(@emily)

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
        off = Nx.subtract(wide(result), even) |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()
        assert off <= bound(result.type, @attention)
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

      other = fn q, k, v ->
        Nx.dot(softmax(dot.(q, k), axes: [2]), [3], [0, 1], v, [2], [0, 1])
      end

      assert_rewritten(other, [query, key, value], %{softmax: 1}, 7 * @attention)
    end
  end

  # As Bumblebee has it.
  defn rope(x, ids, opts \\ []) do
    {cos, sin} = tables(Nx.pow(100, Nx.iota({3}) / 3), opts[:divisor])
    turn(x, Nx.take(cos, ids), Nx.take(sin, ids))
  end

  defnp tables(periods, divisor) do
    angles = Nx.outer(Nx.iota({9}) / divisor, 1 / periods)
    angles = Nx.concatenate([angles, angles], axis: 1)
    {Nx.cos(angles), Nx.sin(angles)}
  end

  defnp turn(x, cos, sin) do
    [cos, sin] = same_type(x, [Nx.new_axis(cos, 2), Nx.new_axis(sin, 2)])
    x * cos + Nx.concatenate([-x[[.., .., .., 3..5]], x[[.., .., .., 0..2]]], axis: 3) * sin
  end

  deftransformp same_type(x, tensors), do: Enum.map(tensors, &Nx.as_type(&1, x.type))

  describe "rope" do
    # Elements up to 1, angles up to 8: an angle's period is a power, good to 4 u, inverted, multiplied, divided;
    # sine and cosine are good to 4 u beside what the angle is off by. Then two products, and their sum.
    @rope 2 * (8 * (4 + 3) + 4) + 4

    defp ids, do: Nx.backend_copy(Nx.tensor([[8, 0, 3, 3, 1], [0, 1, 2, 3, 4]]), @emily)

    test "at any ids, of queries and of keys" do
      for type <- [:f32, :f16, :bf16], divisor <- [1, 2] do
        query = tensor({2, 5, 4, 6}, type)
        assert_rewritten(&rope(&1, &2, divisor: divisor), [query, ids()], %{rope: 1}, @rope)
      end

      both = fn query, key, ids ->
        {cos, sin} = tables(Nx.pow(100, Nx.divide(Nx.iota({3}), 3)), 1)
        [cos, sin] = for table <- [cos, sin], do: Nx.take(table, ids)
        Nx.concatenate([turn(query, cos, sin), turn(key, cos, sin)], axis: 2)
      end

      args = [tensor({2, 5, 4, 6}), tensor({2, 5, 2, 6}, :f32, 1), ids()]
      assert_rewritten(both, args, %{rope: 2}, @rope)
    end

    test "of the first features of more, and by one row of ids" do
      x = tensor({2, 5, 4, 8})

      part =
        &Nx.concatenate([rope(&1[[.., .., .., 0..5]], &2, divisor: 1), &1[[.., .., .., 6..7]]],
          axis: 3
        )

      assert_rewritten(part, [x, ids()], %{rope: 1}, @rope)

      assert_rewritten(
        &rope(&1, &2, divisor: 1),
        [tensor({2, 5, 4, 6}), ids()[0..0]],
        %{rope: 1},
        @rope
      )
    end

    test "not turned the other way, by other tables, of other angles or features" do
      args = [tensor({2, 5, 4, 6}), ids()]
      halves = &{&1[[.., .., .., 0..2]], &1[[.., .., .., 3..5]]}

      of = fn turned, angles, ids_of_sin ->
        fn x, ids ->
          angles = angles.(Nx.outer(Nx.iota({9}), Nx.pow(0.5, Nx.iota({3}))))
          cos = Nx.new_axis(Nx.take(Nx.cos(angles), ids), 2)
          sin = Nx.new_axis(Nx.take(Nx.sin(angles), ids_of_sin.(ids)), 2)
          Nx.add(Nx.multiply(x, cos), Nx.multiply(turned.(halves.(x)), sin))
        end
      end

      right = fn {a, b} -> Nx.concatenate([Nx.negate(b), a], axis: 3) end
      twice = &Nx.concatenate([&1, &1], axis: 1)
      assert_rewritten(of.(right, twice, & &1), args, %{rope: 1}, @rope)

      assert_left_alone(
        of.(fn {a, b} -> Nx.concatenate([b, Nx.negate(a)], axis: 3) end, twice, & &1),
        args
      )

      assert_left_alone(
        of.(fn {a, b} -> Nx.concatenate([Nx.negate(a), b], axis: 3) end, twice, & &1),
        args
      )

      assert_left_alone(of.(fn {a, b} -> Nx.concatenate([b, a], axis: 3) end, twice, & &1), args)

      assert_left_alone(
        of.(right, &Nx.concatenate([&1, Nx.multiply(&1, 2)], axis: 1), & &1),
        args
      )

      assert_left_alone(of.(right, &Nx.add(twice.(&1), 1), & &1), args)
      assert_left_alone(of.(right, twice, &Nx.subtract(8, &1)), args)

      # The halves of another tensor, and sines for cosines.
      [x, ids] = args

      for swap <- [false, true] do
        fun = fn x, y, ids ->
          {cos, sin} = tables(Nx.pow(100, Nx.divide(Nx.iota({3}), 3)), 1)
          [cos, sin] = for table <- [cos, sin], do: Nx.new_axis(Nx.take(table, ids), 2)
          {cos, sin} = if swap, do: {sin, cos}, else: {cos, sin}
          Nx.add(Nx.multiply(x, cos), Nx.multiply(right.(halves.(if(swap, do: x, else: y))), sin))
        end

        assert_left_alone(fun, [x, tensor({2, 5, 4, 6}, :f32, 3), ids])
      end
    end
  end

  defn in_loop(x) do
    {x, _} =
      while {x, i = 0}, i < 3 do
        {softmax(x, axes: [-1]), i + 1}
      end

    x
  end

  defn in_branch(x) do
    if Nx.sum(x) > 0, do: softmax(x, axes: [-1]), else: rms(x)
  end

  defnp rms(x), do: x * Nx.rsqrt(Nx.mean(x * x, axes: [-1], keep_axes: true) + @eps)

  # The operations that are left.
  defp ops(fun, args) do
    {expression, _counts} = fun |> Nx.Defn.debug_expr_apply(args) |> Emily.Fast.Rewrite.run()
    expression |> collect(MapSet.new()) |> Enum.sort()
  end

  defp collect(%Nx.Tensor{data: %Nx.Defn.Expr{op: op}} = tensor, seen) do
    {_args, seen} =
      Nx.Defn.Tree.apply_args(tensor, :scope, MapSet.put(seen, op), &{&1, collect(&1, &2)})

    seen
  end

  test "nothing is left of what is rewritten" do
    vectors = [tensor({6}, :bf16, 1), tensor({6}, :bf16, 2)]
    x = tensor({2, 3, 6}, :bf16)
    assert ops(&softmax(&1, axes: [-1]), [x]) == [:block, :parameter]
    assert ops(&layer_norm/3, [x | vectors]) == [:block, :parameter]
    # Casts included.
    assert ops(&rms_norm/2, [x, hd(vectors)]) == [:block, :parameter]
    # What all keys are seen by.
    seen = fn query, key, value ->
      masked_attention(query, key, value, Nx.broadcast(1, {1, 1, 5, 7}))
    end

    data = [tensor({2, 3, 5, 4}), tensor({2, 3, 7, 4}), tensor({2, 3, 7, 6})]
    assert ops(seen, data) -- [:reshape] == [:block, :parameter]
  end

  test "a cast of the operand may be used besides" do
    fun = fn x ->
      wide = Nx.as_type(x, :f32)
      {softmax(wide, axes: [-1]), wide}
    end

    assert rewrites(fun, [tensor({2, 6}, :bf16)]) == %{softmax: 1}
  end

  test "what a hook sees is computed" do
    parent = self()

    norm = fn x ->
      mean = x |> Nx.mean(axes: [-1], keep_axes: true) |> Emily.TestServings.hooked(:mean)
      centered = Nx.subtract(x, mean)
      variance = Nx.mean(Nx.pow(centered, 2), axes: [-1], keep_axes: true)
      Nx.multiply(centered, Nx.rsqrt(Nx.add(variance, @eps)))
    end

    # What is centered is normed yet.
    assert_rewritten(norm, [tensor({2, 6})], %{rms_norm: 1}, norm_roundings(6))
    compiled(norm, [tensor({2, 6})], fast: true, hooks: %{mean: &send(parent, {:mean, &1})})
    assert_received {:mean, %Nx.Tensor{shape: {2, 1}}}
  end

  test "in loops and in branches" do
    x = tensor({2, 6})
    # Each round makes of differences smaller ones.
    assert_rewritten(&in_loop/1, [x], %{softmax: 1}, 3 * softmax_roundings(6))
    assert_rewritten(&in_branch/1, [x], %{softmax: 1, rms_norm: 1}, norm_roundings(6))
    assert_rewritten(&in_branch/1, [Nx.negate(x)], %{softmax: 1, rms_norm: 1}, norm_roundings(6))
  end

  test "what is rewritten twice is so in all that use it, and once" do
    fun = fn x ->
      weights = softmax(x, axes: [-1])
      {Nx.multiply(weights, 2), softmax(weights, axes: [-1])}
    end

    assert rewrites(fun, [tensor({2, 6})]) == %{softmax: 2}
    {twice, again} = compiled(fun, [tensor({2, 6})], fast: true)

    assert Enum.all?(
             Nx.to_flat_list(Nx.sum(twice, axes: [1])),
             &(abs(&1 - 2) <= bound({:f, 32}, 12))
           )

    assert Nx.shape(again) == {2, 6}
  end

  test "a gradient is of the composed function, and the same" do
    args = [tensor({2, 3, 6}), tensor({6}, :f32, 1), tensor({6}, :f32, 2)]

    gradients = fn x, weight, bias ->
      Nx.Defn.grad({x, weight, bias}, fn {x, weight, bias} ->
        x |> layer_norm(weight, bias) |> softmax(axes: [-1]) |> Nx.sin() |> Nx.sum()
      end)
    end

    [plain, fast] =
      for fast <- [false, true], do: Tuple.to_list(compiled(gradients, args, fast: fast))

    for {plain, fast} <- Enum.zip(plain, fast) do
      off = Nx.subtract(wide(plain), wide(fast)) |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()
      assert off <= bound({:f, 32}, 36 * norm_roundings(6))
    end
  end

  test "a gradient is also of what calls Emily.Fast" do
    gradient = fn x -> Nx.Defn.grad(x, &Nx.sum(Nx.sin(Emily.Fast.softmax(&1)))) end
    x = tensor({2, 6})

    assert Nx.to_binary(compiled(gradient, [x], fast: true)) ==
             Nx.to_binary(compiled(gradient, [x]))
  end

  test "the option is checked, and so is what is counted" do
    assert_raise ArgumentError, ~r/expected a function and a list of as many arguments/, fn ->
      Emily.Fast.rewrites(&Nx.add/2, [1])
    end

    assert_raise ArgumentError, "expected :fast to be true or false, got: 1", fn ->
      compiled(&Nx.exp/1, [1.0], fast: 1)
    end
  end
end
