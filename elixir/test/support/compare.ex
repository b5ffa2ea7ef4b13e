defmodule Emily.Compare do
  @moduledoc """
  Compares what `Emily.Backend` gives with what `Nx.BinaryBackend` gives, in the result's own type.
  """

  import ExUnit.Assertions

  @typedoc """
  How near: the same values (`:exact`), at most so many representable numbers apart (`{:ulp, n}`), or
  at most `k` roundings of a magnitude, element by element (`{:accum, k, magnitude}`).
  """
  @type tolerance :: :exact | {:ulp, pos_integer()} | {:accum, number(), Nx.Tensor.t()}

  @eps %{{:f, 32} => 2.0 ** -23, {:f, 16} => 2.0 ** -10, {:bf, 16} => 2.0 ** -7}

  @doc "One rounding of a number near 1 in this type."
  def eps(type), do: Map.fetch!(@eps, Nx.Type.to_real(type))

  @doc "Runs `fun` on copies of `inputs` on each backend and compares the results."
  def assert_both(inputs, fun, tolerance \\ :exact) do
    want = Nx.with_default_backend(Nx.BinaryBackend, fn -> apply(fun, inputs) end)

    got =
      Nx.with_default_backend(Emily.Backend, fn ->
        apply(fun, Enum.map(inputs, &Nx.backend_copy(&1, Emily.Backend)))
      end)

    assert_near(got, want, tolerance)
    got
  end

  @doc "Compares tensors, or tuples and lists of them, and that the first ones are Emily's."
  def assert_near(got, want, tolerance) when is_tuple(got) do
    assert_near(Tuple.to_list(got), Tuple.to_list(want), tolerance)
  end

  def assert_near(got, want, tolerance) when is_list(got) do
    assert length(got) == length(want)
    Enum.zip_with(got, want, &assert_near(&1, &2, tolerance))
  end

  def assert_near(%Nx.Tensor{} = got, %Nx.Tensor{} = want, tolerance) do
    assert %Emily.Backend{} = got.data
    assert {got.type, got.shape, got.names} == {want.type, want.shape, want.names}
    assert got.vectorized_axes == want.vectorized_axes

    got_list = got |> Nx.backend_copy(Nx.BinaryBackend) |> numbers()
    want_list = numbers(want)

    allowed = allowed(tolerance, want)

    for {{g, w, a}, i} <- Enum.with_index(Enum.zip([got_list, want_list, allowed])) do
      assert near?(g, w, a, want.type),
             "element #{i}: got #{inspect(g)}, want #{inspect(w)}, allowed #{inspect(a)}"
    end
  end

  def assert_near(got, want, _tolerance), do: assert(got === want)

  # Complex numbers are compared as pairs.
  defp numbers(tensor) do
    tensor
    |> Nx.to_flat_list()
    |> Enum.flat_map(fn
      %Complex{re: re, im: im} -> [re, im]
      number -> [number]
    end)
  end

  defp allowed({:accum, k, magnitude}, want) do
    each = if match?({:c, _}, want.type), do: 2, else: 1

    for m <- Nx.to_flat_list(magnitude), _ <- 1..each do
      {:within, k * eps(want.type) * m}
    end
  end

  defp allowed(tolerance, _want), do: Stream.cycle([tolerance])

  defp near?(got, want, _tolerance, _type) when got === want, do: true
  # -0.0 and 0.0 are equal as numbers and differ as answers.
  defp near?(got, want, :exact, _type), do: got == want and got != 0
  defp near?(got, want, _tolerance, _type) when is_atom(got) or is_atom(want), do: false
  defp near?(got, want, {:within, bound}, _type), do: abs(got - want) <= bound
  defp near?(got, want, {:ulp, n}, type), do: abs(rank(got, type) - rank(want, type)) <= n

  # The place of a float among all floats of its type.
  defp rank(number, type) do
    {_class, size} = type = Nx.Type.to_real(type)

    <<bits::size(^size)-native>> =
      Nx.to_binary(Nx.tensor(number, type: type, backend: Nx.BinaryBackend))

    half = Bitwise.bsl(1, size - 1)
    if bits >= half, do: half - bits, else: bits
  end
end
