defmodule Emily.Rewrite.NormTest do
  @moduledoc """
  Which compositions `fast: true` takes for a norm.
  """

  use ExUnit.Case, async: true

  import Emily.Rewriting
  import Nx.Defn

  @eps 0.05

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

  test "layer_norm, however it is written" do
    for type <- [:f32, :f16, :bf16] do
      x = tensor({2, 3, 6}, type)
      args = [x, tensor({6}, type, 1), tensor({6}, type, 2)]

      for fun <- [&layer_norm/3, &layer_norm_by_hand/3] do
        assert_rewritten(fun, args, %{layer_norm: 1}, norm_roundings(x))
      end

      assert_rewritten(
        &layer_norm_plain/1,
        [x],
        %{layer_norm: 1},
        norm_roundings(x)
      )
    end
  end

  test "layer_norm with numbers for vectors, and a residual beside it" do
    x = tensor({2, 3, 6})
    scaled = &Nx.add(Nx.multiply(layer_norm_plain(&1), 0.5), 0.25)
    assert_rewritten(scaled, [x], %{layer_norm: 1}, norm_roundings(x))

    assert_rewritten(
      &Nx.add(layer_norm_plain(&1), &2),
      [x, x],
      %{layer_norm: 1},
      norm_roundings(x)
    )

    assert_rewritten(
      &Nx.multiply(layer_norm_plain(&1), &2),
      [x, x],
      %{layer_norm: 1},
      norm_roundings(x)
    )
  end

  test "rms_norm, however it is written" do
    # Of the second a weight is rounded where 1 is added.
    for type <- [:f32, :f16, :bf16],
        {fun, narrow} <- [{&rms_norm/2, 1}, {&rms_norm_shifted/2, 2}] do
      x = tensor({2, 3, 6}, type)
      # A weight of up to 2.
      roundings = 2 * norm_roundings(x)
      assert_rewritten(fun, [x, tensor({6}, type, 1)], %{rms_norm: 1}, roundings, narrow)
    end
  end

  test "rms_norm of narrow numbers by a weight in f32, and of a product" do
    args = [tensor({2, 6}, :bf16), tensor({6}, :f32, 1)]
    assert rewrites(&rms_norm/2, args) == %{rms_norm: 1}
    result = compiled(&rms_norm/2, args, fast: true)
    assert result.type == {:f, 32}
    x = tensor({2, 6})
    product = &rms_norm(Nx.multiply(&1, &1), &2)
    counts = %{rms_norm: 1}

    assert_rewritten(
      product,
      [x, tensor({6}, :f32, 1)],
      counts,
      norm_roundings(Nx.multiply(x, x))
    )
  end

  test "nothing is left of them, casts and reshapes included" do
    [x, weight, bias] = [tensor({2, 3, 6}, :bf16), tensor({6}, :bf16, 1), tensor({6}, :bf16, 2)]
    assert ops(&layer_norm/3, [x, weight, bias]) == [:block, :parameter]
    assert ops(&rms_norm/2, [x, weight]) == [:block, :parameter]
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

    x = tensor({2, 6})
    assert_rewritten(norm.(0), [x], %{rms_norm: 1}, norm_roundings(x))
    assert_rewritten(norm.(1), [x], %{rms_norm: 1}, norm_roundings(x))
  end

  test "by a share of the sum, but not by numbers that are no floats or have no inverse" do
    norm = fn share ->
      fn x ->
        moment = Nx.multiply(share, Nx.sum(Nx.pow(x, 2), axes: [1], keep_axes: true))
        Nx.multiply(x, Nx.rsqrt(Nx.add(moment, @eps)))
      end
    end

    x = tensor({2, 6})
    assert_rewritten(norm.(1 / 6), [x], %{rms_norm: 1}, norm_roundings(x))

    for share <- [1 / 5, 3.0, -0.5, 0.0, 1.0e-310, 10 ** 400],
        do: assert(rewrites(norm.(share), [x]) == %{})
  end

  test "of one row, and of rows of one element" do
    x = tensor({6})
    assert_rewritten(&layer_norm_plain/1, [x], %{layer_norm: 1}, norm_roundings(x))
    assert_rewritten(&rms_norm_shifted/2, [x, x], %{rms_norm: 1}, 2 * norm_roundings(x))
    # Nx leaves out the division by one.
    assert_left_alone(&layer_norm_plain/1, [tensor({2, 1})])
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
    assert_rewritten(norm.([1], inside), [x], %{layer_norm: 1}, norm_roundings(x))
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
    assert_rewritten(norm.(mean, square), [x], %{layer_norm: 1}, norm_roundings(x))

    # What is subtracted is not the mean: what is left has a norm, but is not centered.
    for other <- [
          &Nx.reshape(mean.(&1), {1, 6}),
          &Nx.reshape(Nx.mean(&1, axes: [0]), {6, 1}),
          &mean.(Nx.sin(&1))
        ] do
      assert rewrites(norm.(other, square), [x]) == %{rms_norm: 1}
    end

    assert_left_alone(norm.(mean, fn x, centered -> Nx.multiply(centered, x) end), [x])

    other = fn x, _centered ->
      x = Nx.sin(x)
      Nx.pow(Nx.subtract(x, mean.(x)), 2)
    end

    assert_left_alone(norm.(mean, other), [x])
  end

  test "a weight with more axes than the rows stays apart" do
    x = tensor({2, 6})
    args = [x, tensor({1, 1, 6})]
    rms = &Nx.multiply(rms_norm_shifted(&1, 0), &2)
    assert_rewritten(rms, args, %{rms_norm: 1}, norm_roundings(x))

    assert_rewritten(
      &Nx.multiply(layer_norm_plain(&1), &2),
      args,
      %{layer_norm: 1},
      norm_roundings(x)
    )
  end

  test "a divisor or a complex weight stays apart" do
    x = tensor({2, 6})
    # Of 1 at least.
    divided = &Nx.divide(layer_norm_plain(&1), Nx.add(Nx.abs(&2), 1))
    assert_rewritten(divided, [x, tensor({6})], %{layer_norm: 1}, norm_roundings(x))
    complex = Nx.Constants.i()
    assert rewrites(&Nx.multiply(layer_norm_plain(&1), &2), [x, complex]) == %{layer_norm: 1}
    assert rewrites(&layer_norm_plain/1, [Nx.multiply(x, complex)]) == %{}
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
    assert_rewritten(norm.(mean, root), [x], %{layer_norm: 1}, norm_roundings(x))
    assert_left_alone(norm.(mean, &Nx.add(Nx.sqrt(&1), @eps)), [x])
    assert_left_alone(norm.(mean, &Nx.add(&1, @eps)), [x])
    assert_left_alone(norm.(mean, &Nx.pow(Nx.add(&1, @eps), 0.25)), [x])
    assert_left_alone(norm.(mean, &Nx.pow(Nx.add(&1, @eps), -0.5)), [x])
    over = &Nx.divide(1, Nx.pow(Nx.add(&1, @eps), -0.5))
    assert_rewritten(norm.(mean, over), [x], %{layer_norm: 1}, norm_roundings(x))
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
