defmodule Emily.RewriteTest do
  @moduledoc """
  What holds of everything that `fast: true` of `Emily.Compiler` rewrites; of each kind, in rewrite/.
  """

  use ExUnit.Case, async: true

  import Emily.Rewriting
  import Nx.Defn

  @eps 0.05

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
    x = tensor({2, 6})
    assert_rewritten(norm, [x], %{rms_norm: 1}, norm_roundings(x))
    compiled(norm, [x], fast: true, hooks: %{mean: &send(parent, {:mean, &1})})
    assert_received {:mean, %Nx.Tensor{shape: {2, 1}}}
  end

  test "in loops and in branches" do
    x = tensor({2, 6})
    # Each round makes of differences smaller ones.
    assert_rewritten(&in_loop/1, [x], %{softmax: 1}, 3 * softmax_roundings(6))
    assert_rewritten(&in_branch/1, [x], %{softmax: 1, rms_norm: 1}, norm_roundings(x))
    assert_rewritten(&in_branch/1, [Nx.negate(x)], %{softmax: 1, rms_norm: 1}, norm_roundings(x))
  end

  test "what is rewritten twice is so in all that use it, and once" do
    fun = fn x ->
      weights = softmax(x, axes: [-1])
      {Nx.multiply(weights, 2), softmax(weights, axes: [-1])}
    end

    assert rewrites(fun, [tensor({2, 6})]) == %{softmax: 2}

    [plain, fast] =
      for fast <- [false, true],
          do: Tuple.to_list(compiled(fun, [tensor({2, 6})], fast: fast))

    # Twice a weight is off by twice as much; the softmax of weights moves by what they are off, and rounds itself.
    for {plain, fast} <- Enum.zip(plain, fast) do
      assert distance(plain, fast) <= bound({:f, 32}, 2 * softmax_roundings(6))
    end
  end

  # As Axon has it.
  defn layer_norm(x, weight, bias) do
    mean = Nx.mean(x, axes: [-1], keep_axes: true)
    variance = Nx.variance(x, axes: [-1], keep_axes: true)
    weight * Nx.rsqrt(variance + @eps) * (x - mean) + bias
  end

  # A gradient goes back through what it is composed of, which is used besides and stays.
  test "a gradient is that of the composed function" do
    args = [tensor({2, 3, 6}), tensor({6}, :f32, 1), tensor({6}, :f32, 2)]

    gradients = fn x, weight, bias ->
      Nx.Defn.grad({x, weight, bias}, fn {x, weight, bias} ->
        x |> layer_norm(weight, bias) |> softmax(axes: [-1]) |> Nx.sin() |> Nx.sum()
      end)
    end

    assert rewrites(gradients, args) == %{}
    [plain, fast] = for fast <- [false, true], do: compiled(gradients, args, fast: fast)
    bits = fn tuple -> tuple |> Tuple.to_list() |> Enum.map(&Nx.to_binary/1) end
    assert bits.(plain) == bits.(fast)
  end

  test "what a gradient does not go through is rewritten in it" do
    gradient = fn x, weight ->
      Nx.Defn.grad(weight, &Nx.sum(Nx.multiply(&1, softmax(x, axes: [-1]))))
    end

    args = [tensor({2, 6}), tensor({2, 6}, :f32, 1)]
    assert_rewritten(gradient, args, %{softmax: 1}, softmax_roundings(6))
  end

  test "a gradient is also of what calls Emily.Fast" do
    gradient = fn x -> Nx.Defn.grad(x, &Nx.sum(Nx.sin(Emily.Fast.softmax(&1)))) end
    x = tensor({2, 6})

    assert Nx.to_binary(compiled(gradient, [x], fast: true)) ==
             Nx.to_binary(compiled(gradient, [x]))
  end

  test "a serving takes the option" do
    serving = Nx.Serving.jit(&softmax(&1, axes: [-1]), compiler: Emily.Compiler, fast: true)
    rows = for seed <- [0, 1], do: tensor({6}, :f32, seed)
    result = Nx.Serving.run(serving, Nx.Batch.stack(rows))
    plain = compiled(&softmax(&1, axes: [-1]), [Nx.stack(rows)])
    assert distance(result, plain) <= bound({:f, 32}, softmax_roundings(6))
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
