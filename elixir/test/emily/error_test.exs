defmodule Emily.ErrorTest do
  use ExUnit.Case, async: false

  alias Emily.Native

  @huge {2_147_483_647, 2_147_483_647}

  defp emily(list, opts \\ []), do: Nx.tensor(list, [backend: Emily.Backend] ++ opts)

  # An answer of this VM's engine, so that "it lives" is a computation and not a hope.
  defp alive! do
    assert Nx.to_list(Nx.add(emily([1, 2]), emily([3, 4]))) == [4, 6]
  end

  describe "what ends a VM that asks MLX itself, through Nx" do
    test "an index out of range" do
      t = emily([10, 20, 30])
      matrix = emily([[1, 2], [3, 4]])

      for bad <- [7, -1, 2_147_483_647] do
        reads = [
          fn -> Nx.gather(t, emily([[bad]])) end,
          fn -> Nx.gather(t, Nx.tensor([[bad]], type: :s64)) end,
          fn -> Nx.take(t, emily([bad])) end,
          fn -> Nx.take(matrix, emily([0, bad]), axis: 1) end,
          fn -> Nx.take_along_axis(matrix, emily([[bad], [0]]), axis: 1) end,
          fn -> Nx.indexed_add(t, emily([[bad]]), emily([1])) end,
          fn -> Nx.indexed_put(t, emily([[bad]]), emily([1])) end
        ]

        for read <- reads, do: assert_raise(ArgumentError, fn -> Nx.to_binary(read.()) end)
      end

      alive!()
    end

    test "an index that is no integer" do
      assert_raise ArgumentError, fn -> Nx.gather(emily([1, 2]), emily([[0.0]])) end
      assert Nx.to_list(Nx.gather(emily([1, 2]), emily([[1]], type: :u8))) == [2]
      alive!()
    end

    test "an allocation larger than memory" do
      for allocate <- [
            fn -> Nx.iota(@huge, backend: Emily.Backend) end,
            fn -> Nx.broadcast(emily(1), @huge) end,
            fn -> Nx.eye(@huge, backend: Emily.Backend) end,
            fn ->
              Nx.dot(
                Nx.broadcast(emily(1), {2_000_000_000, 1}),
                Nx.broadcast(emily(1), {1, 2_000_000_000})
              )
            end
          ] do
        error = assert_raise Emily.Error, fn -> Nx.to_binary(allocate.()) end
        assert error.kind == :memory
      end

      alive!()
    end

    test "an integer division or remainder by zero" do
      for type <- ~w(u8 s8 s32 u64 s64)a, op <- [&Nx.quotient/2, &Nx.remainder/2] do
        [a, zero] = [emily([1, 0], type: type), emily([0, 0], type: type)]
        assert_raise ArithmeticError, fn -> Nx.to_binary(op.(a, zero)) end
      end

      alive!()
    end

    test "the smallest integer by −1" do
      for {type, min} <- [s8: -128, s32: -2_147_483_648, s64: -9_223_372_036_854_775_808] do
        [a, b] = [emily([min], type: type), emily([-1], type: type)]
        assert Nx.to_list(Nx.remainder(a, b)) == [0]
        assert Nx.to_list(Nx.quotient(a, b)) == [min]
      end

      alive!()
    end

    test "an integer power with a negative exponent" do
      assert_raise ArithmeticError, fn -> Nx.to_binary(Nx.pow(emily([2]), emily([-1]))) end
      alive!()
    end

    test "a window larger than the padded input" do
      assert_raise ArgumentError, fn -> Nx.window_sum(emily([1, 2, 3]), {5}) end
      assert_raise ArgumentError, fn -> Nx.window_max(emily([[1]]), {2, 2}) end
      alive!()
    end

    test "a convolution with no groups" do
      [image, kernel] = [Nx.iota({1, 1, 3, 3}), Nx.iota({1, 1, 2, 2})]
      image = Nx.backend_copy(image, Emily.Backend)

      for option <- [:feature_group_size, :batch_group_size] do
        # Nx itself stumbles over it.
        assert_raise ArithmeticError, fn -> Nx.conv(image, kernel, [{option, 0}]) end
      end

      alive!()
    end

    test "a convolution of one element whose padded input no machine holds" do
      [image, kernel] = [emily([[[[1.0]]]]), emily([[[[1.0]]]])]
      options = [padding: [{2_097_152, 0}, {2_097_152, 0}], strides: [4_194_304, 4_194_304]]

      assert_raise Emily.Error, ~r/\d{14} on the way, do not fit/, fn ->
        Nx.to_binary(Nx.conv(image, kernel, options))
      end

      alive!()
    end

    test "a singular matrix" do
      singular = emily([[1.0, 2.0], [2.0, 4.0]])

      assert_raise ArgumentError, ~r/can't solve for singular matrix/, fn ->
        Nx.to_binary(Nx.LinAlg.solve(singular, emily([1.0, 1.0])))
      end

      alive!()
    end
  end

  describe "what ends a VM that asks MLX itself, through Emily.Native" do
    setup do
      {:ok, worker} = Native.start_worker(:cpu)
      %{worker: worker}
    end

    defp tensor(worker, type, list) do
      binary = list |> Nx.tensor(type: type) |> Nx.to_binary()
      shape = Nx.shape(Nx.tensor(list))
      {:ok, tensor} = Native.from_binary(worker, type, shape, binary)
      tensor
    end

    # The kind of the error at the call, or else at the read.
    defp kind(reply) do
      with {:ok, [tensor | _]} <- reply, {:ok, _} <- Native.read(tensor) do
        :none
      else
        {:error, error} -> error.kind
      end
    end

    test "each input is an error of its kind", %{worker: w} do
      t = tensor(w, :s32, [10, 20, 30])
      zero = tensor(w, :s32, [0])
      minus = tensor(w, :s32, [-1])

      for {want, reply} <- [
            index: Native.gather(w, [t, tensor(w, :s32, [[3]])], %{axes: [0]}),
            index: Native.gather(w, [t, tensor(w, :s64, [[-1]])], %{axes: [0]}),
            dtype: Native.gather(w, [t, tensor(w, :f32, [[0.0]])], %{axes: [0]}),
            memory: Native.iota(w, [], %{dtype: :s32, shape: @huge}),
            memory: Native.broadcast(w, [zero], %{shape: @huge}),
            numeric: Native.remainder(w, [t, zero]),
            numeric: Native.pow(w, [t, minus]),
            argument: Native.slice(w, [t], %{starts: [0], lengths: [4], strides: [1]}),
            argument: Native.slice(w, [t], %{starts: [0], lengths: [1], strides: [0]}),
            argument: Native.sum(w, [t], %{axes: [1]}),
            argument: Native.transpose(w, [t], %{axes: [0, 0]}),
            argument: Native.add(w, [t]),
            shape: Native.dot(w, [t, zero], %{contract_left: [0], contract_right: [0]}),
            shape: Native.qr(w, [t])
          ] do
        assert kind(reply) == want
      end

      alive!()
    end

    test "the smallest integer by −1 has a remainder", %{worker: w} do
      min = tensor(w, :s32, [-2_147_483_648])
      {:ok, [rest]} = Native.remainder(w, [min, tensor(w, :s32, [-1])])
      assert Native.read(rest) == {:ok, <<0::32>>}
    end

    test "a GPU that is absent is an error", %{worker: _} do
      if Native.gpu_available?() do
        assert {:ok, _worker} = Native.start_worker(:gpu)
      else
        assert {:error, %Emily.Error{kind: :device}} = Native.start_worker(:gpu)
      end
    end
  end

  describe "messages" do
    test "name the operation, its operands, what is wrong, and the worker" do
      error =
        assert_raise ArgumentError, fn ->
          Nx.to_binary(Nx.gather(emily([1, 2, 3], type: :u8), emily([[9]])))
        end

      assert error.message =~ "gather(u8[3], s32[1,1]"
      assert error.message =~ ~r/worker \d+ on (cpu|gpu)/
    end

    test "are there for attributes that are no map" do
      {:ok, worker} = Native.start_worker(:cpu)
      tensor = tensor(worker, :u8, [1])

      for attrs <- [5, [1 | 2], :none] do
        {:error, error} = Native.add(worker, [tensor, tensor], attrs)
        assert Exception.message(error) =~ ~r/^add\(u8\[1\], u8\[1\]\): /
      end
    end

    test "give the first cause, however far away the read is" do
      bad = Nx.remainder(emily([1]), 0)
      far = Enum.reduce(1..20, bad, fn _, t -> Nx.add(t, 1) end)
      error = assert_raise ArithmeticError, fn -> Nx.sum(far) |> Nx.to_number() end
      assert error.message =~ "remainder(s32[1], s32[]"
    end

    # In a VM of its own, whose library panics in the middle of every reply.
    test "come for a reply that cannot be made" do
      script = """
      {:ok, _apps} = Application.ensure_all_started(:emily)
      {:ok, worker} = Emily.Native.start_worker(:cpu)
      for ask <- [&Emily.Native.eval/1, &Emily.Native.read/1] do
        {:ok, [tensor]} = Emily.Native.iota(worker, [], %{dtype: :u8, shape: {1_000_000}})
        {:error, %{kind: :internal} = error} = ask.(tensor)
        IO.puts(error.message)
      end
      """

      paths = Enum.flat_map(:code.get_path(), &["-pa", to_string(&1)])
      opts = [stderr_to_stdout: true, env: [{"EMILY_PLANTED_PANIC", "1"}]]
      {out, status} = System.cmd("timeout", ["60", "elixir" | paths ++ ["-e", script]], opts)
      assert status == 0, out
      told = "the native library panicked: planted; please report it"
      assert length(String.split(out, told)) == 3, out
    end

    test "what was not computed from it is not touched" do
      bad = Nx.remainder(emily([1]), 0)
      assert Nx.to_list(Nx.add(emily([1]), 1)) == [2]
      for _ <- 1..2, do: assert_raise(ArithmeticError, fn -> Nx.to_binary(bad) end)
    end
  end
end
