defmodule Emily.FastTest do
  @moduledoc """
  What the suite's calls of `Emily.Fast` do not say: names, vectors, where a function runs, and what it
  says of a call that it cannot make.
  """

  use ExUnit.Case, async: false

  alias Emily.{Fast, TelemetryLog}

  @emily {Emily.Backend, device: :cpu}

  setup do
    Emily.Defaults.set(@emily)
    TelemetryLog.attach([[:emily, :block, :fallback], [:emily, :fallback, :start]])
  end

  @functions [:softmax, :logsumexp, :rms_norm, :layer_norm]

  # A call, and the shapes of its operands.
  defp call(:softmax), do: {&Fast.softmax(&1, axes: [0, -1]), [{2, 3, 4}]}
  defp call(:logsumexp), do: {&Fast.logsumexp(&1, axes: [0, 2], keep_axes: true), [{2, 3, 4}]}

  defp call(:rms_norm), do: {&Fast.rms_norm(&1, &2, eps: 0.5), [{2, 3, 4}, {4}]}
  defp call(:layer_norm), do: {&Fast.layer_norm(&1, &2, &3, eps: 0.5), [{2, 3, 4}, {4}, {4}]}

  # Two matrices, each by two of three.
  defp call(:gather_mm) do
    {&Fast.gather_mm(&1, &2, nil, Nx.add(Nx.iota({1, 2}), 1)), [{2, 1, 3, 4}, {3, 4, 5}]}
  end

  defp operands(shapes, backend \\ @emily) do
    for {shape, i} <- Enum.with_index(shapes) do
      shape
      |> Nx.iota(type: :f32, backend: Nx.BinaryBackend)
      |> Nx.add(i)
      |> Nx.sin()
      |> on(backend)
    end
  end

  defp on(tensor, backend), do: Nx.backend_copy(tensor, backend)

  defp assert_near(left, right) do
    assert {left.shape, left.type, left.names} == {right.shape, right.type, right.names}
    [left, right] = Enum.map([left, right], &on(&1, Nx.BinaryBackend))

    assert Nx.to_number(Nx.all_close(left, right, rtol: 1.0e-5, atol: 1.0e-6)) == 1,
           inspect({left, right})
  end

  for name <- [:gather_mm | @functions] do
    test "#{name} is on Emily what its default is on Nx.BinaryBackend, eagerly and compiled" do
      {fun, shapes} = call(unquote(name))
      native = apply(fun, operands(shapes))
      assert %{data: %Emily.Backend{}} = native

      for compiler <- [Nx.Defn.Evaluator, Emily.Compiler] do
        assert_near(Nx.Defn.jit_apply(fun, operands(shapes), compiler: compiler), native)
      end

      assert TelemetryLog.flush() == []
      Nx.default_backend(Nx.BinaryBackend)
      composed = apply(fun, operands(shapes, Nx.BinaryBackend))
      assert %{data: %Nx.BinaryBackend{}} = composed
      assert_near(native, composed)
      assert_near(Nx.Defn.jit_apply(fun, operands(shapes, Nx.BinaryBackend)), composed)
    end

    test "#{name} has the gradient of its default" do
      {fun, shapes} = call(unquote(name))

      gradients = fn operands ->
        Nx.Defn.grad(List.to_tuple(operands), fn operands ->
          fun |> apply(Tuple.to_list(operands)) |> Nx.sin() |> Nx.sum()
        end)
      end

      native = gradients.(operands(shapes))
      Nx.default_backend(Nx.BinaryBackend)
      composed = gradients.(operands(shapes, Nx.BinaryBackend))
      pairs = Enum.zip(Tuple.to_list(native), Tuple.to_list(composed))
      for {left, right} <- pairs, do: assert_near(left, right)
    end
  end

  for name <- @functions do
    test "#{name} of vectors is that of each" do
      {fun, shapes} = call(unquote(name))
      [first | rest] = operands(shapes)
      others = Nx.multiply(first, 2)
      vectors = Nx.vectorize(Nx.stack([first, others]), :v)
      result = apply(fun, [vectors | rest])
      assert result.vectorized_axes == [v: 2]
      each = Nx.stack([apply(fun, [first | rest]), apply(fun, [others | rest])])
      assert_near(Nx.devectorize(result, keep_names: false), each)
      compiled = Nx.Defn.jit_apply(fun, [vectors | rest], compiler: Emily.Compiler)
      assert_near(Nx.devectorize(compiled, keep_names: false), each)
    end
  end

  test "a norm's weight and bias may be vectors" do
    for {name, fun} <- [
          rms_norm: &Fast.rms_norm(&1, &2),
          layer_norm: &Fast.layer_norm(&1, &2, Nx.multiply(&2, 3))
        ] do
      [x, one, two] = operands([{2, 3}, {3}, {3}])
      weights = Nx.vectorize(Nx.stack([one, two]), :v)
      each = Nx.stack([fun.(x, one), fun.(x, two)])
      result = fun.(x, weights)
      assert {name, result.vectorized_axes} == {name, [v: 2]}
      assert_near(Nx.devectorize(result, keep_names: false), each)
    end

    assert TelemetryLog.flush() == []
  end

  test "axes have names" do
    t = Nx.iota({2, 3}, names: [:row, :column], type: :f32)
    assert Fast.softmax(t).names == [:row, :column]
    assert_near(Fast.softmax(t, axis: :row), Fast.softmax(t, axes: [0]))
    assert Fast.logsumexp(t, axes: [:row]).names == [:column]
    assert Fast.logsumexp(t, axes: [:column], keep_axes: true).names == [:row, :column]
    assert Fast.logsumexp(t).names == []
  end

  test "a call that cannot be made names itself, its operands and what would do" do
    t = Nx.iota({2, 3})

    for {message, call} <- %{
          "softmax(s32[2,3]): axis 2 is out of range for rank 2; it has the axes from -2 to 1" =>
            fn -> Fast.softmax(t, axis: 2) end,
          "softmax(s32[2,3]): axis :x is out of range for rank 2; it has the axes from -2 to 1" =>
            fn -> Fast.softmax(t, axis: :x) end,
          "gather_mm(s32[2,3], s32[2], s32[], s32[]): a matrix needs two axes or more, got [2]" =>
            fn -> Fast.gather_mm(t, Nx.iota({2}), 0, 0) end,
          "gather_mm(s32[2,3], s32[3,1], f32[], s32[]): an index must be an integer, got f32" =>
            fn -> Fast.gather_mm(t, Nx.iota({3, 1}), 0.0, nil) end,
          "gather_mm(s32[3], s32[3,1], s32[], s32[]): vectorized tensors are not taken; use Nx.devectorize/2 first" =>
            fn -> Fast.gather_mm(Nx.vectorize(t, :v), Nx.iota({3, 1}), 0, 0) end,
          "softmax(s32[]): axis -1 is out of range for rank 0; a scalar has none" => fn ->
            Fast.softmax(1)
          end,
          ("logsumexp(c64[1]): logsumexp does not take complex numbers; " <>
             "take a real part first, as Nx.real/1 does") => fn ->
            Fast.logsumexp(Nx.tensor([Complex.new(1, 2)]))
          end
        } do
      assert_raise ArgumentError, "Emily.Fast." <> message, call
    end
  end
end
