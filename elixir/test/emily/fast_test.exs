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

  @functions [
    :softmax,
    :logsumexp,
    :rms_norm,
    :layer_norm,
    :scaled_dot_product_attention,
    :rope,
    :einsum
  ]

  # A call, and the shapes of its operands.
  defp call(:softmax), do: {&Fast.softmax(&1, axes: [0, -1]), [{2, 3, 4}]}
  defp call(:logsumexp), do: {&Fast.logsumexp(&1, axes: [0, 2], keep_axes: true), [{2, 3, 4}]}

  defp call(:rms_norm), do: {&Fast.rms_norm(&1, &2, eps: 0.5), [{2, 3, 4}, {4}]}
  defp call(:layer_norm), do: {&Fast.layer_norm(&1, &2, &3, eps: 0.5), [{2, 3, 4}, {4}, {4}]}

  defp call(:scaled_dot_product_attention) do
    shapes = [{2, 4, 3, 5}, {2, 2, 6, 5}, {2, 2, 6, 3}, {3, 6}, {4}]

    {fn query, key, value, mask, sinks ->
       options = [mask: mask, sinks: sinks, causal: true, scale: 0.5]
       Fast.scaled_dot_product_attention(query, key, value, options)
     end, shapes}
  end

  defp call(:rope), do: {&Fast.rope(&1, dims: 4, base: 50, offset: 3), [{2, 3, 5}]}

  defp call(:einsum) do
    {&Fast.einsum("iij,jk,...k->k...i", [&1, &2, &3]), [{2, 2, 3}, {3, 4}, {2, 4}]}
  end

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
    test "#{name} runs where its operands are, whatever the default backend" do
      {fun, shapes} = call(unquote(name))
      Nx.default_backend(Nx.BinaryBackend)
      assert %{data: %Emily.Backend{}} = native = apply(fun, operands(shapes))
      # A type that Emily does not take there.
      wide = for operand <- operands(shapes, Nx.BinaryBackend), do: Nx.as_type(operand, :f64)
      composed = apply(fun, wide)
      assert_near(Nx.as_type(composed, :f32), native)
      Nx.default_backend(@emily)
      result = apply(fun, wide)
      assert %{data: %Nx.BinaryBackend{}, type: {:f, 64}} = result
      assert Nx.to_binary(result) == Nx.to_binary(composed)
    end

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

  test "an infinite weight makes an infinity of what vanishes beside the largest, on any backend" do
    for backend <- [Nx.BinaryBackend, @emily] do
      [x, weight] =
        for list <- [[1.0e-20, 1.0e30], [:infinity, 1.0]], do: Nx.tensor(list, backend: backend)

      assert [:infinity, second] = Nx.to_list(Fast.rms_norm(x, weight, eps: 0.0))
      assert_in_delta second, :math.sqrt(2), 1.0e-6
    end
  end

  defmodule InDefn do
    import Nx.Defn

    defn softmax(x), do: Fast.softmax(x, axis: 0)
    defn logsumexp(x), do: Fast.logsumexp(x, axes: [0])
    defn rms_norm(x, weight), do: Fast.rms_norm(x, weight, eps: 0.5)
    defn layer_norm(x, weight, bias), do: Fast.layer_norm(x, weight, bias)

    defn einsum(a, b), do: Fast.einsum("ij,j->i", [a, b])
    defn rope(x, offset), do: Fast.rope(x, offset: offset)

    defn scaled_dot_product_attention(query, key, value, mask) do
      Fast.scaled_dot_product_attention(query, key, value, mask: mask)
    end
  end

  test "each is called inside defn" do
    x = Nx.tensor([1.0, 1.0])
    assert_near(InDefn.softmax(x), Nx.tensor([0.5, 0.5]))
    assert_near(InDefn.logsumexp(x), Fast.logsumexp(x))
    assert_near(InDefn.rms_norm(x, x), Fast.rms_norm(x, x, eps: 0.5))
    assert_near(InDefn.layer_norm(x, x, x), Fast.layer_norm(x, x, x))

    assert_near(
      InDefn.rope(Nx.tensor([[1.0, 0.0]]), 2),
      Fast.rope(Nx.tensor([[1.0, 0.0]]), offset: 2)
    )

    assert_near(InDefn.einsum(Nx.tensor([[1.0, 2.0]]), x), Nx.tensor([3.0]))
    [query, mask] = operands([{1, 1, 2, 3}, {2, 2}])

    assert_near(
      InDefn.scaled_dot_product_attention(query, query, query, mask),
      Fast.scaled_dot_product_attention(query, query, query, mask: mask)
    )
  end

  test "every operand of attention may be vectors" do
    {fun, shapes} = call(:scaled_dot_product_attention)
    one = operands(shapes)
    two = Enum.map(one, &Nx.multiply(&1, -0.7))
    pairs = Enum.zip_with(one, two, &Nx.vectorize(Nx.stack([&1, &2]), :v))

    for at <- [[0], [1], [2], [3], [4], [0, 1, 2, 3, 4]] do
      pick = fn vectors, plain ->
        for i <- 0..4, do: if(i in at, do: Enum.at(vectors, i), else: Enum.at(plain, i))
      end

      result = apply(fun, pick.(pairs, one))
      assert result.vectorized_axes == [v: 2]
      each = Nx.stack([apply(fun, one), apply(fun, pick.(two, one))])
      assert_near(Nx.devectorize(result, keep_names: false), each)
    end
  end

  test "offsets of rope may be vectors, one for each of a batch, and arguments" do
    [x] = operands([{2, 3, 4}])
    turn = &Fast.rope(&1, offset: &2)
    one = turn.(x, Nx.tensor([5, 7]))
    assert_near(one[0], turn.(x[0], 5))
    assert_near(one[1], turn.(x[1], Nx.tensor(7, type: :u8)))

    for offsets <- [Nx.tensor([5, 7]), Nx.tensor([[5, 1], [7, 2]])] do
      result = turn.(x, Nx.vectorize(offsets, :v))
      assert result.vectorized_axes == [v: 2]
      each = Nx.stack([turn.(x, offsets[0]), turn.(x, offsets[1])])
      assert_near(Nx.devectorize(result, keep_names: false), each)
    end

    both = turn.(Nx.vectorize(x, :v), Nx.vectorize(Nx.tensor([5, 7]), :v))
    assert_near(Nx.devectorize(both, keep_names: false), one)

    step = Nx.Defn.compile(turn, [x, Nx.tensor(0)], compiler: Emily.Compiler)
    assert_near(step.(x, Nx.tensor(9)), turn.(x, 9))
    assert TelemetryLog.flush() == []
  end

  test "angles of rope are those of real numbers on any backend" do
    turn = fn -> Fast.rope(Nx.tensor([[1.0, 1.0, 0.0, 0.0]]), offset: 100_000) end
    native = turn.()
    Nx.default_backend(Nx.BinaryBackend)
    composed = turn.()
    assert_near(native, composed)
    angles = [100_000, 1000]
    expected = Enum.map(angles, &:math.cos/1) ++ Enum.map(angles, &:math.sin/1)
    assert_near(composed, Nx.tensor([expected], type: :f32))
  end

  test "equations are read as they are written" do
    a = Nx.iota({2, 3})
    b = Nx.add(Nx.iota({3, 2}), 1)
    square = Nx.iota({2, 2})

    for {equation, tensors, expected} <- [
          {"ij,jk->ik", [a, b], Nx.dot(a, b)},
          {" ij , jk -> ik ", [a, b], Nx.dot(a, b)},
          {"ij,jk", [a, b], Nx.dot(a, b)},
          {"ba", [a], Nx.transpose(a)},
          {"iJ", [a], Nx.transpose(a)},
          {"ij,ji", [a, b], Nx.sum(Nx.dot(a, b) |> Nx.take_diagonal())},
          {"ii", [square], Nx.tensor(3)},
          {"ii->i", [square], Nx.tensor([0, 3])},
          {"i,j->ij", [square[0], a[0]], Nx.outer(square[0], a[0])},
          {"...->...", [a], a},
          {"...", [a], a},
          {"...i->i...", [a], Nx.transpose(a)},
          {"i...->...", [a], Nx.sum(a, axes: [0])},
          {"...i,...i->...", [a, a[0]], Nx.dot(a, a[0])},
          {"...i,i...", [Nx.reshape(a, {1, 2, 3}), b],
           Nx.dot(a, b) |> then(&Nx.tensor([Nx.to_flat_list(Nx.take_diagonal(&1))]))},
          {",i", [2, a[0]], Nx.multiply(2, a[0])},
          {"->", [5], Nx.tensor(5)},
          {"ij,jk,kl->il", [a, b, a], Nx.dot(Nx.dot(a, b), a)},
          {"i,i,i,i,i,i,i,i->", List.duplicate(Nx.tensor([1, 2]), 8), Nx.tensor(257)}
        ] do
      result = Fast.einsum(equation, tensors)
      assert {equation, result.shape, result.type} == {equation, expected.shape, expected.type}
      assert {equation, Nx.to_flat_list(result)} == {equation, Nx.to_flat_list(expected)}
    end
  end

  test "an equation that cannot be is named, with the place and what would do" do
    a = Nx.iota({2, 3})

    for {equation, tensors, message} <- [
          {"ij,jk->iz", [a, Nx.iota({3, 2})],
           ~S("ij,jk->iz", position 8: z is no operand's label)},
          {"ij->ii", [a], ~S("ij->ii", position 5: i is in the result already; name it once)},
          {"i1->i", [a], ~S("i1->i", position 1: "1" means nothing; labels are letters)},
          {"ij-i", [a], ~S("ij-i", position 2: "-" means nothing)},
          {"ij..", [a], ~S("ij..", position 2: "." means nothing)},
          {"ij->i->j", [a], ~S("ij->i->j", position 5: -> stands in the result)},
          {"ij->i,j", [a], ~S("ij->i,j", position 5: , stands in the result)},
          {"...i...", [a], ~S("...i...", position 4: ... stands for all axes without a label)},
          {"...i->i", [a],
           ~S("...i->i", position 0: the result lacks the axes that ... stands for)},
          {"i->i", [a],
           ~S|"i->i", position 0: "i" labels 1 axes, and the operand [2,3] has 2; add some|},
          {"i,ijk", [a[0], a],
           ~S|"i,ijk", position 2: "ijk" labels 3 axes, and the operand [2,3] has 2; take some|},
          {"ij", [a, a], ~S(equation "ij" is of 1 operands, got 2; separate theirs by commas)},
          {"ij,ij->ij", [a, Nx.iota({3, 2})],
           "label i: axes of one label have the sizes 2 and 3"},
          {"...,...", [a, Nx.iota({3, 2})], "axis -2 of those under ...: axes of one label have"},
          {"i,i,i,i,i,i,i,i,i", List.duplicate(a[0], 9), "einsum takes 8 tensors at most, got 9"},
          {~c"ij", [a], "an equation is a string"}
        ] do
      error = assert_raise ArgumentError, fn -> Fast.einsum(equation, tensors) end
      assert error.message =~ message
      assert error.message =~ ~r/^Emily.Fast.einsum\(s32\[/
    end
  end

  test "masks of integers choose, and axes keep their names" do
    [query, value] = operands([{1, 1, 2, 3}, {1, 1, 2, 3}])
    query = Nx.rename(query, [:batch, :heads, :length, :features])
    attend = &Fast.scaled_dot_product_attention(query, query, value, mask: &1)
    assert attend.(Nx.tensor([1, 1])).names == query.names
    assert_near(attend.(Nx.tensor([[2, 0], [0, 1]])), Nx.rename(value, query.names))
    assert Nx.to_number(Nx.any(Nx.is_nan(attend.(Nx.tensor([[0, 0], [1, 1]]))))) == 1

    scaled = &Fast.scaled_dot_product_attention(query, query, value, scale: &1)
    assert_near(scaled.(10 ** 30), scaled.(1.0e30))

    for scale <- [:infinity, "1", Nx.tensor(1), 10 ** 400] do
      assert_raise ArgumentError, ~r/scale must be a real number/, fn ->
        Fast.scaled_dot_product_attention(query, query, value, scale: scale)
      end
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
          "softmax(s32[2,3]): axes must be a list of axes, got: 1" => fn ->
            Fast.softmax(t, axes: 1)
          end,
          "softmax(s32[2,3]): axes and axis exclude each other; give one of them" => fn ->
            Fast.softmax(t, axes: [0], axis: 1)
          end,
          "logsumexp(s32[2,3]): axes must be a list of axes, got: 1" => fn ->
            Fast.logsumexp(t, axes: 1)
          end,
          "rope(s32[2,3]): an offset must be an integer of 64 bits, got: 9223372036854775808" =>
            fn ->
              Fast.rope(t, offset: 0x8000_0000_0000_0000)
            end,
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
