defmodule Emily.DebugTest do
  use ExUnit.Case, async: true

  alias Emily.TestNode

  @families [:Conv, :Fast, :Index, :LinAlg, :Quantized]
  @dependents for family <- @families, do: Module.concat(Emily.Backend, family)
  @sources for file <- ["debug" | Enum.map(@families, &"backend/#{String.downcase("#{&1}")}")],
               do: Path.expand("../../lib/emily/#{file}.ex", __DIR__)

  # A VM whose modules are compiled with the flags on; this one's stay as they are.
  defp compiled_with(flags) do
    peer = TestNode.start([], flags)
    call = &:peer.call(peer, &1, &2, &3, 60_000)
    call.(Code, :compiler_options, [[ignore_module_conflict: true]])

    compiled =
      for file <- @sources,
          {module, beam} <- call.(Code, :compile_file, [file]),
          do: {module, beam}

    {call, Map.new(compiled)}
  end

  # What a module calls in Emily.Debug.
  defp checks(beam) do
    {:ok, {_module, [imports: imports]}} = :beam_lib.chunks(beam, [:imports])
    for {Emily.Debug, name, _arity} <- imports, do: name
  end

  test "off, no code of the checks is left" do
    for module <- @dependents, do: assert(checks(:code.which(module)) == [])
  end

  test "each flag brings its own check" do
    {_call, beams} = compiled_with(debug_bounds_check: true)

    assert for(d <- @dependents, do: checks(beams[d])) == [
             [],
             [:await!],
             [:await!],
             [],
             [:await!]
           ]

    {_call, beams} = compiled_with(debug_detect_nan_inf: true)
    found = for d <- @dependents, do: checks(beams[d])
    assert found == [[:finite!], [:finite!], [], [:finite!], [:finite!]]
  end

  # A tensor does not leave its VM, so the whole call is made there.
  defp there(call, function, args), do: call.(Emily.TestCalls, :apply_to_lists, [function, args])

  test "with the bounds check, an index out of range raises at the call" do
    {call, _beams} = compiled_with(debug_bounds_check: true)
    t = [1, 2, 3]
    assert there(call, :gather, [t, [[2]]]) == :done

    for {function, args} <- [
          gather: [t, [[3]]],
          take: [t, [-1]],
          take_along_axis: [t, [5]],
          indexed_add: [t, [[3]], [1]],
          indexed_put: [t, [[-1]], [1]]
        ] do
      assert_raise ArgumentError,
                   ~r/^index -?\d is out of bounds for axis 0 in shape \{/,
                   fn -> there(call, function, args) end
    end
  end

  # Two matrices of one row of 32 codes, each of which is 1.
  @codes {[[[0x55555555, 0x55555555]], [[0x55555555, 0x55555555]]], :u32}
  @ones [[[1.0]], [[1.0]]]
  @zeros [[[0.0]], [[0.0]]]
  @affine [group_size: 32, bits: 2]

  # In mxfp8: 0x38 is 1, 0x7f the scale 1.
  @bytes {for(_ <- 1..2, do: [List.duplicate(0x38383838, 8)]), :u32}
  @scales {[[[0x7F]], [[0x7F]]], :u8}

  defp row(number), do: [[List.duplicate(number, 32)]]

  test "with the bounds check, a matrix that is picked out of range raises at the call" do
    {call, _beams} = compiled_with(debug_bounds_check: true)
    fast = &call.(Emily.TestCalls, :apply_to_lists, [Emily.Fast, :gather_mm, &1])
    matrices = [[[1.0]], [[2.0]]]
    assert fast.([matrices, matrices, nil, [1, 0]]) == :done
    message = ~r/^index 2 is out of bounds/
    assert_raise ArgumentError, message, fn -> fast.([matrices, matrices, nil, [2, 0]]) end

    gather = fn lists, opts ->
      args = [Emily.Quantization, :gather_qmm, lists, opts]
      call.(Emily.TestCalls, :apply_to_lists, args)
    end

    for {operands, opts} <- [
          {[@codes, @ones, @zeros], @affine},
          {[@bytes, @scales, nil], [mode: :mxfp8]}
        ] do
      assert gather.([row(1.0)] ++ operands ++ [nil, [1]], opts) == :done

      assert_raise ArgumentError, message, fn ->
        gather.([row(1.0)] ++ operands ++ [nil, [2]], opts)
      end
    end
  end

  test "with the NaN check, a convolution and products of packed or picked matrices are looked at" do
    {call, _beams} = compiled_with(debug_detect_nan_inf: true)
    apply = &call.(Emily.TestCalls, :apply_to_lists, [&1, &2, &3, &4])
    picked = [nil, [1]]
    affine = [@codes, @ones, @zeros]
    mxfp8 = [@bytes, @scales, nil]

    for {module, function, operands, opts} <- [
          {Nx, :conv, [row(1.0)], []},
          {Emily.Fast, :gather_mm, [for(_ <- 1..2, do: List.duplicate([1.0], 32)) | picked], []},
          {Emily.Quantization, :gather_qmm, affine ++ picked, @affine},
          {Emily.Quantization, :gather_qmm, mxfp8 ++ picked, [mode: :mxfp8]},
          {Emily.Quantization, :quantized_matmul, affine, @affine},
          {Emily.Quantization, :quantized_matmul, mxfp8, [mode: :mxfp8]}
        ] do
      assert apply.(module, function, [row(1.0) | operands], opts) == :done

      assert_raise ArithmeticError,
                   ~r/^\w*#{String.slice("#{function}", -3, 3)}\w* gave a NaN/,
                   fn ->
                     apply.(module, function, [row(:nan) | operands], opts)
                   end
    end
  end

  test "with the NaN check, a product with a NaN or an infinity raises at the call" do
    {call, _beams} = compiled_with(debug_detect_nan_inf: true)

    for bad <- [:nan, :infinity, :neg_infinity] do
      operands = [[1.0, bad], [1.0, bad]]
      assert_raise ArithmeticError, ~r/dot gave a NaN/, fn -> there(call, :dot, operands) end
    end

    for {norm, vectors} <- [rms_norm: [[1.0, 1.0]], layer_norm: [[1.0, 1.0], [0.0, 0.0]]] do
      fast = &call.(Emily.TestCalls, :apply_to_lists, [Emily.Fast, norm, [&1 | vectors]])
      assert fast.([[1.0, 2.0]]) == :done
      assert_raise ArithmeticError, ~r/#{norm} gave a NaN/, fn -> fast.([[1.0, :nan]]) end
    end

    attend = fn key ->
      lists = Enum.map([[0.0], [key], [1.0]], &[[[&1]]])
      call.(Emily.TestCalls, :apply_to_lists, [Emily.Fast, :scaled_dot_product_attention, lists])
    end

    assert attend.(1.0) == :done
    message = ~r/scaled_dot_product_attention gave a NaN/
    assert_raise ArithmeticError, message, fn -> attend.(:infinity) end

    complex = [[Complex.new(1.0, :infinity)], [1.0]]
    assert_raise ArithmeticError, fn -> there(call, :dot, complex) end

    # Their sum overflows, and they do not.
    assert there(call, :dot, [[[3.0e38], [3.0e38]], [1.0]]) == :done
    assert there(call, :dot, [[1, 2], [3, 4]]) == :done
  end
end
