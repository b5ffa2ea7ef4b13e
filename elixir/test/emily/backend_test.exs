defmodule Emily.BackendTest do
  @moduledoc """
  What Nx puts around an operation: names, vectorized axes, blocks, what is created without operands.

  The numbers of operations are judged by the conformance suite.
  """

  use ExUnit.Case, async: true

  # The same call on copies of the operands on each backend, equal in everything but the backend.
  defp assert_same(inputs, fun) do
    want = Nx.with_default_backend(Nx.BinaryBackend, fn -> apply(fun, inputs) end)

    got =
      Nx.with_default_backend(Emily.Backend, fn ->
        apply(fun, Enum.map(inputs, &Nx.backend_copy(&1, Emily.Backend)))
      end)

    assert %Emily.Backend{} = got.data
    assert Nx.backend_copy(got, Nx.BinaryBackend) == want
  end

  defp t(list, opts \\ []) do
    Nx.tensor(list, Keyword.merge([type: :s32, backend: Nx.BinaryBackend], opts))
  end

  test "each family of operations has its file" do
    for %{family: family} <- Emily.Native.Ops.all() do
      assert File.regular?(Path.expand("../../lib/emily/backend/#{family}.ex", __DIR__))
    end
  end

  test "results have the names that Nx gives them" do
    named = t([[1, 2], [3, 4]], names: [:x, :y])
    assert_same([named, t([[5, 6]])], &Nx.add/2)
    assert_same([named], &Nx.transpose/1)
    assert_same([named], &Nx.sum(&1, axes: [:y]))
    assert_same([named], & &1[y: 1])
  end

  test "operands may be vectorized" do
    rows = Nx.vectorize(t([[1, 2], [3, 4]]), :row)
    assert_same([rows, Nx.vectorize(t([10, 20]), :column)], &Nx.add/2)
    assert_same([rows], &Nx.sum/1)
    assert_same([rows, Nx.vectorize(t([[[1], [0]], [[0], [0]]]), :row)], &Nx.gather/2)
    assert_same([t([[1, 2], [3, 4]])], &Nx.take_along_axis(&1, t([[1], [0]]), axis: 1))
    assert_same([rows, Nx.vectorize(t([[1, 0], [0, 0]]), :row)], &Nx.take/2)
    assert_same([rows, t([9])], &Nx.put_slice(&1, [1], &2))
    assert_same([rows, t([[1], [1]]), t([5, 7])], &Nx.indexed_put/3)
    assert_same([rows], &elem(Nx.top_k(&1, k: 1), 1))

    assert_same(
      [rows, Nx.vectorize(t([[1.0, 2.0], [3.0, 5.0]], type: :f32), :row)],
      &Nx.all_close/2
    )
  end

  # Nx gives the backend updates in one axis; Nx.BinaryBackend takes them for single elements.
  test "parts of vectorized tensors are written to" do
    [tensor, updates] =
      for list <- [[[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]], [[1, 2, 3]]],
          do: Nx.tensor(list, backend: Emily.Backend)

    row = Nx.tensor([[0]], backend: Emily.Backend)
    rows = Nx.tensor([[[0]], [[1]]], backend: Emily.Backend)
    added = [[[1, 3, 5], [3, 4, 5]], [[7, 9, 11], [9, 10, 11]]]
    put = [[[1, 2, 3], [3, 4, 5]], [[1, 2, 3], [9, 10, 11]]]
    by_row = [[[1, 3, 5], [3, 4, 5]], [[0, 1, 2], [4, 6, 8]]]

    for wrap <- [& &1, &Nx.Defn.jit(&1, compiler: Emily.Compiler)] do
      listed = &Nx.to_list(Nx.devectorize(apply(wrap.(&1), &2)))
      vectors = Nx.vectorize(tensor, :v)
      assert listed.(&Nx.indexed_add/3, [vectors, row, updates]) == added
      assert listed.(&Nx.indexed_put/3, [vectors, row, updates]) == put
      assert listed.(&Nx.indexed_add/3, [tensor[0], Nx.vectorize(rows, :v), updates]) == by_row
    end
  end

  test "some starts of a slice may be tensors" do
    tensor = t([[1, 2, 3], [4, 5, 6]])
    assert_same([tensor, t(1)], &Nx.slice(&1, [&2, 1], [1, 2]))
    assert_same([tensor, t(1), t([[8, 9]])], &Nx.put_slice(&1, [0, &2], &3))
    assert_same([tensor, t(7), t([[8, 9]])], &Nx.put_slice(&1, [&2, 5], &3))
    assert_same([tensor, t(7), t([[8, 9]])], &Nx.put_slice(&1, [&2, 10 ** 30], &3))
  end

  test "a start beyond 64 bits is clamped, too" do
    assert_same([t([1, 2, 3]), t([8, 9])], &Nx.put_slice(&1, [10 ** 30], &2))
    assert_same([t([1, 2, 3]), t([8, 9])], &Nx.put_slice(&1, [-(10 ** 30)], &2))
  end

  test "what a block gives has the names that Nx gives it" do
    named = t([[1, 2], [3, 4]], names: [:x, :y])
    assert_same([named, t([1, 0])], &Nx.take(&1, &2, axis: :y))
    assert_same([named, t([[1], [0]])], &Nx.take_along_axis(&1, &2, axis: :y))
    assert_same([named], &elem(Nx.top_k(&1), 0))
    assert_same([named], &Nx.logical_not/1)
    assert_same([named, named], &Nx.all_close/2)
  end

  test "windows have Nx's options, and leave vectorized axes alone" do
    matrix = t([[3, 1, 4, 1], [5, 9, 2, 6], [5, 3, 5, 8]], names: [:x, :y])
    assert_same([matrix], &Nx.window_sum(&1, {2, 2}, padding: :same))
    assert_same([matrix], &Nx.window_max(&1, {2, 3}, strides: 2, padding: [{1, 0}, {0, 2}]))
    assert_same([matrix], &Nx.window_min(&1, {2, 2}, strides: [1, 2], window_dilations: [1, 2]))
    assert_same([matrix], &Nx.window_product(&1, {1, 2}, window_dilations: 2))
    rows = Nx.vectorize(t([[3, 1, 4], [1, 5, 9]]), :row)
    assert_same([rows], &Nx.window_sum(&1, {2}, strides: 2, padding: :same))
    assert_same([rows, t([7, 8])], &Nx.window_scatter_max(&1, &2, 0, {2}))
    assert_same([t([3, 1, 4]), t([7, 8])], &Nx.window_scatter_min(&1, &2, 1, {2}))
  end

  test "cumulative reductions are native, and leave vectorized axes alone" do
    rows = Nx.vectorize(t([[3, 1, 4], [1, 5, 9]]), :row)
    assert_same([rows], &Nx.cumulative_sum/1)
    assert_same([rows], &Nx.cumulative_max(&1, axis: -1, reverse: true))
    assert_same([t([[3, 1], [4, 1]], names: [:x, :y])], &Nx.cumulative_product(&1, axis: :y))
  end

  test "what has no operands is made on the default backend" do
    assert_same([], fn -> Nx.iota({2, 3}, axis: 0, names: [:x, nil]) end)
    assert_same([], fn -> Nx.iota({}) end)
    assert_same([], fn -> Nx.broadcast(2.5, {2, 2}) end)
    assert_same([], fn -> Nx.eye({2, 3, 4}, type: :f32) end)
    assert_same([], fn -> elem(Nx.Random.randint(Nx.Random.key(3), 0, 100, shape: {3}), 0) end)
  end

  test "decompositions and systems answer as tensors of this backend" do
    a = Nx.tensor([[4.0, 1.0], [1.0, 3.0]])
    b = Nx.tensor([1.0, 2.0])

    for call <- [&Nx.LinAlg.cholesky/1, &Nx.LinAlg.determinant/1, &Nx.LinAlg.solve(&1, b)] do
      got = a |> Nx.backend_copy(Emily.Backend) |> call.()
      assert %Emily.Backend{} = got.data
      assert got |> Nx.backend_copy() |> Nx.all_close(call.(a)) |> Nx.to_number() == 1
    end

    {p, l, u} = a |> Nx.backend_copy(Emily.Backend) |> Nx.LinAlg.lu()
    assert p |> Nx.dot(l) |> Nx.dot(u) |> Nx.all_close(a) |> Nx.to_number() == 1
  end

  test "QR has the signs of Nx's own" do
    tall = t([[1, 2], [-3, 4], [5, -6]])
    square = t([[4, 1, -2], [1, -2, 0], [-2, 0, 3]])
    triangular = t([[-3, 2, 1], [0, 1, 1], [0, 0, -1]])
    zero_column = t([[0, 2], [0, -1], [0, 3]])
    batch = Nx.stack([square, triangular])
    wide = Nx.transpose(tall)

    for a <- [tall, wide, square, triangular, zero_column, batch, t([[-2]])],
        mode <- [:reduced, :complete] do
      {q, r} = Nx.LinAlg.qr(a, mode: mode)
      {got_q, got_r} = a |> Nx.backend_copy(Emily.Backend) |> Nx.LinAlg.qr(mode: mode)

      for {got, want} <- [{got_q, q}, {got_r, r}] do
        assert got |> Nx.backend_copy() |> Nx.all_close(want, atol: 1.0e-5) |> Nx.to_number() == 1
      end
    end
  end

  # Of the columns that R multiplies by zero, only that they complete the basis.
  test "a complete Q has Nx's first n columns, and is orthogonal" do
    tall = t([[1, 2], [-3, 4], [5, -6], [2, 0], [0, -1]])

    for a <- [
          tall,
          Nx.stack([tall, Nx.multiply(tall, -2)]),
          Nx.slice_along_axis(tall, 0, 1, axis: 1)
        ] do
      n = Nx.axis_size(a, -1)
      {q, r} = Nx.LinAlg.qr(a, mode: :complete)
      on_emily = Nx.backend_copy(a, Emily.Backend)
      {got_q, got_r} = Nx.LinAlg.qr(on_emily, mode: :complete)
      [got_q, got_r] = Enum.map([got_q, got_r], &Nx.backend_copy/1)
      assert {got_q.shape, got_r.shape} == {q.shape, r.shape}

      batch = Enum.to_list(0..(Nx.rank(a) - 3)//1)
      first = &Nx.slice_along_axis(&1, 0, n, axis: -1)
      gram = Nx.dot(got_q, [-2], batch, got_q, [-2], batch)

      for {got, want} <- [
            {got_r, r},
            {first.(got_q), first.(q)},
            {Nx.dot(got_q, [-1], batch, got_r, [-2], batch), a},
            {gram, Nx.broadcast(Nx.eye(5), gram)}
          ] do
        assert got |> Nx.all_close(want, atol: 1.0e-5) |> Nx.to_number() == 1
      end
    end
  end

  # Nx's default function compares integers in f64, which is not had without asking.
  test "all_close compares integers and floats" do
    for {left, right, want} <- [{[1, 2], [1, 2], 1}, {[1, 2], [1, 3], 0}, {[1.5], [1.5], 1}] do
      [left, right] = for list <- [left, right], do: Nx.tensor(list, backend: Emily.Backend)
      result = Nx.all_close(left, right)
      assert %Emily.Backend{} = result.data
      assert Nx.to_number(result) == want
    end
  end

  test "all_close merges names as Nx does" do
    [left, right] =
      for name <- [:x, :y], do: Nx.tensor([1], names: [name], backend: Emily.Backend)

    assert_raise ArgumentError, ~r/cannot merge name :x/, fn -> Nx.all_close(left, right) end
  end
end
