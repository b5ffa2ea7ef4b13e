defmodule Emily.TypeTest do
  use ExUnit.Case, async: true

  @f64 {Emily.Backend, device: :cpu, f64: true}

  test "f64 is refused with the way out, wherever it comes from" do
    expected = ~r/does not support f64.*f32.*device: :cpu, f64: true/s
    t = Nx.tensor([1.0], backend: Emily.Backend)

    for make <- [
          fn -> Nx.tensor(1.0, type: :f64, backend: Emily.Backend) end,
          fn -> Nx.iota({2}, type: :f64, backend: Emily.Backend) end,
          fn -> Nx.eye(2, type: :f64, backend: Emily.Backend) end,
          fn -> Nx.as_type(t, :f64) end,
          fn -> Nx.add(t, Nx.tensor(1.0, type: :f64)) end,
          fn -> Nx.multiply(t, Nx.tensor(1.0, type: :f64)) end,
          fn -> Nx.backend_copy(Nx.tensor(1.0, type: :f64), Emily.Backend) end,
          fn -> Emily.from_binary(<<0.0::float-64-native>>, {1}, :f64) end
        ],
        do: assert_raise(ArgumentError, expected, make)
  end

  test "the way out for a tensor that was made without f64 is a copy, whatever the default" do
    single = Nx.tensor([1 / 4], backend: Emily.Backend)
    as_double = &Nx.as_type(&1, :f64)

    Nx.with_default_backend(@f64, fn ->
      assert_raise ArgumentError, ~r/Nx.backend_copy\(tensor, backend\)/, fn ->
        as_double.(single)
      end

      assert single |> Nx.backend_copy(@f64) |> as_double.() |> Nx.to_list() == [1 / 4]
    end)
  end

  test "on a stream the way out is a stream with f64" do
    third = Nx.tensor([1 / 3], type: :f64, backend: @f64)
    add = fn -> Nx.add(third, third) end
    expected = ~r/Emily.Stream.new\(device: :cpu, f64: true\)/

    assert_raise ArgumentError, expected, fn ->
      Emily.Stream.with_stream(Emily.Stream.new(:cpu), add)
    end

    wide = Emily.Stream.new(device: :cpu, f64: true)
    assert Nx.to_list(Emily.Stream.with_stream(wide, add)) == [2 / 3]
  end

  test "f64 that was opted in to is real f64, and is inherited" do
    third = Nx.divide(Nx.tensor(1.0, type: :f64, backend: @f64), 3)
    assert Nx.to_number(third) == 1 / 3
    assert Nx.to_number(Nx.backend_copy(third, Emily.Backend)) == 1 / 3
    single = Nx.tensor([1.0], type: :f32, backend: @f64)
    assert Nx.add(single, third) |> Nx.as_type(:f64) |> Nx.sinh() |> Nx.type() == {:f, 64}

    assert Nx.add(Nx.tensor(1.0, type: :f32, backend: Emily.Backend), third) |> Nx.type() ==
             {:f, 64}
  end

  # What the README says: Nx puts the numbers and constants of these on the default backend.
  test "f64 on Nx.BinaryBackend needs a default backend that takes it" do
    square = Nx.tensor([[4.0, 1.0], [1.0, 3.0]], type: :f64, backend: Nx.BinaryBackend)

    calls = [
      &Nx.add(&1, 1),
      &Nx.logical_not/1,
      &Nx.phase/1,
      &Nx.all_close(&1, &1),
      &Nx.LinAlg.svd/1,
      &Nx.LinAlg.qr/1,
      &Nx.LinAlg.lu/1,
      &Nx.LinAlg.eigh/1,
      &Nx.LinAlg.cholesky/1,
      &Nx.LinAlg.solve(&1, &1),
      &Nx.LinAlg.invert/1,
      &Nx.LinAlg.pinv/1,
      &Nx.LinAlg.matrix_rank/1,
      &Nx.LinAlg.norm/1,
      &Nx.LinAlg.least_squares(&1, &1[0])
    ]

    for call <- calls do
      Nx.with_default_backend(Emily.Backend, fn ->
        assert_raise ArgumentError, ~r/does not support f64/, fn -> call.(square) end
      end)

      for backend <- [Nx.BinaryBackend, @f64] do
        Nx.with_default_backend(backend, fn -> assert call.(square) end)
      end
    end
  end

  test "an integer beyond every float is the caller's" do
    for type <- [:f16, :bf16, :f32, :c64] do
      assert_raise ArgumentError, ~r/an integer of 603 digits is beyond every float/, fn ->
        Nx.tensor(Integer.pow(2, 2000), type: type, backend: Emily.Backend)
      end
    end
  end

  test "an integer beyond 64 bits is rounded once, and counts modulo 2^64" do
    constant = &(&1 |> Nx.tensor(type: &2, backend: Emily.Backend) |> Nx.to_number())
    two = &Integer.pow(2, &1)

    # Above a tie, on which a double would lie; on one, to even; below one.
    for {rest, up} <- [{two.(46) + 1, two.(47)}, {two.(46), 0}, {two.(46) - 1, 0}] do
      assert constant.(two.(70) + rest, :f32) == two.(70) + up
      assert constant.(-two.(70) - rest, :f32) == -two.(70) - up
    end

    assert constant.(two.(70) + two.(62) + 1, :bf16) == two.(70) + two.(63)
    assert constant.(two.(64) + 3, :u8) == 3
    assert constant.(two.(64) - 1, :f32) == two.(64)
    assert constant.(-two.(64) - 3, :s64) == -3
    f64 = Nx.tensor(two.(70) + two.(17) + 1, type: :f64, backend: @f64)
    assert Nx.to_number(f64) == two.(70) + two.(18)
  end

  test "indices beyond 2^24 are rounded to f32 one by one" do
    for axis <- [nil, 0] do
      iota = Nx.iota({16_777_222}, type: :f32, axis: axis, backend: Emily.Backend)
      want = [16_777_215.0, 16_777_216.0, 16_777_216.0, 16_777_218.0, 16_777_220.0, 16_777_220.0]
      assert Nx.to_list(iota[16_777_215..16_777_220]) == want
    end
  end

  test "means of small floats are those of their wide sums" do
    for type <- [:bf16, :f16] do
      ones = Nx.broadcast(Nx.tensor(1, type: type, backend: Emily.Backend), {3000})
      assert Nx.to_number(Nx.mean(ones)) == 1.0
    end
  end

  test "f64 needs the cpu, asked for by name" do
    assert_raise ArgumentError, ~r/f64: true needs device: :cpu/, fn ->
      Nx.default_backend({Emily.Backend, f64: true})
    end

    assert_raise ArgumentError, ~r/f64: true needs device: :cpu/, fn ->
      Nx.default_backend({Emily.Backend, device: :gpu, f64: true})
    end
  end

  test "types without an MLX primitive are refused, and another is named" do
    for {type, instead} <- [
          f8: "f16 or bf16",
          f8_e4m3fn: "f16 or bf16",
          c128: "c64",
          u2: "u8",
          u4: "u8",
          s2: "s8",
          s4: "s8"
        ] do
      expected = ~r/does not support #{type}: there is no MLX primitive for it. Use #{instead}/

      assert_raise ArgumentError, expected, fn ->
        Nx.tensor(1, type: type, backend: Emily.Backend)
      end

      t = Nx.tensor([1], backend: Emily.Backend)
      assert_raise ArgumentError, expected, fn -> Nx.as_type(t, type) end
      copy = Nx.tensor([1], type: type, backend: Nx.BinaryBackend)
      assert_raise ArgumentError, expected, fn -> Nx.add(t, copy) |> Nx.as_type(type) end
      assert_raise ArgumentError, expected, fn -> Nx.backend_copy(copy, Emily.Backend) end
    end
  end

  test "every other type goes in and out, constants with every special value" do
    for type <- ~w(u8 u16 u32 u64 s8 s16 s32 s64 f16 bf16 f32 c64)a do
      t = Nx.tensor([[0, 1], [2, 3]], type: type)
      assert t |> Nx.backend_copy(Emily.Backend) |> Nx.backend_copy() == t
    end

    for number <- [:nan, :infinity, :neg_infinity, -0.0, 1.5] do
      assert Nx.tensor(number, backend: Emily.Backend) |> Nx.to_number() === number
      full = Nx.broadcast(Nx.tensor(number, backend: Emily.Backend), {2})
      assert Nx.to_list(full) === [number, number]
    end

    complex = Complex.new(1.0, -2.0)
    assert Nx.tensor(complex, backend: Emily.Backend) |> Nx.to_number() == complex

    assert Nx.tensor(18_446_744_073_709_551_615, type: :u64, backend: Emily.Backend)
           |> Nx.to_number() == 18_446_744_073_709_551_615
  end

  describe "devices" do
    test "the default is the GPU where there is one" do
      want = if Emily.Native.gpu_available?(), do: :gpu, else: :cpu
      assert %Emily.Backend{device: ^want} = Nx.tensor(1, backend: Emily.Backend).data
      t = Nx.tensor(1, backend: {Emily.Backend, device: :cpu})
      assert %Emily.Backend{device: :cpu} = Nx.add(t, 1).data
    end

    test "asking for one that is absent is an error with the remedy" do
      # Both branches are a promise; which one this machine can test is a fact about it.
      if Emily.Native.gpu_available?() do
        t = Nx.tensor([1], backend: {Emily.Backend, device: :gpu})
        assert %Emily.Backend{device: :gpu} = Nx.add(t, 1).data
      else
        for ask <- [
              fn -> Nx.tensor([1], backend: {Emily.Backend, device: :gpu}) end,
              fn -> Emily.Stream.new(device: :gpu) end,
              fn -> Emily.MlxStream.Default.worker(:gpu) end
            ] do
          error = assert_raise Emily.Error, ask
          assert error.kind == :device
          assert Exception.message(error) =~ "cpu"
          assert Exception.message(error) =~ "config :emily, variant: :cuda13"
          assert Exception.message(error) =~ "variant: :aot"
          refute Exception.message(error) =~ "EMILY_MLX_VARIANT"
        end
      end
    end

    test "unknown devices and options are told" do
      assert_raise ArgumentError, ~r/:cpu or :gpu, got: :tpu/, fn ->
        Nx.default_backend({Emily.Backend, device: :tpu})
      end

      assert_raise ArgumentError, ~r/unknown keys \[:devise\]/, fn ->
        Nx.default_backend({Emily.Backend, devise: :cpu})
      end
    end
  end

  test "what is no shape, binary, tensor, stream or function is told, with what fits" do
    for {sentence, ask} <- [
          {~r/a shape is a tuple, as {2, 2}, got: \[2, 2\]/,
           fn -> Emily.from_binary(<<1, 2, 3, 4>>, [2, 2], :u8) end},
          {~r/bytes in a binary, got: \[1\]/, fn -> Emily.from_binary([1], {1}, :u8) end},
          {~r/^Emily.from_binary: u8\[2\] takes 2 bytes, got 1/,
           fn -> Emily.from_binary(<<1>>, {2}, :u8) end},
          {~r/tensor of Emily.Backend, or its handle, got: :x/, fn -> Emily.eval(:x) end},
          {~r/expected a stream.*got: :x/, fn -> Emily.Stream.with_stream(:x, fn -> :ok end) end},
          {~r/expected a stream.*got: :x/, fn -> Emily.Stream.close(:x) end},
          {~r/expected a stream.*got: :x/, fn -> Emily.Stream.device(:x) end},
          {~r/expected a stream.*got: nil/, fn -> Emily.Stream.queue_depth(nil) end},
          {~r/function without arguments, got: :x/,
           fn -> Emily.Stream.with_stream(Emily.Stream.new(), :x) end}
        ] do
      assert_raise ArgumentError, sentence, ask
    end
  end

  test "a tensor of another backend is no operand of Emily's own functions" do
    assert_raise ArgumentError, ~r/got one of Nx.BinaryBackend.*backend_copy/, fn ->
      Emily.eval(Nx.tensor(1))
    end
  end
end
