defmodule Emily.FactorsTest do
  @moduledoc """
  Factors that are known to the bit, and factors beside those of Nx's own functions on
  Nx.BinaryBackend. The suite's cases judge decompositions by what they promise.

  An m × n matrix drawn here has ±2d on its diagonal and at most 1 elsewhere, d = max(m, n). Of
  what stands beside the diagonal the rows and columns have sums, so it has a norm, of at most d:
  singular values are between d and 3d, the condition is at most 3, and the Frobenius norm at most
  3d√k, k = min(m, n). Elements are whole numbers or quarters of them, which every type holds.

  Nx's side is computed in f64. Emily's errors are those that the ops' rows promise, in eps of what
  is computed in: f64, or f32 for all other types; a narrower type is rounded to once.
  """

  use ExUnit.Case, async: true

  @types [:f16, :bf16, :f32, :f64]
  @whole_types [:s32, :u8]
  @all_types @types ++ @whole_types
  @squares [{1, 1}, {2, 2}, {4, 4}, {6, 6}, {2, 3, 3}]
  @rectangles [{5, 3}, {3, 5}, {8, 2}, {4, 1}, {1, 4}, {2, 3, 2}]

  test "triangular matrices are their own R" do
    for type <- @types do
      {q, r} = Nx.LinAlg.qr(tensor([[-3, 2, 1], [0, 1, 1], [0, 0, -1]], type))
      assert Nx.to_list(q) == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
      assert Nx.to_list(r) == [[-3.0, 2.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, -1.0]]

      {q, r} = Nx.LinAlg.qr(tensor([[-3, 2], [0, -1], [0, 0]], type), mode: :complete)
      assert Nx.to_list(q) == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
      assert Nx.to_list(r) == [[-3.0, 2.0], [0.0, -1.0], [0.0, 0.0]]
    end
  end

  test "eigenvalues of diagonal matrices are its elements, by modulus" do
    for type <- @types do
      {values, vectors} = Nx.LinAlg.eigh(tensor([[1, 0, 0], [0, -7, 0], [0, 0, 3]], type))
      assert Nx.to_list(values) == [-7.0, 3.0, 1.0]
      # Their signs are open.
      assert Nx.to_list(Nx.abs(vectors)) == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    end
  end

  test "rows that go round are P, and what is left is U" do
    for type <- @types do
      {p, l, u} = Nx.LinAlg.lu(tensor([[0, 2, 0], [0, 0, 3], [1, 0, 0]], type))
      assert Nx.to_list(p) == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
      assert Nx.to_list(l) == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
      assert Nx.to_list(u) == [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]
    end
  end

  # QR of A + E is what is computed. Of E, whose norm is at most 4·d·eps·3d√k, and as much again for
  # what QᵀQ is off by, R's first-order error is √2·cond·|E| and Q's is √2·|E|/d (Sun, BIT 31, 1991),
  # besides 4·d·eps·√k of its own: at most 102·d²√k·eps and 38·d√k·eps.
  test "Q and R are Nx's, with its signs" do
    for shape <- @squares ++ @rectangles, type <- @all_types, mode <- [:reduced, :complete] do
      {_m, _n, d, k} = sizes(shape)

      # Whole numbers from -4 to 4: of those from -1 to 1 elimination often leaves nothing, as in the
      # test below.
      scale = if type in @whole_types, do: 4, else: 1
      matrix = shape |> drawn(type, 4) |> Nx.multiply(scale)
      {emily, nx} = both(matrix, type, &Nx.LinAlg.qr(&1, mode: mode))
      [{q, q_nx}, {r, r_nx}] = Enum.zip(Tuple.to_list(emily), Tuple.to_list(nx))
      assert Nx.shape(q) == Nx.shape(q_nx)

      # What completes Q beyond A's columns, R multiplies by zero.
      [q, q_nx] = for q <- [q, q_nx], do: Nx.slice_along_axis(q, 0, k, axis: -1)

      unit = d * :math.sqrt(k) * eps(type)
      assert_near(q, q_nx, 38 * unit, {shape, type, mode})
      assert_near(r, r_nx, 102 * scale * d * unit, {shape, type, mode})
    end
  end

  # The first reflection leaves the second column alone, with nothing below its diagonal: Nx does not reflect
  # it, and Emily's signs are as if it did. Bounds as above, with d = k = 3.
  test "signs are not Nx's where its elimination leaves nothing of a column" do
    signs = %{
      [[6, 0, 0], [0, 6, 1], [-1, 0, 6]] => [1, 1, -1],
      [[6, 0, 0], [0, -6, 1], [-1, 0, 6]] => [1, -1, 1]
    }

    for {matrix, signs} <- signs, type <- [:s32 | @types] do
      [matrix, signs] =
        for t <- [matrix, signs], do: Nx.tensor(t, type: :f64, backend: Nx.BinaryBackend)

      {{q, r}, {q_nx, r_nx}} = both(matrix, type, &Nx.LinAlg.qr/1)
      unit = 3 * :math.sqrt(3) * eps(type)
      assert_near(q, Nx.multiply(q_nx, signs), 38 * unit, {:q, signs, type})
      assert_near(r, Nx.multiply(r_nx, Nx.new_axis(signs, -1)), 102 * 3 * unit, {:r, signs, type})
    end
  end

  # Columns are dominated by their diagonal, twice, and stay so under elimination: P puts the rows
  # back, and in norms of column sums L is at most 3/2, its inverse 2, U at most 6d and its inverse
  # 3/(2d). |A − P·L·U| ≤ 3/2·d·eps·P·|L|·|U| is E, 13.5·d²·eps; first-order errors are
  # L·lower(L⁻¹·E·U⁻¹) and upper(L⁻¹·E·U⁻¹)·U: 61·d·eps and 243·d²·eps.
  test "P, L and U are Nx's" do
    for shape <- @squares, type <- @all_types do
      {_m, _n, d, _k} = sizes(shape)
      rows = Nx.reverse(drawn(shape, type), axes: [-2])
      {{p, l, u}, {p_nx, l_nx, u_nx}} = both(rows, type, &Nx.LinAlg.lu/1)
      assert_near(p, p_nx, 0, {shape, type})
      assert_near(l, l_nx, 61 * d * eps(type), {shape, type})
      assert_near(u, u_nx, 243 * d * d * eps(type), {shape, type})
    end
  end

  # |A − L·Lᵀ| ≤ 2·d·eps·√(aᵢᵢ·aⱼⱼ), each at most 4·d²·eps, is E, of norm 4·d³·eps; L's first-order
  # error is |L|·|L⁻¹|²·|E|, with |L|² ≤ 3d and |L⁻¹|² ≤ 1/d. Nx adds 10⁻¹⁰ to what it divides by: its E
  # has 10⁻¹⁰·Lᵢⱼ, each at most √(2d)·10⁻¹⁰, which leaves √6·d·10⁻¹⁰.
  test "the factor of Cholesky is Nx's" do
    for shape <- @squares, type <- @all_types do
      {_m, _n, d, _k} = sizes(shape)
      {l, l_nx} = both(definite(shape, type), type, &Nx.LinAlg.cholesky/1)
      bound = 4 * :math.sqrt(3 * d) * d * d * eps(type) + :math.sqrt(6) * d * 1.0e-10
      assert_near(l, l_nx, bound, {shape, type})
    end
  end

  # Eigenvalues move by no more than the matrix (Weyl), 16·d·eps·3d√k, and relatively by what VᵀV is
  # off by (Ostrowski), as much again. Nx iterates until it is near: by how much, its own residual tells.
  test "eigenvalues are Nx's" do
    for shape <- @squares, type <- @all_types do
      {_m, _n, d, k} = sizes(shape)
      matrix = definite(shape, type)
      {{s, _v}, {s_nx, v_nx}} = both(matrix, type, &Nx.LinAlg.eigh(&1, eps: 1.0e-10))

      product = matmul(Nx.multiply(v_nx, Nx.new_axis(s_nx, -2)), transpose(v_nx))

      bound =
        2 * 16 * d * eps(type) * 3 * d * :math.sqrt(k) + residual(matrix, product, [v_nx], d)

      assert_near(s, s_nx, bound, {shape, type})
    end
  end

  # As eigenvalues, with 20 for 16.
  test "singular values are Nx's" do
    for shape <- @squares ++ @rectangles, type <- @all_types do
      {_m, _n, d, k} = sizes(shape)
      matrix = drawn(shape, type)
      {{_u, s, _v}, {u, s_nx, v}} = both(matrix, type, &Nx.LinAlg.svd(&1, full_matrices?: false))

      product = matmul(Nx.multiply(u, Nx.new_axis(s_nx, -2)), v)
      left = residual(matrix, product, [u, transpose(v)], d)
      bound = 2 * 20 * d * eps(type) * 3 * d * :math.sqrt(k) + left
      assert_near(s, s_nx, bound, {shape, type})
    end
  end

  defp tensor(rows, type) do
    Nx.tensor(rows, type: type, backend: {Emily.Backend, device: :cpu, f64: type == :f64})
  end

  defp sizes(shape) do
    [n, m | _batch] = shape |> Tuple.to_list() |> Enum.reverse()
    {m, n, max(m, n), min(m, n)}
  end

  # In f64 on Nx.BinaryBackend. Each type and shape has its own numbers, every time the same.
  defp drawn(shape, type), do: drawn(shape, type, if(type in @whole_types, do: 1, else: 4))

  # In steps of so many to 1.
  defp drawn(shape, type, step) do
    {m, n, d, _k} = sizes(shape)
    least = if type == :u8, do: 0, else: -1
    state = :rand.seed_s(:exsss, :erlang.phash2({shape, type}))

    {elements, _state} =
      Enum.map_reduce(0..(Tuple.product(shape) - 1), state, fn at, state ->
        {draw, state} = :rand.uniform_s((1 - least) * step + 1, state)
        beside = least + (draw - 1) / step
        on_the_diagonal = rem(div(at, n), m) == rem(at, n)
        {if(on_the_diagonal, do: diagonal(beside, d, least), else: beside), state}
      end)

    elements |> Nx.tensor(type: :f64, backend: Nx.BinaryBackend) |> Nx.reshape(shape)
  end

  defp diagonal(draw, d, least), do: if(least < 0 and draw < 0, do: -2 * d, else: 2 * d) * 1.0

  # The lower triangle of one that is drawn, on both sides of a positive diagonal.
  defp definite(shape, type) do
    matrix = drawn(shape, type)
    below = Nx.tril(matrix, k: -1)
    diagonal = Nx.multiply(Nx.abs(matrix), Nx.eye(shape, backend: Nx.BinaryBackend))
    below |> Nx.add(transpose(below)) |> Nx.add(diagonal)
  end

  defp both(matrix, type, factorize) do
    own = Nx.as_type(matrix, type)
    backend = {Emily.Backend, device: :cpu, f64: type == :f64}
    emily = own |> Nx.backend_transfer(backend) |> factorize.()
    {home(emily), factorize.(matrix)}
  end

  defp home(%Nx.Tensor{} = factor) do
    factor |> Nx.backend_transfer(Nx.BinaryBackend)
  end

  defp home(factors) do
    factors |> Tuple.to_list() |> Enum.map(&home/1) |> List.to_tuple()
  end

  # How far a product of Nx's factors is from the matrix, and what its vectors lack to be orthonormal.
  defp residual(matrix, product, vectors, d) do
    off = norm(Nx.subtract(matrix, product))
    gaps = for v <- vectors, do: norm(Nx.subtract(matmul(transpose(v), v), identity(v)))
    residual = off + Enum.sum(gaps) * 3 * d

    # Elements are up to 1, and a matrix's norm up to d: within a thousandth of it a bound still tells values apart.
    assert residual < 1.0e-3 * d
    residual
  end

  defp identity(v) do
    columns = Nx.axis_size(v, -1)
    shape = v |> Nx.shape() |> put_elem(Nx.rank(v) - 2, columns)
    Nx.eye(shape, type: :f64, backend: Nx.BinaryBackend)
  end

  defp norm(t), do: t |> Nx.pow(2) |> Nx.sum() |> Nx.sqrt() |> Nx.to_number()

  defp matmul(a, b) do
    batch = Enum.to_list(0..(Nx.rank(a) - 3)//1)
    Nx.dot(a, [Nx.rank(a) - 1], batch, b, [Nx.rank(b) - 2], batch)
  end

  defp transpose(t) do
    rank = Nx.rank(t)
    Nx.transpose(t, axes: Enum.to_list(0..(rank - 3)//1) ++ [rank - 1, rank - 2])
  end

  # Of what is computed in, on both sides.
  defp eps(:f64), do: 2 * 2.0 ** -52
  defp eps(_type), do: 2.0 ** -23 + 2.0 ** -52

  # Beside the bound, what rounding to the type leaves.
  defp assert_near(emily, nx, bound, what) do
    allowed = nx |> Nx.abs() |> Nx.multiply(rounding(Nx.type(emily))) |> Nx.add(bound)
    emily = Nx.as_type(emily, :f64)
    off = emily |> Nx.subtract(nx) |> Nx.abs()
    assert Nx.all(Nx.less_equal(off, allowed)) == Nx.u8(1), "#{inspect(what)}: #{inspect(off)}"
  end

  defp rounding({kind, _bits}) when kind in [:s, :u], do: 0

  defp rounding(type) do
    Nx.Constants.epsilon(type, backend: Nx.BinaryBackend) |> Nx.divide(2) |> Nx.to_number()
  end
end
