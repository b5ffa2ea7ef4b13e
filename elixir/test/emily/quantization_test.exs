defmodule Emily.QuantizationTest do
  use ExUnit.Case, async: true

  import Nx.Defn, only: [defn: 2]

  alias Emily.{Quantization, TelemetryLog}

  @codings for group_size <- [32, 64, 128],
               bits <- [2, 3, 4, 5, 6, 8],
               do: [group_size: group_size, bits: bits]

  # On Nx.BinaryBackend: numbers that neither repeat nor grow.
  defp wave(shape, step) do
    Nx.with_default_backend(Nx.BinaryBackend, fn ->
      shape |> Nx.iota(type: :f32) |> Nx.multiply(step) |> Nx.sin()
    end)
  end

  # Two rows of two groups each.
  defp packed(opts, type \\ :f32) do
    words = div(2 * opts[:group_size] * opts[:bits], 32)

    Nx.with_default_backend(Nx.BinaryBackend, fn ->
      packed = {2, words} |> Nx.iota(type: :u32) |> Nx.multiply(0x9E3779B9)
      [packed, Nx.as_type(wave({2, 2}, 0.7), type), Nx.as_type(wave({2, 2}, 1.9), type)]
    end)
  end

  # Two rows of some groups: any elements but NaN, and scales about 1.
  defp small_floats(mode) do
    {words, groups, scale} =
      case mode do
        :mxfp4 -> {8, 2, 124}
        :mxfp8 -> {16, 2, 124}
        :nvfp4 -> {8, 4, 0x34}
      end

    Nx.with_default_backend(Nx.BinaryBackend, fn ->
      packed = {2, words} |> Nx.iota(type: :u32) |> Nx.multiply(0x01234567)
      [packed, Nx.add(Nx.iota({2, groups}, type: :u8), scale)]
    end)
  end

  defp on_emily(tensors), do: Enum.map(tensors, &Nx.backend_copy(&1, Emily.Backend))

  defp assert_close(left, right, tolerance) do
    [left, right] = for t <- [left, right], do: Nx.backend_copy(t, Nx.BinaryBackend)
    assert {left.shape, left.type} == {right.shape, right.type}
    distance = left |> Nx.subtract(right) |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()
    assert distance <= tolerance
  end

  # No block ran its default function, and no callback Nx.BinaryBackend's.
  defp assert_native(fun) do
    TelemetryLog.attach([[:emily, :block, :fallback], [:emily, :fallback, :start]])
    result = fun.()
    assert TelemetryLog.flush() == []
    result
  end

  defn scaled(packed, scales, biases) do
    Quantization.dequantize(packed, scales, biases, group_size: 32, bits: 3) * 2
  end

  describe "quantize/2" do
    test "is one operation on Emily, and composed elsewhere to the same bits" do
      # Nx.BinaryBackend does not round to bf16.
      for opts <- @codings, type <- [:f32, :f16] do
        matrix = Nx.as_type(wave({2, 3, 2 * opts[:group_size]}, 0.37), type)
        composed = Quantization.quantize(matrix, opts)
        native = assert_native(fn -> Quantization.quantize(hd(on_emily([matrix])), opts) end)

        for {native, composed} <- Enum.zip(Tuple.to_list(native), Tuple.to_list(composed)) do
          assert %Nx.BinaryBackend{} = composed.data
          assert %Emily.Backend{} = native.data
          assert {native.shape, native.type} == {composed.shape, composed.type}
          assert Nx.to_binary(native) == Nx.to_binary(composed)
        end
      end
    end

    test "is off by the scale at most, and by half of it where codes do not run out" do
      for opts <- @codings do
        [matrix] = on_emily([wave({3, 2 * opts[:group_size]}, 0.37)])
        {packed, scales, biases} = Quantization.quantize(matrix, opts)
        back = Quantization.dequantize(packed, scales, biases, opts)
        scale = scales |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()
        # The code's three roundings and the element's two, of numbers up to 2, in f32.
        assert_close(back, matrix, scale + 5 * 2.0e-7)

        # Codes that are neither the least nor the largest.
        most = 2 ** opts[:bits] - 1
        ones = Nx.broadcast(1.0, {3, 2})
        codes = Quantization.dequantize(packed, ones, Nx.multiply(ones, 0), opts)
        inner = Nx.logical_and(Nx.greater(codes, 0), Nx.less(codes, most))
        assert_close(Nx.select(inner, back, matrix), matrix, scale / 2 + 5 * 2.0e-7)
      end
    end

    test "refuses what has no code where a result is read" do
      [matrix] = on_emily([Nx.tensor([List.duplicate(:nan, 64)], type: :f32)])
      {packed, _scales, _biases} = Quantization.quantize(matrix)

      assert_raise ArgumentError, ~r"quantize\(f32\[1,64\].*must be finite", fn ->
        Nx.to_binary(packed)
      end
    end

    test "of small floats is one operation on Emily, and composed elsewhere to the same bits" do
      for mode <- [:mxfp4, :mxfp8, :nvfp4], type <- [:f32, :f16, :bf16] do
        matrix = Nx.as_type(Nx.multiply(wave({2, 3, 64}, 0.37), 5), type)
        {packed, scales} = Quantization.quantize(matrix, mode: mode)
        assert %Nx.BinaryBackend{} = packed.data

        native =
          assert_native(fn -> Quantization.quantize(hd(on_emily([matrix])), mode: mode) end)

        for {native, composed} <- Enum.zip(Tuple.to_list(native), [packed, scales]) do
          assert {native.shape, native.type} == {composed.shape, composed.type}
          assert Nx.to_binary(native) == Nx.to_binary(composed)
        end

        # 5 is at the exponent of 4, where a step is 2 in fp4, and less in fp8.
        back = Quantization.dequantize(packed, scales, nil, mode: mode, type: :f32)
        assert_close(back, Nx.as_type(matrix, :f32), 1.0)
      end
    end

    test "of small floats names the call and the remedy where a matrix does not fit" do
      assert_raise ArgumentError,
                   "fp_quantize(f32[2,24]): rows of 24 elements are no whole groups of 16; pad them",
                   fn -> Quantization.quantize(wave({2, 24}, 1), mode: :nvfp4) end

      assert_raise ArgumentError, ~r"does not take s32", fn ->
        Quantization.quantize(Nx.iota({2, 32}), mode: :mxfp4)
      end

      assert_raise ArgumentError, ~r"unknown keys \[:bits\]", fn ->
        Quantization.quantize(wave({2, 32}, 1), mode: :mxfp4, bits: 4)
      end
    end

    test "names the call and the remedy where a matrix does not fit" do
      assert_raise ArgumentError,
                   "quantize(f32[2,96]): rows of 96 elements are no whole groups of 64; pad them",
                   fn -> Quantization.quantize(wave({2, 96}, 1)) end

      assert_raise ArgumentError, ~r"two axes or more, got \[64\]", fn ->
        Quantization.quantize(wave({64}, 1))
      end
    end
  end

  defn layer(x, packed, scales, biases, offset) do
    Nx.max(Quantization.quantized_matmul(x, packed, scales, biases) + offset, 0)
  end

  test "a layer in four bits is the float one, but for the scale a weight" do
    [x, weights, offset] = on_emily([wave({4, 128}, 0.3), wave({8, 128}, 0.11), wave({8}, 0.9)])
    {packed, scales, biases} = Quantization.quantize(weights)
    exact = x |> Nx.dot([1], weights, [1]) |> Nx.add(offset) |> Nx.max(0)

    # Each term is off by |x| times the scale.
    scale = scales |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()
    size = x |> Nx.abs() |> Nx.sum(axes: [1]) |> Nx.reduce_max() |> Nx.to_number()

    for compiler <- [Nx.Defn.Evaluator, Emily.Compiler] do
      run = Nx.Defn.jit(&layer/5, compiler: compiler)

      assert_close(
        assert_native(fn -> run.(x, packed, scales, biases, offset) end),
        exact,
        size * scale * 1.001
      )
    end
  end

  test "affine codes without biases are told of the mode" do
    [packed, scales, _biases] = packed(group_size: 32, bits: 4)
    x = Nx.broadcast(1.0, {1, 64})
    packed_first = Nx.new_axis(packed, 0)

    for {name, call} <- %{
          "dequantize(u32[2,8], f32[2,2])" => &Quantization.dequantize(packed, scales, &1),
          "quantized_matmul(f32[1,64], u32[2,8], f32[2,2])" =>
            &Quantization.quantized_matmul(x, packed, scales, &1),
          "gather_qmm(f32[1,64], u32[1,2,8], f32[2,2], s32[], s32[])" =>
            &Quantization.gather_qmm(x, packed_first, scales, &1, 0, 0)
        } do
      error = assert_raise ArgumentError, fn -> call.(nil) end
      assert error.message =~ name <> ": the biases are nil, and mode: :affine"
    end
  end

  describe "dequantize/4" do
    test "is one operation on Emily, and composed elsewhere to the same meaning" do
      for opts <- @codings, type <- [:f32, :f16, :bf16] do
        operands = packed(opts, type)
        composed = apply(Quantization, :dequantize, operands ++ [opts])
        assert %Nx.BinaryBackend{} = composed.data
        native = fn -> apply(Quantization, :dequantize, on_emily(operands) ++ [opts]) end
        native = assert_native(native)
        assert %Emily.Backend{} = native.data
        # Half an eps of |scale * code| + |bias|, twice.
        eps = %{f32: 2.0e-7, f16: 1.0e-3, bf16: 8.0e-3}[type]
        assert_close(native, composed, eps * 256)
      end
    end

    test "of small floats is one operation on Emily, and composed elsewhere to the same bits" do
      for mode <- [:mxfp4, :mxfp8, :nvfp4], type <- [:f32, :f16] do
        [packed, scales] = small_floats(mode)
        opts = [mode: mode, type: type]
        composed = Quantization.dequantize(packed, scales, nil, opts)

        native =
          assert_native(fn ->
            [packed, scales] = on_emily([packed, scales])
            Quantization.dequantize(packed, scales, nil, opts)
          end)

        assert {native.type, native.shape} == {composed.type, composed.shape}
        assert Nx.to_binary(native) == Nx.to_binary(composed)
      end

      assert_raise ArgumentError,
                   ~r"mode must be :affine, :mxfp4, :mxfp8 or :nvfp4, got :fp4",
                   fn ->
                     Quantization.dequantize(Nx.u32([[0]]), Nx.u8([[0]]), nil, mode: :fp4)
                   end

      assert_raise ArgumentError, ~r"small floats have no biases; pass nil", fn ->
        Quantization.dequantize(Nx.u32([[0]]), Nx.u8([[0]]), Nx.u8([[0]]), mode: :mxfp4)
      end
    end

    test "runs in defn, under any compiler and on any backend" do
      operands = packed(group_size: 32, bits: 3)
      expected = scaled_eagerly(operands)

      for compiler <- [Nx.Defn.Evaluator, Emily.Compiler],
          operands <- [operands, on_emily(operands)] do
        assert_close(Nx.Defn.jit_apply(&scaled/3, operands, compiler: compiler), expected, 1.0e-5)
      end

      assert_native(fn ->
        Nx.Defn.jit_apply(&scaled/3, on_emily(operands), compiler: Emily.Compiler)
      end)
    end

    test "names the call and the remedy where operands do not fit" do
      [packed, scales, biases] = packed(group_size: 64, bits: 4)

      assert_raise ArgumentError,
                   "dequantize(u32[2,16], f32[2,2], f32[2,2]): packed codes [2,16] do not fit scales " <>
                     "[2,2]: a group of 32 elements takes 4 words of 32 bits",
                   fn -> Quantization.dequantize(packed, scales, biases, group_size: 32) end

      assert_raise ArgumentError, ~r"packed codes must be u32, got s32", fn ->
        Quantization.dequantize(Nx.as_type(packed, :s32), scales, biases)
      end

      assert_raise ArgumentError, ~r"does not take s32; cast to one of f16 bf16 f32 f64", fn ->
        Quantization.dequantize(packed, Nx.as_type(scales, :s32), biases)
      end

      assert_raise ArgumentError, ~r"vectorized tensors are not taken", fn ->
        Quantization.dequantize(Nx.vectorize(packed, :x), scales, biases)
      end

      assert_raise ArgumentError, ~r"unknown keys \[:size\]", fn ->
        Quantization.dequantize(packed, scales, biases, size: 32)
      end
    end
  end

  describe "quantized_matmul/5" do
    test "is one operation on Emily, and composed elsewhere to the same meaning" do
      for opts <- @codings, transpose <- [true, false], type <- [:f32, :f16, :bf16] do
        operands = packed(opts, type)
        inner = if transpose, do: 2 * opts[:group_size], else: 2
        operands = [Nx.as_type(wave({3, inner}, 0.3), type) | operands]
        opts = [transpose: transpose] ++ opts
        composed = apply(Quantization, :quantized_matmul, operands ++ [opts])

        native =
          assert_native(fn ->
            apply(Quantization, :quantized_matmul, on_emily(operands) ++ [opts])
          end)

        # A rounding to the type, and a sum in f32 of so many terms up to 256.
        eps = %{f32: 2.0e-7, f16: 1.0e-3, bf16: 8.0e-3}[type]
        assert_close(native, composed, eps * 256 * inner)
      end
    end

    test "runs where its operands are, whatever the default backend" do
      opts = [group_size: 32, bits: 4]
      operands = [Nx.as_type(wave({3, 64}, 0.3), :f64) | packed(opts, :f64)]
      call = fn -> apply(Quantization, :quantized_matmul, operands ++ [opts]) end
      composed = Nx.with_default_backend(Nx.BinaryBackend, call)
      # Which takes no f64.
      result = Nx.with_default_backend({Emily.Backend, device: :cpu}, call)
      assert %{data: %Nx.BinaryBackend{}, type: {:f, 64}} = result
      assert Nx.to_binary(result) == Nx.to_binary(composed)
    end

    test "of small floats is one operation on Emily, and composed elsewhere to the same meaning" do
      for mode <- [:mxfp4, :mxfp8, :nvfp4],
          transpose <- [true, false],
          type <- [:f32, :f16, :bf16] do
        inner = if transpose, do: 64, else: 2
        [packed, scales] = small_floats(mode)
        x = Nx.as_type(wave({3, inner}, 0.3), type)
        opts = [mode: mode, transpose: transpose]
        composed = Quantization.quantized_matmul(x, packed, scales, nil, opts)

        native =
          assert_native(fn ->
            [x, packed, scales] = on_emily([x, packed, scales])
            Quantization.quantized_matmul(x, packed, scales, nil, opts)
          end)

        # A rounding to the type, and a sum in f32 of so many terms, of which x is up to 1.
        matrix = Quantization.dequantize(packed, scales, nil, mode: mode, type: :f32)
        most = matrix |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()
        eps = %{f32: 2.0e-7, f16: 1.0e-3, bf16: 8.0e-3}[type]
        assert_close(native, composed, eps * most * inner)
      end
    end

    test "names the call and the remedy where small floats do not fit" do
      [packed, scales] = small_floats(:mxfp4)

      assert_raise ArgumentError,
                   "fp_quantized_matmul(f32[1,32], u32[2,8], u8[2,2]): x [1,32] has rows of 32 elements, " <>
                     "and the matrix [2,64], transposed, has 64 to multiply them by",
                   fn ->
                     x = wave({1, 32}, 1)
                     Quantization.quantized_matmul(x, packed, scales, nil, mode: :mxfp4)
                   end

      assert_raise ArgumentError, ~r"scales must be u8, got f32", fn ->
        scales = Nx.as_type(scales, :f32)
        Quantization.quantized_matmul(wave({1, 64}, 1), packed, scales, nil, mode: :mxfp4)
      end

      assert_raise ArgumentError, ~r"does not take s32; cast to one of f16 bf16 f32 f64", fn ->
        Quantization.quantized_matmul(Nx.iota({1, 64}), packed, scales, nil, mode: :mxfp4)
      end
    end

    test "names the call and the remedy where operands do not fit" do
      [packed, scales, biases] = packed(group_size: 64, bits: 4)

      assert_raise ArgumentError,
                   "quantized_matmul(f32[1,64], u32[2,16], f32[2,2], f32[2,2]): x [1,64] has rows of 64 " <>
                     "elements, and the matrix [2,128], transposed, has 128 to multiply them by",
                   fn ->
                     Quantization.quantized_matmul(wave({1, 64}, 1), packed, scales, biases)
                   end

      assert_raise ArgumentError, ~r"x needs two axes or more, got \[128\]", fn ->
        Quantization.quantized_matmul(wave({128}, 1), packed, scales, biases)
      end
    end
  end

  describe "gather_qmm/7" do
    # Three matrices of two rows each.
    defp experts(tensors) do
      for t <- tensors, do: Nx.stack([t, Nx.reverse(t, axes: [0]), t])
    end

    test "is one operation on Emily, and composed elsewhere to the same meaning" do
      for opts <- [
            [group_size: 32, bits: 3],
            [group_size: 64, bits: 4],
            [mode: :mxfp4],
            [mode: :nvfp4]
          ],
          transpose <- [true, false],
          type <- [:f32, :f16, :bf16] do
        matrices =
          case opts[:mode] do
            nil -> opts |> packed(type) |> experts()
            mode -> experts(small_floats(mode)) ++ [nil]
          end

        opts = [transpose: transpose] ++ opts
        inner = if transpose, do: 2 * Keyword.get(opts, :group_size, 32), else: 2
        x = Nx.as_type(wave({4, 3, inner}, 0.3), type)

        call = fn [x, experts | matrices] ->
          matrices = matrices ++ List.duplicate(nil, 3 - length(matrices))
          apply(Quantization, :gather_qmm, [x | matrices] ++ [nil, experts, opts])
        end

        operands = [x, Nx.tensor([2, 0, 1, 1]) | Enum.reject(matrices, &is_nil/1)]
        composed = call.(operands)
        assert %Nx.BinaryBackend{} = composed.data
        native = assert_native(fn -> call.(on_emily(operands)) end)
        # A rounding to the type, and a sum in f32 of so many terms up to 256.
        eps = %{f32: 2.0e-7, f16: 1.0e-3, bf16: 8.0e-3}[type]
        assert_close(native, composed, eps * 256 * inner)
      end
    end

    test "runs in defn, with all of x where there are no indices of it" do
      experts = experts(packed(group_size: 64, bits: 4))
      operands = [wave({4, 1, 128}, 0.3), Nx.tensor([[2], [0], [1], [1]]) | experts]

      call = fn x, picks, packed, scales, biases ->
        x
        |> Nx.new_axis(1)
        |> Quantization.gather_qmm(packed, scales, biases, nil, picks)
        |> Nx.multiply(2)
      end

      expected = apply(call, operands)
      assert expected.shape == {4, 1, 1, 2}

      for compiler <- [Nx.Defn.Evaluator, Emily.Compiler] do
        run = fn -> Nx.Defn.jit_apply(call, on_emily(operands), compiler: compiler) end
        # A sum in f32 of 128 terms up to 16, twice.
        assert_close(assert_native(run), expected, 2.0e-7 * 16 * 128 * 2)
      end
    end

    test "names the call and the remedy where operands do not fit" do
      [packed, scales, biases] = experts(packed(group_size: 64, bits: 4))

      assert_raise ArgumentError,
                   "gather_qmm(f32[1,64], u32[3,2,16], f32[3,2,2], f32[3,2,2], s32[], s32[3]): x [1,64] has rows of " <>
                     "64 elements, and the matrix [3,2,128], transposed, has 128 to multiply them by",
                   fn ->
                     Quantization.gather_qmm(wave({1, 64}, 1), packed, scales, biases, nil, nil)
                   end

      assert_raise ArgumentError, ~r"an index must be an integer, got f32", fn ->
        x = wave({1, 128}, 1)
        Quantization.gather_qmm(x, packed, scales, biases, nil, Nx.tensor([1.0]))
      end

      assert_raise ArgumentError,
                   ~r"index 3 is out of bounds for axis 0 in shape \{3, 2, 16\}",
                   fn ->
                     [x, packed, scales, biases] =
                       on_emily([wave({1, 128}, 1), packed, scales, biases])

                     x
                     |> Quantization.gather_qmm(packed, scales, biases, nil, Nx.tensor([3]))
                     |> Nx.to_binary()
                   end
    end
  end

  defp scaled_eagerly([packed, scales, biases]) do
    packed |> Quantization.dequantize(scales, biases, group_size: 32, bits: 3) |> Nx.multiply(2)
  end
end
