defmodule Emily.Sweep do
  @moduledoc """
  A broad set of Nx calls, each to be made on `Emily.Backend` and on `Nx.BinaryBackend`.

  A call is `{name, inputs, function, tolerance}`. What falls back is exact, because the same code
  computes it. What is native has its row's tolerance, and half a rounding more for the reference,
  which computes wide and rounds once; a whole one in `bf16`, where the reference cuts off.
  """

  @integers ~w(u8 u16 u32 u64 s8 s16 s32 s64)a
  @floats ~w(f32 f16 bf16)a
  @specials [-2.5, -1.5, -0.5, -0.0, 0.0, 0.3, 0.5, 1.0, 2.5, 7.0, :nan, :infinity, :neg_infinity]

  @doc "Every call."
  def calls do
    unary() ++
      binary() ++
      comparisons() ++
      types() ++
      creation() ++
      shape() ++
      indexing() ++ reductions() ++ sorts() ++ windows() ++ products() ++ blocks() ++ transfers()
  end

  defp t(list, type \\ :f32, opts \\ []) do
    Nx.tensor(list, [type: type, backend: Nx.BinaryBackend] ++ opts)
  end

  defp iota(shape, type \\ :s32), do: Nx.iota(shape, type: type, backend: Nx.BinaryBackend)

  defp matrix, do: t([[4.0, 1.0, -2.0], [1.0, 3.0, 0.5], [-2.0, 0.5, 5.0]])

  ## Element by element

  defp unary do
    anywhere = ~w(exp erfc erf sigmoid tanh atan asinh sinh cosh cos sin tan expm1 cbrt)a
    positive = ~w(log log1p sqrt rsqrt)a
    inside = ~w(acos asin atanh erf_inv)a
    any_number = ~w(abs negate sign ceil floor round)a

    for {names, values} <- [
          {anywhere, [-2.5, -1.0, -0.0, 0.0, 0.3, 1.0, 2.5]},
          {positive, [0.001, 0.3, 1.0, 2.5, 100.0]},
          {inside, [-0.9, -0.0, 0.0, 0.3, 0.9]},
          {[:acosh], [1.0, 1.5, 100.0]},
          {any_number, [-2.5, -1.5, -0.5, -0.0, 0.0, 0.5, 1.5, 2.5]}
        ],
        name <- names,
        type <- @floats do
      {"#{name} #{type}", [t(values, type)], &apply(Nx, name, [&1]), tolerance(name, type)}
    end ++
      for name <- ~w(exp round is_nan is_infinity)a, type <- @floats do
        # Elixir's rounding takes numbers only.
        values = if name == :round, do: Enum.reject(@specials, &is_atom/1), else: @specials

        {"#{name} of specials #{type}", [t(values, type)], &apply(Nx, name, [&1]),
         tolerance(name, type)}
      end ++
      for name <- ~w(bitwise_not count_leading_zeros population_count)a, type <- [:u8, :s32] do
        {"#{name} #{type}", [t([0, 1, 7, 100], type)], &apply(Nx, name, [&1]), :exact}
      end ++
      for name <- ~w(conjugate real imag)a do
        {"#{name} c64", [t([Complex.new(1.5, -2.0), Complex.new(0.0, 3.0)], :c64)],
         &apply(Nx, name, [&1]), :exact}
      end ++
      [{"exp of integers", [t([-3, 0, 2], :s64)], &Nx.exp/1, {:ulp, 4}}]
  end

  defp tolerance(name, type) when name in [:exp, :erfc, :pow] do
    case {type, name} do
      {:f32, :erfc} -> {:ulp, 8}
      {:f32, _} -> {:ulp, 4}
      _small -> {:ulp, 1}
    end
  end

  defp tolerance(_name, _type), do: :exact

  defp binary do
    numbers = ~w(add subtract multiply divide min max atan2 remainder)a
    whole = ~w(add subtract multiply min max quotient remainder)a
    bits = ~w(bitwise_and bitwise_or bitwise_xor left_shift right_shift)a

    for name <- numbers, type <- @floats do
      left = t([[-2.5, -1.0, 0.5], [3.0, 7.5, 100.0]], type)

      {"#{name} #{type}", [left, t([1.5, -2.0, 3.0], type)], &apply(Nx, name, [&1, &2]),
       rounded(type)}
    end ++
      for name <- whole, type <- @integers do
        {"#{name} #{type}", [t([[1, 2, 100], [7, 0, 50]], type), t([3, 5, 7], type)],
         &apply(Nx, name, [&1, &2]), :exact}
      end ++
      for name <- bits, type <- [:u8, :s32] do
        {"#{name} #{type}", [t([1, 6, 100], type), t([3, 2, 1], type)],
         &apply(Nx, name, [&1, &2]), :exact}
      end ++
      for {l, r} <- [u8: :s8, u64: :s64, s32: :f32, u8: :bf16, bf16: :f16, s64: :f16, f32: :c64],
          name <- ~w(add multiply divide)a do
        {"#{name} #{l} and #{r}", [t([1, 2, 3], l), t([2, 5, 8], r)], &apply(Nx, name, [&1, &2]),
         if(r == :c64 and name == :divide, do: {:ulp, 8}, else: rounded(l, r))}
      end ++
      for type <- @floats do
        {"pow #{type}", [t([0.5, 1.5, 2.0], type), t([2.0, -1.0, 3.0], type)], &Nx.pow/2,
         tolerance(:pow, type)}
      end ++
      for type <- @integers do
        {"pow #{type}", [t([0, 2, 3, 7], type), t([0, 3, 2, 10], type)], &Nx.pow/2, :exact}
      end ++
      [
        {"numbers as operands", [t([1, 2, 3], :u8)], &Nx.add(Nx.add(&1, 5), 0.5), :exact},
        {"wrapping sums", [t([250, 255], :u8), t([10, 255], :u8)], &Nx.add/2, :exact},
        {"negative remainders", [t([-7, 7, -7], :s32), t([3, -3, -3], :s32)], &Nx.remainder/2,
         :exact},
        {"vectorized operands", [t([[1, 2], [3, 4]]), t([10, 20])],
         &Nx.add(Nx.vectorize(&1, :x), Nx.vectorize(&2, :y)), :exact},
        {"names", [t([[1, 2]], :s32, names: [:x, :y]), t([[3, 4]])], &Nx.add/2, :exact}
      ]
  end

  defp rounded(left, right \\ :u8) do
    if {:bf, 16} == Nx.Type.merge(Nx.Type.normalize!(left), Nx.Type.normalize!(right)),
      do: {:ulp, 1},
      else: :exact
  end

  defp comparisons do
    for name <- ~w(equal not_equal greater less greater_equal less_equal)a,
        {l, r} <- [f32: :f32, u8: :s8, s32: :f32, u64: :s64, bf16: :f32] do
      {"#{name} #{l} and #{r}", [t([[1, 2, 3], [3, 2, 1]], l), t([2, 2, 2], r)],
       &apply(Nx, name, [&1, &2]), :exact}
    end ++
      for name <- ~w(logical_and logical_or logical_xor)a do
        {"#{name}", [t([0, 0, 2, 2]), t([0, 1, 0, 1], :u8)], &apply(Nx, name, [&1, &2]), :exact}
      end ++
      [
        {"equal beyond 2^24",
         [t([16_777_217, 16_777_216], :s32), t([16_777_216.0, 16_777_216.0])], &Nx.equal/2,
         :exact},
        {"equal of NaN", [t([:nan, :infinity, -0.0]), t([:nan, :infinity, 0.0])], &Nx.equal/2,
         :exact}
      ]
  end

  ## Types and creation

  defp types do
    for from <- @integers ++ @floats, to <- @integers ++ @floats ++ [:c64] do
      {"as_type #{from} to #{to}", [t([0, 1, 2, 100], from)], &Nx.as_type(&1, to), :exact}
    end ++
      for to <- @integers do
        {"as_type of fractions to #{to}", [t([-1.7, -0.5, 0.5, 1.7, 100.9])], &Nx.as_type(&1, to),
         :exact}
      end ++
      [{"bitcast", [t([1.0, -2.5])], &Nx.bitcast(&1, :s32), :exact}]
  end

  defp creation do
    for type <- @integers ++ @floats do
      {"iota #{type}", [], fn -> Nx.iota({3, 4}, type: type, axis: 1) end, :exact}
    end ++
      [
        {"iota over all axes", [], fn -> Nx.iota({2, 3, 4}) end, :exact},
        {"iota of a scalar", [], fn -> Nx.iota({}) end, :exact},
        {"eye", [], fn -> Nx.eye({2, 3, 4}, type: :f32) end, :exact},
        {"constants", [], fn -> Nx.broadcast(2.5, {2, 2}) end, :exact},
        {"a random matrix", [],
         fn -> elem(Nx.Random.randint(Nx.Random.key(3), 0, 100, shape: {3}), 0) end, :exact},
        {"from_binary", [], fn -> Nx.from_binary(<<1, 2, 3>>, :u8) end, :exact}
      ]
  end

  ## Shapes

  defp shape do
    x = iota({2, 3, 4})

    [
      {"reshape", [x], &Nx.reshape(&1, {4, 6}), :exact},
      {"squeeze", [iota({1, 3, 1})], &Nx.squeeze/1, :exact},
      {"new_axis", [x], &Nx.new_axis(&1, 1), :exact},
      {"transpose", [x], &Nx.transpose(&1, axes: [2, 0, 1]), :exact},
      {"transpose of floats", [iota({2, 3, 4}, :f16)], &Nx.transpose/1, :exact},
      {"broadcast", [iota({3, 1})], &Nx.broadcast(&1, {2, 3, 4}), :exact},
      {"broadcast along axes", [iota({2, 3})], &Nx.broadcast(&1, {2, 4, 3}, axes: [0, 2]),
       :exact},
      {"pad", [iota({2, 3})], &Nx.pad(&1, 9, [{1, 0, 1}, {0, 2, 0}]), :exact},
      {"negative pad", [iota({4, 4})], &Nx.pad(&1, 0, [{-1, 0, 0}, {0, -2, 0}]), :exact},
      {"reverse", [x], &Nx.reverse(&1, axes: [0, 2]), :exact},
      {"concatenate", [iota({2, 3}), iota({1, 3}, :u8)], &Nx.concatenate([&1, &2]), :exact},
      {"concatenate mixed", [t([1, 2], :u8), t([0.5], :bf16)], &Nx.concatenate([&1, &2]), :exact},
      {"concatenate inside", [x, x], &Nx.concatenate([&1, &2], axis: 1), :exact},
      {"stack", [iota({3}), iota({3}, :f32)], &Nx.stack([&1, &2], axis: 1), :exact},
      {"select", [t([1, 0, 2], :u8), t([1, 2, 3]), t([[4], [5], [6]], :s32)],
       fn p, a, b -> Nx.select(p, a, Nx.reshape(b, {3})) end, :exact},
      {"select by a scalar", [t(0, :u8), t([1, 2]), t([[3], [4]])], &Nx.select/3, :exact},
      {"clip", [t([-1.5, 0.5, 9.0])], &Nx.clip(&1, -1, 1), :exact},
      {"tile", [iota({2, 2})], &Nx.tile(&1, [2, 2]), :exact}
    ]
  end

  defp indexing do
    x = iota({4, 5})
    indices = t([[1, 2], [3, 4], [0, 0]], :s32)

    [
      {"slice", [x], &Nx.slice(&1, [1, 0], [2, 5], strides: [1, 2]), :exact},
      {"slice from clamped starts", [x], &Nx.slice(&1, [9, 9], [2, 2]), :exact},
      {"slice from tensors", [x, t(1, :u8)], &Nx.slice(&1, [&2, 0], [2, 2]), :exact},
      {"access", [x], & &1[[1..2, -1]], :exact},
      {"put_slice", [x, t([[9, 9]], :s32)], &Nx.put_slice(&1, [1, 1], &2), :exact},
      {"put_slice at tensors", [x, t([[9, 9]], :s32), t(2, :s32)],
       fn x, s, i -> Nx.put_slice(x, [i, 0], s) end, :exact},
      {"gather", [x, indices], &Nx.gather/2, :exact},
      {"gather along axes", [iota({2, 3, 4}), t([[0, 1], [1, 3]], :s64)],
       &Nx.gather(&1, &2, axes: [0, 2]), :exact},
      {"gather vectorized", [iota({2, 3}), t([[[0], [2]], [[1], [0]]], :s32)],
       fn x, i -> Nx.gather(Nx.vectorize(x, :b), Nx.vectorize(i, :b)) end, :exact},
      {"take", [x, t([[2, 0]], :u8)], &Nx.take(&1, &2, axis: 1), :exact},
      {"take_along_axis", [x, t([[0], [1], [2], [3]], :s32)],
       &Nx.take_along_axis(&1, &2, axis: 1), :exact},
      {"indexed_add", [x, indices, t([10, 20, 30], :s32)], &Nx.indexed_add/3, :exact},
      {"indexed_put", [x, indices, t([10, 20, 30], :s32)], &Nx.indexed_put/3, :exact},
      {"split", [x], &Nx.split(&1, 1), :exact}
    ]
  end

  ## Reductions, orders, windows

  defp reductions do
    floats = t([[1.5, -2.25, 3.0], [4.0, 0.1, -6.0]])
    ties = t([[3, 1, 3], [1, 1, 0]], :s32)

    for type <- @integers do
      {"sum #{type}", [t([[1, 2, 100], [100, 100, 27]], type)], &Nx.sum(&1, axes: [0]), :exact}
    end ++
      for type <- @floats, opts <- [[], [axes: [0]], [axes: [1], keep_axes: true]] do
        x = Nx.as_type(floats, type)
        magnitude = Nx.sum(Nx.abs(x), opts)
        {"sum #{type} #{inspect(opts)}", [x], &Nx.sum(&1, opts), {:accum, 2.5, magnitude}}
      end ++
      for name <- ~w(argmax argmin)a,
          opts <- [[], [axis: 0], [axis: 1, tie_break: :high], [axis: 1, keep_axis: true]],
          x <- [floats, ties] do
        {"#{name} #{inspect(opts)} #{Nx.Type.to_string(x.type)}", [x],
         &apply(Nx, name, [&1, opts]), :exact}
      end ++
      for name <- ~w(all any product reduce_max reduce_min)a, opts <- [[], [axes: [1]]] do
        {"#{name} #{inspect(opts)}", [ties], &apply(Nx, name, [&1, opts]), :exact}
      end ++
      [
        {"argmax of NaN", [t([1.0, :nan, 5.0, :infinity])], &Nx.argmax/1, :exact},
        {"argmax of NaN, the last", [t([1.0, :nan, 5.0, :nan])], &Nx.argmax(&1, tie_break: :high),
         :exact},
        {"argmax as u8", [ties], &Nx.argmax(&1, type: :u8), :exact},
        {"reduce", [ties], &Nx.reduce(&1, 0, [axes: [1]], fn a, b -> Nx.add(a, b) end), :exact},
        {"mean", [t([[1.0, 2.0], [3.0, 5.0]])], &Nx.mean(&1, axes: [0]),
         {:accum, 4, t([2.0, 3.5])}},
        {"to_number", [floats], &Nx.to_number(&1[[1, 2]]), :exact}
      ]
  end

  defp sorts do
    x = t([[3, 1, 2], [9, 9, 0]], :s32)

    for name <- ~w(sort argsort)a,
        opts <- [[], [axis: 1], [axis: 1, direction: :desc], [axis: 0, stable: true]] do
      {"#{name} #{inspect(opts)}", [x], &apply(Nx, name, [&1, opts]), :exact}
    end ++
      [
        {"argsort of floats", [t([2.5, -1.0, :infinity, 0.0])], &Nx.argsort/1, :exact},
        {"argsort of NaN", [t([2.5, :nan, -1.0])], &Nx.argsort/1, :exact},
        {"argsort as u8", [t([5, 3, 4], :s32)], &Nx.argsort(&1, type: :u8), :exact}
      ]
  end

  defp windows do
    x = iota({4, 4}, :f32)
    opts = [strides: [2, 1], padding: [{0, 1}, {1, 0}], window_dilations: [1, 2]]

    for name <- ~w(window_sum window_product window_max window_min)a, opts <- [[], opts] do
      {"#{name} #{inspect(opts)}", [x], &apply(Nx, name, [&1, {2, 2}, opts]), :exact}
    end ++
      for name <- ~w(window_scatter_max window_scatter_min)a do
        {"#{name}", [iota({4, 4}), t([[1, 2], [3, 4]], :s32)],
         &apply(Nx, name, [&1, &2, 0, {2, 2}, [strides: [2, 2], padding: :valid]]), :exact}
      end ++
      [
        {"window_reduce", [x], &Nx.window_reduce(&1, 0, {2, 2}, fn a, b -> Nx.add(a, b) end),
         :exact},
        {"window_mean", [x], &Nx.window_mean(&1, {2, 2}), :exact}
      ]
  end

  ## Linear algebra

  defp products do
    a = t([[1.5, -2.0, 0.25], [0.1, 4.0, -3.0]])
    b = t([[2.0, 0.3], [-1.0, 5.0], [0.7, 1.0]])
    batch = Nx.stack([matrix(), Nx.multiply(matrix(), 0.5)])

    for type <- @floats do
      [x, y] = Enum.map([a, b], &Nx.as_type(&1, type))
      {"dot #{type}", [x, y], &Nx.dot/2, {:accum, 2.5, Nx.dot(Nx.abs(x), Nx.abs(y))}}
    end ++
      for type <- @integers do
        {"dot #{type}", [Nx.as_type(iota({2, 3}), type), Nx.as_type(iota({3, 2}), type)],
         &Nx.dot/2, :exact}
      end ++
      [
        {"dot beyond 2^24", [t([16_777_217, 1], :s32), t([1, 0], :s32)], &Nx.dot/2, :exact},
        {"dot in batches", [batch, batch], &Nx.dot(&1, [2], [0], &2, [1], [0]),
         {:accum, 2.5, Nx.dot(Nx.abs(batch), [2], [0], Nx.abs(batch), [1], [0])}},
        {"outer", [iota({3}), iota({2})], &Nx.outer/2, :exact},
        {"dot of mixed types", [iota({2, 2}), t([[0.5, 1.0], [2.0, 4.0]], :f16)], &Nx.dot/2,
         :exact},
        {"conv", [iota({1, 2, 5, 5}, :f32), iota({3, 2, 3, 3}, :f32)],
         &Nx.conv(&1, &2, strides: [2, 1], padding: [{1, 1}, {0, 1}]), :exact},
        {"triangular_solve", [t([[2.0, 0.0], [1.0, 4.0]]), t([2.0, 9.0])],
         &Nx.LinAlg.triangular_solve/2, :exact},
        {"fft", [t([1.0, 2.0, 3.0, 4.0])], &Nx.fft/1, :exact},
        {"ifft", [t([1.0, 2.0, 3.0, 4.0])], &Nx.ifft(&1, length: 6), :exact}
      ]
  end

  # Their default functions are composed of the calls above.
  defp blocks do
    x = t([[1, 2], [3, 0]], :s32)

    for name <- ~w(cumulative_sum cumulative_product cumulative_min cumulative_max)a do
      {"#{name}", [x], &apply(Nx, name, [&1, [axis: 1, reverse: true]]), :exact}
    end ++
      [
        {"logical_not", [x], &Nx.logical_not/1, :exact},
        {"phase", [t([Complex.new(1.0, 1.0)], :c64)], &Nx.phase/1, :exact},
        {"all_close", [x, x], &Nx.all_close/2, :exact},
        {"top_k", [t([3, 9, 1], :s32)], &Nx.top_k(&1, k: 2), :exact},
        {"fft2", [iota({2, 2}, :f32)], &Nx.fft2/1, :exact},
        {"rfft", [iota({4}, :f32)], &Nx.rfft/1, :exact}
      ]
  end

  defp transfers do
    x = t([[1, 2], [3, 4]], :s16)

    [
      {"backend_copy", [x], &Nx.backend_copy(&1, Emily.Backend), :exact},
      {"to_binary", [x], &Nx.to_binary/1, :exact},
      {"to_binary with a limit", [x], &Nx.to_binary(&1, limit: 3), :exact},
      {"to_flat_list", [x], &Nx.to_flat_list/1, :exact},
      {"to_batched", [iota({5, 2})], &Enum.to_list(Nx.to_batched(&1, 2)), :exact},
      {"serialize", [x],
       &(&1 |> Nx.serialize() |> IO.iodata_to_binary() |> Nx.deserialize() |> Nx.to_list()),
       :exact}
    ]
  end
end
