defmodule Emily.DebugTest do
  use ExUnit.Case, async: true

  alias Emily.TestNode

  @sources for file <- ~w(debug.ex backend/fast.ex backend/index.ex backend/linalg.ex),
               do: Path.expand("../../lib/emily/#{file}", __DIR__)
  @dependents [Emily.Backend.Fast, Emily.Backend.Index, Emily.Backend.LinAlg]

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
    assert checks(beams[Emily.Backend.Index]) == [:await!]
    assert checks(beams[Emily.Backend.LinAlg]) == []
    assert checks(beams[Emily.Backend.Fast]) == []
    {_call, beams} = compiled_with(debug_detect_nan_inf: true)
    assert checks(beams[Emily.Backend.Index]) == []
    assert checks(beams[Emily.Backend.LinAlg]) == [:finite!]
    assert checks(beams[Emily.Backend.Fast]) == [:finite!]
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
