defmodule Emily.FallbackTest do
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  defmodule Halves do
    defstruct []
  end

  setup do
    on_exit(fn ->
      Application.delete_env(:emily, :fallback)
      Application.delete_env(:emily, :warn_on_fallback)
    end)
  end

  # A function of the caller's is what the engine will never have.
  defp reduce(size) do
    Nx.reduce(Nx.iota({size}, type: :f32, backend: Emily.Backend), 0.0, &Nx.add/2)
  end

  defp factors(%Nx.Tensor{} = tensor), do: [tensor]
  defp factors(tuple), do: Tuple.to_list(tuple)

  test "it is silent unless configured" do
    assert capture_log(fn -> reduce(11) end) == ""
  end

  test ":warn logs once per operation and shapes" do
    Application.put_env(:emily, :fallback, :warn)
    log = capture_log(fn -> for _ <- 1..3, do: reduce(12) end)

    assert [_before, _after] =
             String.split(log, "Emily has no native reduce: reduce(f32[12], f32[])")

    assert capture_log(fn -> reduce(13) end) =~ "reduce(f32[13]"
    assert capture_log(fn -> reduce(12) end) == ""
  end

  test "the older boolean is :warn, unless :fallback is set" do
    Application.put_env(:emily, :warn_on_fallback, true)
    assert capture_log(fn -> reduce(14) end) =~ "reduce(f32[14]"
    Application.put_env(:emily, :fallback, :silent)
    assert capture_log(fn -> reduce(15) end) == ""
  end

  test ":raise is a RuntimeError on entry, seen by telemetry, and spares native operations" do
    Emily.TelemetryLog.attach([[:emily, :fallback, :exception]])
    Application.put_env(:emily, :fallback, :raise)
    t = Nx.iota({3}, type: :f32, backend: Emily.Backend)
    assert Nx.to_list(Nx.exp(Nx.add(t, 1))) |> length() == 3
    assert_raise RuntimeError, ~r/no native reduce: reduce\(f32\[3\].*:raise/, fn -> reduce(3) end
    assert [{_, _, %{op: :reduce, kind: :error}}] = Emily.TelemetryLog.flush()
  end

  test "an unknown policy is told" do
    Application.put_env(:emily, :fallback, :loud)
    assert_raise ArgumentError, ~r/:silent, :warn, :raise, got: :loud/, fn -> reduce(16) end
  end

  test "operands are copied out wherever an argument holds them, and the result is copied in" do
    t = Nx.iota({2, 3}, names: [:x, :y], type: :s32, backend: {Emily.Backend, device: :cpu})
    one = Nx.tensor(1, backend: Emily.Backend)
    like = &%{t | shape: &1, names: [:x, :y]}

    for {op, args, want} <- [
          {:add, [like.({2, 3}), t, t], [0, 2, 4, 6, 8, 10]},
          {:concatenate, [like.({4, 3}), [t, t], 0], [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]},
          {:slice, [like.({1, 2}), t, [one, 1], [1, 2], [1, 1]], [4, 5]},
          {:sum, [like.({1, 3}), t, [axes: [0], keep_axes: true]], [3, 5, 7]}
        ] do
      result = Emily.Fallback.run(op, args)
      assert %Nx.Tensor{data: %Emily.Backend{device: :cpu}, names: [:x, :y]} = result
      assert {op, Nx.to_flat_list(result)} == {op, want}
    end
  end

  test "a reduction's function may capture a tensor of ours, and gives one" do
    t = Nx.iota({4}, type: :s32, backend: Emily.Backend)
    step = Nx.tensor(10, backend: Emily.Backend)
    reduced = Nx.reduce(t, 0, fn x, acc -> x |> Nx.add(acc) |> Nx.add(step) end)
    assert Nx.to_number(reduced) == 46
    windows = Nx.window_reduce(t, 0, {2}, fn x, acc -> x |> Nx.add(acc) |> Nx.add(step) end)
    assert Nx.to_list(windows) == [21, 23, 25]
  end

  describe "a template that is a container" do
    @template Nx.template({2}, :s32, names: [:x])

    defp halves(t), do: {Nx.quotient(t, 2), Nx.remainder(t, 2)}

    test "is filled in its order, nested as it is" do
      t = Nx.tensor([7, 4], backend: {Emily.Backend, device: :cpu})
      wide = Nx.template({2}, :f32)

      {%{low: low, high: {high}}, same} =
        Emily.Fallback.run(:parts, {%{low: @template, high: {@template}}, wide}, [t], fn [t] ->
          assert %Nx.BinaryBackend{} = t.data
          {high, low} = halves(t)
          {%{high: {high}, low: low}, Nx.as_type(t, :f32)}
        end)

      for result <- [low, high, same], do: assert(%Emily.Backend{device: :cpu} = result.data)
      assert {high.names, low.names, same.names} == {[:x], [:x], [nil]}
      assert {Nx.to_list(high), Nx.to_list(low)} == {[3, 2], [1, 0]}
      assert {same.type, Nx.to_list(same)} == {{:f, 32}, [7.0, 4.0]}
    end

    test "is told of by policy and telemetry as any other" do
      Emily.TelemetryLog.attach([[:emily, :fallback, :stop]])
      t = Nx.tensor([7, 4], backend: Emily.Backend)

      run = fn ->
        Emily.Fallback.run(:parts, {@template, @template}, [t], fn [t] -> halves(t) end)
      end

      assert {%Nx.Tensor{}, %Nx.Tensor{}} = run.()
      assert [{_, _, %{op: :parts, input_shapes: [{2}]}}] = Emily.TelemetryLog.flush()
      Application.put_env(:emily, :fallback, :raise)
      assert_raise RuntimeError, ~r/no native parts: parts\(s32\[2\]\)/, run
    end

    test "is what a block of several results has, called and compiled" do
      parts = fn t ->
        Nx.block(%Halves{}, [t], {@template, @template}, fn %Halves{}, t -> halves(t) end)
      end

      t = Nx.tensor([7, 4], backend: Emily.Backend)

      for call <- [parts, Nx.Defn.jit(parts, compiler: Emily.Compiler)] do
        assert {%{data: %Emily.Backend{}} = high, %{data: %Emily.Backend{}} = low} = call.(t)
        assert {Nx.to_list(high), Nx.to_list(low)} == {[3, 2], [1, 0]}
      end
    end
  end

  test "what Nx makes of decompositions needs none" do
    Application.put_env(:emily, :fallback, :raise)
    Emily.TelemetryLog.attach([[:emily, :block, :fallback]])
    square = Nx.tensor([[4.0, 1.0], [1.0, 3.0]])
    tall = Nx.tensor([[4.0, 1.0], [1.0, 3.0], [2.0, -1.0]])
    b = Nx.tensor([1.0, 2.0, 3.0])

    calls = [
      {tall, &Nx.LinAlg.norm(&1, ord: :nuclear)},
      {tall, &Nx.LinAlg.norm(&1, ord: 2)},
      {tall, &Nx.LinAlg.norm(&1, ord: -2)},
      {tall, &Nx.LinAlg.pinv/1},
      {Nx.transpose(tall), &Nx.LinAlg.pinv/1},
      {tall, &Nx.LinAlg.matrix_rank/1},
      {Nx.vectorize(Nx.stack([square, Nx.eye(2)]), :x), &elem(Nx.LinAlg.eigh(&1), 0)},
      {Nx.vectorize(Nx.stack([tall, Nx.negate(tall)]), :x), &elem(Nx.LinAlg.svd(&1), 1)},
      {tall, &elem(Nx.LinAlg.svd(&1, max_iter: 1, full_matrices?: false), 1)},
      {tall, &Nx.LinAlg.least_squares(&1, Nx.backend_copy(b, Emily.Backend))},
      {square, &Nx.LinAlg.invert/1}
    ]

    for {t, call} <- calls do
      got = t |> Nx.backend_copy(Emily.Backend) |> call.()
      assert %Emily.Backend{} = got.data
      close? = got |> Nx.backend_copy() |> Nx.all_close(call.(t), rtol: 1.0e-3)
      assert close? |> Nx.devectorize() |> Nx.all() |> Nx.to_number() == 1
    end

    assert Emily.TelemetryLog.flush() == []
  end

  test "decompositions of complex matrices run Nx's default function on Emily, and say so" do
    Application.put_env(:emily, :fallback, :raise)
    Emily.TelemetryLog.attach([[:emily, :block, :fallback], [:emily, :fallback, :start]])
    square = Nx.tensor([[4.0, 1.0], [1.0, 3.0]], type: :c64)

    # MLX decomposes real matrices only.
    calls = [
      {Nx.Block.LinAlg.Eigh, &elem(Nx.LinAlg.eigh(&1), 0)},
      {Nx.Block.LinAlg.QR, &elem(Nx.LinAlg.qr(&1), 1)},
      {Nx.Block.LinAlg.LU, &elem(Nx.LinAlg.lu(&1), 2)},
      {Nx.Block.LinAlg.Cholesky, &Nx.LinAlg.cholesky/1},
      {Nx.Block.LinAlg.Solve, &Nx.LinAlg.solve(&1, &1)},
      {Nx.Block.LinAlg.Determinant, &Nx.LinAlg.determinant/1}
    ]

    for {block, call} <- calls, default <- [Nx.BinaryBackend, {Emily.Backend, device: :cpu}] do
      Nx.with_default_backend(default, fn ->
        before = Nx.default_backend()
        got = square |> Nx.backend_copy(Emily.Backend) |> call.()
        assert %Emily.Backend{} = got.data
        assert Nx.default_backend() == before
        got = Nx.backend_copy(got, Nx.BinaryBackend)
        assert got |> Nx.all_close(call.(square), rtol: 1.0e-3) |> Nx.to_number() == 1
      end)

      events = Emily.TelemetryLog.flush()
      assert Enum.any?(events, &match?({_, %{count: 1}, %{block: ^block}}, &1)), inspect(block)
      assert Enum.all?(events, &match?({[:emily, :block, :fallback], _, _}, &1))
    end
  end

  # Each of at most 4 × 3 elements of a factor takes some 8 roundings of half an eps in either.
  test "decompositions of complex matrices are Nx.BinaryBackend's, factor by factor" do
    [square, hermitian, tall] =
      for rows <- [
            [[{4, 1}, {1, -2}, {0, 3}], [{2, 2}, {5, -1}, {1, 1}], [{-1, 0}, {2, -3}, {6, 2}]],
            [[{4, 0}, {1, -2}, {0, 1}], [{1, 2}, {6, 0}, {1, 1}], [{0, -1}, {1, -1}, {5, 0}]],
            [[{4, 1}, {1, -2}], [{2, 2}, {5, -1}], [{-1, 0}, {2, -3}], [{0, 1}, {1, 1}]]
          ],
          do: Nx.tensor(for(row <- rows, do: for({re, im} <- row, do: Complex.new(re, im))))

    vector = tall[[1..3, 0]]

    calls = [
      {&Nx.LinAlg.cholesky/1, [hermitian]},
      {&Nx.LinAlg.eigh/1, [hermitian]},
      {&Nx.LinAlg.eigh/1, [Nx.stack([hermitian, Nx.multiply(hermitian, 2)])]},
      {&Nx.LinAlg.lu/1, [square]},
      {&Nx.LinAlg.determinant/1, [square]},
      {&Nx.LinAlg.determinant/1, [square[[0..1, 0..1]]]},
      {&Nx.LinAlg.solve/2, [square, hermitian]},
      {&Nx.LinAlg.solve/2, [square, vector]},
      {&Nx.LinAlg.invert/1, [square]},
      {&Nx.LinAlg.qr/1, [square]},
      {&Nx.LinAlg.qr/1, [tall]},
      {&Nx.LinAlg.qr(&1, mode: :complete), [tall]}
    ]

    for {call, args} <- calls, options <- [[], [compiler: Emily.Compiler]] do
      on_emily = Enum.map(args, &Nx.backend_copy(&1, Emily.Backend))
      wanted = call |> apply(args) |> factors()
      found = call |> Nx.Defn.jit_apply(on_emily, options) |> factors()

      for {wanted, found} <- Enum.zip(wanted, found) do
        assert %Emily.Backend{} = found.data
        assert {found.type, found.shape} == {wanted.type, wanted.shape}
        size = wanted |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()
        apart = found |> Nx.backend_copy() |> Nx.subtract(wanted) |> Nx.abs() |> Nx.reduce_max()
        assert Nx.to_number(apart) <= 4 * 3 * 8 * 2.0 ** -23 * size, inspect(call)
      end
    end
  end

  test "all_close with tolerances that are tensors is Nx's default function, on Emily" do
    Emily.TelemetryLog.attach([[:emily, :block, :fallback]])
    [a, b] = for x <- [1.0, 1.01], do: Nx.tensor([x], backend: Emily.Backend)
    near = fn a, b, rtol -> Nx.all_close(a, b, rtol: rtol) end

    for {rtol, want} <- [{0.1, 1}, {0.001, 0}] do
      assert Nx.to_number(near.(a, b, Nx.tensor(rtol, backend: Emily.Backend))) == want
    end

    assert [{_, _, %{block: Nx.Block.AllClose}} | _] = Emily.TelemetryLog.flush()
  end

  test "the default backend of the caller is as it was" do
    Nx.with_default_backend({Emily.Backend, device: :cpu}, fn ->
      reduce(3)
      assert Nx.default_backend() == {Emily.Backend, device: :cpu}

      assert_raise RuntimeError, "mine", fn ->
        Nx.reduce(Nx.iota({2}), 0, fn _x, _acc -> raise "mine" end)
      end

      assert Nx.default_backend() == {Emily.Backend, device: :cpu}
    end)
  end

  test "the list of fallbacks and the callbacks of Nx agree" do
    names = Nx.Backend.behaviour_info(:callbacks) |> Keyword.keys()
    assert Emily.Backend.fallbacks() -- names == []
    natives = for %{name: name} <- Emily.Native.Ops.all(), name in names, do: name
    assert :dot in natives
    assert natives -- Emily.Backend.fallbacks() == natives
  end
end
