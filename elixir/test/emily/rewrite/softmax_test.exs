defmodule Emily.Rewrite.SoftmaxTest do
  @moduledoc """
  Which compositions `fast: true` takes for a softmax.
  """

  use ExUnit.Case, async: true

  import Emily.Rewriting
  import Nx.Defn

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

  test "of a row of one, but not of a scalar, of which Nx leaves nothing" do
    assert_rewritten(&softmax(&1, axes: nil), [tensor({1})], %{softmax: 1}, softmax_roundings(1))
    assert_left_alone(&softmax(&1, axes: nil), [tensor({})])
  end

  test "nothing is left of it" do
    assert ops(&softmax(&1, axes: [-1]), [tensor({2, 6})]) == [:block, :parameter]
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
