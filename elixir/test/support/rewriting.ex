defmodule Emily.Rewriting do
  @moduledoc """
  What tests of `fast: true` have in common.

  Bounds: u is half of the last place of 1 in a type. A result of k roundings, each relative, is off by
  k u to first order, a sum of n by n u more. `bound/2` doubles that, for there are two computations, and
  doubles it again for what is of higher order, which is less than the first as long as k u is below 1.
  """

  import ExUnit.Assertions
  import Nx.Defn

  @emily {Emily.Backend, device: :cpu}

  @doc "Softmax as it is written by hand."
  defn softmax(x, opts \\ []) do
    powers = Nx.exp(x - Nx.reduce_max(x, axes: opts[:axes], keep_axes: true))
    powers / Nx.sum(powers, axes: opts[:axes], keep_axes: true)
  end

  @doc """
  The roundings of a softmax of n numbers from -1 to 1. Weights are at most 1. A difference within a row, at
  most 2, is rounded once, which the power multiplies by it; the power is good to 4 u; then a sum of n, a
  reciprocal, a product.
  """
  def softmax_roundings(n), do: 2 + 4 + n + 2

  @doc """
  The roundings of a norm of rows of n numbers from -1 to 1, by weights and biases up to 1.

  A mean is a sum of
  n and a quotient, so an element d less it, below 2, is off by n + 1 and 2. A mean of squares is off by
  twice that times the mean of |d|, which is at most the deviation, and by n + 2 times itself; relative to
  itself, which is the deviation's square, by 2 (n + 3) / deviation + n + 2. The root halves that, and is good
  to 4. An element over the deviation is below root n; a product and a quotient, then weight and bias.
  """
  def norm_roundings(x) do
    n = Nx.axis_size(x, -1)

    deviation =
      wide(x) |> Nx.variance(axes: [-1]) |> Nx.reduce_min() |> Nx.sqrt() |> Nx.to_number()

    root = (2 * (n + 3) / deviation + n + 2) / 2 + 4
    (n + 3) / deviation + :math.sqrt(n) * (root + 3) + 2
  end

  @doc "Numbers from -1 to 1, others for each seed."
  def tensor(shape, type \\ :f32, seed \\ 0) do
    shape
    |> Nx.iota(type: :f32, backend: Nx.BinaryBackend)
    |> Nx.multiply(0.7)
    |> Nx.add(seed)
    |> Nx.sin()
    |> Nx.as_type(type)
    |> on_emily()
  end

  @doc "The tensor on Emily."
  def on_emily(tensor), do: Nx.backend_copy(tensor, @emily)

  @doc "The tensor in f64, on Nx's own backend."
  def wide(tensor), do: tensor |> Nx.backend_copy(Nx.BinaryBackend) |> Nx.as_type(:f64)

  @doc "Calls a function as it is compiled with these options."
  def compiled(fun, args, opts \\ []) do
    Nx.Defn.jit_apply(fun, args, [compiler: Emily.Compiler, device: :cpu] ++ opts)
  end

  @doc "The kinds of which there are any."
  def rewrites(fun, args) do
    for {kind, count} <- Emily.Fast.rewrites(fun, args), count > 0, into: %{}, do: {kind, count}
  end

  @doc """
  Asserts that so many are rewritten, and that the result is within the bound of what it was. In a narrow type it is
  rounded once, or as often as `narrow` says, where an operand is rounded before.
  """
  def assert_rewritten(fun, args, counts, roundings, narrow \\ 1) do
    assert rewrites(fun, args) == counts
    [plain, fast] = for fast <- [false, true], do: compiled(fun, args, fast: fast)
    assert {fast.type, fast.shape, fast.names} == {plain.type, plain.shape, plain.names}
    assert distance(plain, fast) <= bound(plain.type, roundings)
    if plain.type in [{:f, 16}, {:bf, 16}], do: assert_narrow(fun, args, fast, roundings, narrow)
    fast
  end

  # What is composed rounds each step, so that its bound may be as large as the result. Emily.Fast computes in
  # f32 and rounds once, which the composition in f64 tells.
  defp assert_narrow(fun, args, fast, roundings, narrow) do
    args =
      for arg <- args,
          do: if(Nx.Type.float?(arg.type), do: Nx.as_type(wide(arg), :f64), else: arg)

    right = compiled(fun, args, f64: true)

    assert distance(right, fast) <=
             narrow * unit(fast.type) * largest(right) + bound({:f, 32}, roundings)
  end

  @doc "Asserts that nothing is rewritten, and that the result has the same bits."
  def assert_left_alone(fun, args) do
    assert rewrites(fun, args) == %{}
    [plain, fast] = for fast <- [false, true], do: compiled(fun, args, fast: fast)
    assert Nx.to_binary(plain) == Nx.to_binary(fast)
  end

  @doc "The operations that are left, by names."
  def ops(fun, args) do
    {expression, _counts} = fun |> Nx.Defn.debug_expr_apply(args) |> Emily.Fast.Rewrite.run()
    expression |> collect(MapSet.new()) |> Enum.sort()
  end

  defp collect(%Nx.Tensor{data: %Nx.Defn.Expr{op: op}} = tensor, seen) do
    seen = MapSet.put(seen, op)
    {_args, seen} = Nx.Defn.Tree.apply_args(tensor, :scope, seen, &{&1, collect(&1, &2)})
    seen
  end

  @doc "The largest difference of two tensors."
  def distance(left, right), do: largest(Nx.subtract(wide(left), wide(right)))

  @doc "The largest modulus of a tensor's elements."
  def largest(tensor), do: tensor |> wide() |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()

  @doc "How far two results of so many roundings of numbers up to 1 may be apart."
  def bound(type, roundings), do: 4 * roundings * unit(type)

  @doc "Half of the last place of 1."
  def unit({:f, 32}), do: 2 ** -24
  def unit({:f, 16}), do: 2 ** -11
  def unit({:bf, 16}), do: 2 ** -8
end
