defmodule Emily.Quantization.MatrixTest do
  use ExUnit.Case, async: true

  import Nx.Defn

  alias Emily.Quantization.Matrix
  alias Emily.TelemetryLog

  @codings [
    [bits: 4],
    [group_size: 32, bits: 8],
    [mode: :mxfp4],
    [mode: :mxfp8],
    [mode: :nvfp4]
  ]

  # Half the distance from 1 to the next f32.
  @unit 2.0 ** -24

  # Numbers that neither repeat nor grow.
  defp wave(shape, step) do
    shape |> Nx.iota(type: :f32, backend: Emily.Backend) |> Nx.multiply(step) |> Nx.sin()
  end

  defp same?(left, right) do
    {left.shape, left.type} == {right.shape, right.type} and
      Nx.to_binary(left) == Nx.to_binary(right)
  end

  # Two sums of n products of f32, of which an element of the matrix is rounded three times at most, differ by
  # 2(n + 3) roundings of the sum of their moduli: Higham, "Accuracy and Stability of Numerical Algorithms",
  # (3.5). What a code stands for is at most twice the largest element of its group, as both ends of the
  # group's range are within that.
  defp assert_products_agree(left, right, x, matrix, n) do
    largest = &(&1 |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number())
    allowed = 2 * (n + 3) * @unit * n * largest.(x) * 2 * largest.(matrix)
    assert {left.shape, left.type} == {right.shape, right.type}
    assert largest.(Nx.subtract(left, right)) <= allowed
  end

  test "stands for the matrix that codes along an axis are" do
    kernel = wave({128, 192}, 0.37)

    for opts <- @codings, {axis, rows} <- [{-1, kernel}, {-2, Nx.transpose(kernel)}] do
      matrix = Matrix.quantize(kernel, [axis: axis] ++ opts)
      [packed, scales | biases] = rows |> Emily.Quantization.quantize(opts) |> Tuple.to_list()
      biases = List.first(biases)
      typed = if opts[:mode], do: [type: :f32] ++ opts, else: opts
      expected = Emily.Quantization.dequantize(packed, scales, biases, typed)
      expected = if axis == -1, do: expected, else: Nx.transpose(expected)

      assert Matrix.shape(matrix) == {128, 192}
      assert same?(Matrix.dequantize(matrix), expected)
    end
  end

  test "has the type of what it was made of" do
    for type <- [:f16, :bf16, :f32], opts <- @codings do
      kernel = Nx.as_type(wave({64, 3}, 0.37), type)
      assert Matrix.dequantize(Matrix.quantize(kernel, opts)).type == kernel.type
    end
  end

  test "multiplies along either axis, whichever its groups lie along" do
    kernel = wave({64, 128}, 0.37)

    for opts <- @codings, grouped <- [-1, -2], {axis, n} <- [{-2, 64}, {-1, 128}] do
      x = wave({2, 3, n}, 0.11)
      matrix = Matrix.quantize(kernel, [axis: grouped] ++ opts)
      float = Matrix.dequantize(matrix)
      expected = Nx.dot(x, [-1], float, [axis])
      assert_products_agree(Matrix.dot(x, matrix, axis: axis), expected, x, float, n)
    end
  end

  test "gives its rows by index, as Nx.take/2" do
    kernel = wave({10, 64}, 0.37)

    for opts <- @codings, indices <- [Nx.tensor([[3, 0, 9], [1, 1, 2]]), Nx.tensor(7)] do
      matrix = Matrix.quantize(kernel, [axis: -1] ++ opts)
      assert same?(Matrix.take(matrix, indices), Nx.take(Matrix.dequantize(matrix), indices))
    end
  end

  test "multiplies matrices picked by index" do
    experts = wave({3, 64, 32}, 0.37)
    x = wave({4, 1, 64}, 0.11)
    picks = Nx.tensor([2, 0, 1, 1])

    for opts <- @codings do
      matrix = Matrix.quantize(experts, opts)
      float = Matrix.dequantize(matrix)
      expected = Emily.Fast.gather_mm(x, float, nil, picks)
      picked = Matrix.gather_dot(x, matrix, nil, picks)
      assert_products_agree(picked, expected, x, float, 64)
    end
  end

  defn layer(x, %{kernel: kernel, bias: bias}), do: Nx.max(Matrix.dot(x, kernel) + bias, 0)

  defp dense(x, %{kernel: kernel, bias: bias}) do
    x |> Nx.dot(Matrix.dequantize(kernel)) |> Nx.add(bias) |> Nx.max(0)
  end

  test "is an argument of defn and one operation there" do
    x = wave({4, 64}, 0.3)

    for opts <- @codings, compiler <- [Nx.Defn.Evaluator, Emily.Compiler] do
      params = %{kernel: Matrix.quantize(wave({64, 8}, 0.11), opts), bias: wave({8}, 0.9)}
      TelemetryLog.attach([[:emily, :block, :fallback], [:emily, :fallback, :start]])
      result = Nx.Defn.jit_apply(&layer/2, [x, params], compiler: compiler)
      assert TelemetryLog.flush() == []

      # Their sums differ as products do, and the addition rounds once more.
      assert_products_agree(result, dense(x, params), x, Matrix.dequantize(params.kernel), 65)
    end
  end

  test "is made inside defn as outside" do
    kernel = wave({64, 8}, 0.11)

    for opts <- @codings do
      inside =
        Nx.Defn.jit_apply(&Matrix.quantize(&1, opts), [kernel], compiler: Emily.Compiler)

      assert same?(Matrix.dequantize(inside), Matrix.dequantize(Matrix.quantize(kernel, opts)))
    end
  end

  test "is held by a serving" do
    params = %{kernel: Matrix.quantize(wave({64, 8}, 0.11), bits: 8), bias: wave({8}, 0.9)}
    x = wave({64}, 0.3)

    serving =
      Nx.Serving.new(
        fn opts ->
          run = Nx.Defn.jit(&layer/2, opts)
          &run.(&1, params)
        end,
        compiler: Emily.Compiler
      )

    served = Nx.Serving.run(serving, Nx.Batch.stack([x]))
    assert same?(served, layer(Nx.new_axis(x, 0), params))
  end

  test "goes between backends and through Nx.serialize/1 to the bit" do
    for opts <- @codings do
      matrix = Matrix.quantize(wave({64, 8}, 0.11), opts)
      copy = Nx.backend_copy(matrix, Nx.BinaryBackend)
      assert %Nx.BinaryBackend{} = copy.tensors.packed.data

      assert same?(
               Matrix.dequantize(copy),
               Nx.backend_copy(Matrix.dequantize(matrix), Nx.BinaryBackend)
             )

      back = matrix |> Nx.serialize() |> IO.iodata_to_binary() |> Nx.deserialize()
      assert same?(Matrix.dequantize(back), Matrix.dequantize(matrix))
    end
  end

  test "a gradient goes through it to what is multiplied" do
    x = wave({4, 64}, 0.3)
    matrix = Matrix.quantize(wave({64, 8}, 0.11), bits: 4)
    float = Matrix.dequantize(matrix)

    gradient = fn x, matrix, product ->
      slope = fn x, matrix -> Nx.Defn.grad(x, &Nx.sum(product.(&1, matrix))) end
      Nx.Defn.jit_apply(slope, [x, matrix], compiler: Emily.Compiler)
    end

    expected = gradient.(x, float, &Nx.dot/2)
    gradient = gradient.(x, matrix, &Matrix.dot/2)
    assert_products_agree(gradient, expected, Nx.tensor(1.0), float, 8)
  end

  test "says its shape and coding, not its numbers" do
    matrix = Matrix.quantize(wave({64, 8}, 0.11), group_size: 32, bits: 4)

    assert inspect(matrix) ==
             "#Emily.Quantization.Matrix<f32[64][8], axis: -2, mode: :affine, group_size: 32, bits: 4>"

    assert inspect(Matrix.quantize(wave({2, 64}, 0.1), axis: 1, mode: :nvfp4)) ==
             "#Emily.Quantization.Matrix<f32[2][64], axis: -1, mode: :nvfp4>"
  end

  test "what does not fit is told by name" do
    assert_raise ArgumentError,
                 "Matrix.quantize(f32[64,8], axis: -3): the axis must be one of the last two, -2 or -1",
                 fn -> Matrix.quantize(wave({64, 8}, 1), axis: -3) end

    assert_raise ArgumentError, ~r"rows of 8 elements are no whole groups of 64; pad them", fn ->
      Matrix.quantize(wave({64, 8}, 1), axis: -1)
    end

    assert_raise ArgumentError, ~r"a matrix needs two axes or more, got \[64\]", fn ->
      Matrix.quantize(wave({64}, 1))
    end

    assert_raise ArgumentError, ~r"mode must be :affine, :mxfp4, :mxfp8 or :nvfp4", fn ->
      Matrix.quantize(wave({64, 8}, 1), mode: :fp4)
    end

    matrix = Matrix.quantize(wave({64, 8}, 1), bits: 4)

    assert_raise ArgumentError, ~r"Matrix.dot.*axis must be one of the last two", fn ->
      Matrix.dot(wave({2, 64}, 1), matrix, axis: 2)
    end

    assert_raise ArgumentError,
                 "Matrix.take(f32[64,8], s32[1]): rows are taken of a matrix of two axes that is grouped " <>
                   "along the last; quantize it with axis: -1",
                 fn -> Matrix.take(matrix, Nx.tensor([0])) end

    matrix = Matrix.quantize(Nx.iota({8, 64}, type: :f32), axis: -1)

    assert_raise ArgumentError, ~r"^Matrix.take\(f32\[8,64\].*vectorized.*devectorize", fn ->
      Matrix.take(matrix, Nx.vectorize(Nx.tensor([1, 2]), :x))
    end
  end
end
