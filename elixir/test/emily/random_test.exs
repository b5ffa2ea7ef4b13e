defmodule Emily.RandomTest do
  @moduledoc """
  `Nx.Random` with fixed seeds: what is made of integers and single roundings equals
  `Nx.BinaryBackend`'s to the bit, what goes through `log` or `erf_inv` within what those allow.
  """

  use ExUnit.Case, async: false

  alias Nx.Random

  @seeds [1701, 0, 2 ** 40 + 7]
  @eps %{f64: 2.0 ** -52, f32: 2.0 ** -23, f16: 2.0 ** -10, bf16: 2.0 ** -7}

  # The covariance is L·Lᵀ, in integers, so that its Cholesky factor is exact; its determinant is 36.
  @l [[2, 0, 0], [1, 3, 0], [-1, 1, 1]]
  @covariance [[4, 2, -2], [2, 10, 2], [-2, 2, 3]]
  @adjugate [[26, -10, 24], [-10, 8, -12], [24, -12, 36]]
  @mean [1, -2, 3]

  setup do
    Emily.Defaults.set(Nx.BinaryBackend)
  end

  defp exact do
    [
      key: & &1,
      split: &Random.split/1,
      split_in_five: &Random.split(&1, parts: 5),
      fold_in: &Random.fold_in(&1, 7),
      randint_s32: &Random.randint(&1, -50, 50, shape: {7, 33}),
      randint_u8: &Random.randint(&1, 0, 255, shape: {1025}, type: :u8),
      randint_s64: &Random.randint(&1, -9_000_000_000, 9_000_000_000, shape: {40}, type: :s64),
      randint_split: &Random.randint_split(&1, 0, 3, shape: {31}),
      uniform_f32: &Random.uniform(&1, shape: {1025}),
      uniform_f16: &Random.uniform(&1, shape: {1025}, type: :f16),
      uniform_bf16: &Random.uniform(&1, shape: {1025}, type: :bf16),
      uniform_f64: &Random.uniform(&1, shape: {100}, type: :f64),
      uniform_c64: &Random.uniform(&1, shape: {100}, type: :c64),
      uniform_between: &Random.uniform(&1, -3, 11, shape: {8, 9}),
      uniform_split: &Random.uniform_split(&1, -3, 11, shape: {8, 9}),
      shuffle: &Random.shuffle(&1, Nx.iota({257})),
      shuffle_of_rows: &Random.shuffle(&1, Nx.iota({9, 5})),
      independent_shuffle: &Random.shuffle(&1, Nx.iota({9, 5}), axis: 1, independent: true),
      choice: &Random.choice(&1, Nx.iota({50}), samples: 20),
      choice_once: &Random.choice(&1, Nx.iota({50}), samples: 20, replace: false),
      choice_by_probability:
        &Random.choice(&1, Nx.iota({4}), Nx.tensor([0.125, 0.5, 0.125, 0.25]), samples: 64)
    ]
  end

  # With the relative and the absolute error allowed, in eps. erf_inv may be 4 off on either backend
  # (its operand is the same), and three roundings follow. The inner logarithm's 4 relative eps on
  # either backend are absolute ones of the outer's, which has 4 relative ones of its own.
  defp near(type) do
    [
      normal: {&Random.normal(&1, shape: {1025}, type: type), 11, 0},
      normal_with_a_scale: {&Random.normal(&1, 0, 3.5, shape: {33}, type: type), 11, 0},
      normal_split: {&Random.normal_split(&1, 0, 3.5, shape: {33}, type: type), 11, 0}
    ] ++ gumbel(type)
  end

  defp gumbel(type) do
    # Nx.Random.gumbel takes no short name of a type.
    type = Nx.Type.normalize!(type)

    [
      gumbel: {&Random.gumbel(&1, shape: {1025}, type: type), 8, 8},
      gumbel_split: {&Random.gumbel_split(&1, shape: {33}, type: type), 8, 8}
    ]
  end

  for {how, options} <- [eager: [], compiled: [compiler: Emily.Compiler]] do
    @tag timeout: 120_000
    test "integers, uniform draws, shuffles and choices have Nx.BinaryBackend's bits, #{how}" do
      for seed <- @seeds, {name, draw} <- exact() do
        {wanted, drawn} = both(draw, seed, unquote(options))
        assert Enum.map(drawn, &bits/1) == Enum.map(wanted, &bits/1), "#{name}, seed #{seed}"
      end
    end

    test "normal and Gumbel draws are near Nx.BinaryBackend's, #{how}" do
      # There, erf_inv has the digits of f32 in f64, and the bound next to -1 is truncated to bf16.
      draws = [f32: near(:f32), f16: near(:f16), bf16: gumbel(:bf16), f64: gumbel(:f64)]

      for seed <- @seeds, {type, draws} <- draws, {name, {draw, relative, absolute}} <- draws do
        {[wanted | key], [drawn | next]} = both(draw, seed, unquote(options))
        what = "#{name} in #{type}, seed #{seed}"
        assert Enum.map(next, &bits/1) == Enum.map(key, &bits/1), what
        assert Nx.type(drawn) == Nx.type(wanted), what

        for {wanted, drawn} <- Enum.zip(Nx.to_flat_list(wanted), Nx.to_flat_list(drawn)) do
          assert near?(drawn, wanted, @eps[type], relative, absolute),
                 "#{what}: #{drawn}, expected #{wanted}"
        end
      end
    end

    test "normal draws in f64 and bf16 are where the error function gives their uniform ones, #{how}" do
      for seed <- @seeds, {type, least} <- [f64: -1 + 2.0 ** -53, bf16: -1] do
        uniform = &Random.uniform_split(&1, Nx.tensor(least, type: type), 1, shape: {257})
        normal = &Random.normal_split(&1, 0, 1, shape: {257}, type: type)
        [us] = emily(uniform, seed, [])
        [drawn] = emily(normal, seed, unquote(options))
        assert Nx.type(us) == Nx.type(drawn)

        for {u, drawn} <- Enum.zip(Nx.to_flat_list(us), Nx.to_flat_list(drawn)) do
          [low, high] = Enum.sort(for far <- [-7, 7], do: erf(drawn, 1 + far * @eps[type]))
          slack = 2 * @eps.f64
          assert low - slack <= u and u <= high + slack, "#{type}: #{drawn} for #{u}"
        end
      end
    end

    test "draws of several variables are the mean and the factor's image of normal ones, #{how}" do
      for seed <- @seeds, {type, eps} <- @eps do
        draw =
          &Random.multivariate_normal_split(&1, mean(), covariance(), type: type, shape: {65})

        [drawn] = emily(draw, seed, unquote(options))

        [z] =
          emily(
            &Random.normal_split(&1, 0, 1, type: type, shape: {65, 3}),
            seed,
            unquote(options)
          )

        # A rounding of each of three products and of each of three sums, and of the result. In bf16, a
        # uniform draw of -1 makes a normal one infinite.
        for {drawn, z} <- Enum.zip(Nx.to_list(drawn), Nx.to_list(z)),
            Enum.all?(z, &is_number/1),
            {x, mean, l} <- Enum.zip([drawn, @mean, @l]) do
          terms = Enum.zip_with(z, l, &(&1 * &2))
          size = abs(mean) + Enum.sum_by(terms, &abs/1)
          assert_in_delta x, mean + Enum.sum(terms), 7 * eps * size, "#{type}, seed #{seed}"
        end
      end
    end

    # x = A·z and A·Aᵀ = C make x·C⁻¹·x' the product of z and z', whichever A is chosen.
    test "eigh and svd give draws of the covariance, too, #{how}" do
      for seed <- @seeds, method <- [:svd, :eigh], type <- [:f32, :f64] do
        options = [shape: {17}, type: type, method: method]
        draw = &Random.multivariate_normal(&1, Nx.tensor([0, 0, 0]), covariance(), options)
        [drawn, _key] = emily(draw, seed, unquote(options))

        normal = &Random.normal_split(Random.split(&1)[1], 0, 1, shape: {17, 3}, type: type)
        [z] = emily(normal, seed, unquote(options))

        [x, z] =
          Enum.map([drawn, z], &(&1 |> Nx.backend_copy(Nx.BinaryBackend) |> Nx.as_type(:f64)))

        inverse = Nx.divide(Nx.tensor(@adjugate, type: :f64, backend: Nx.BinaryBackend), 36)
        wanted = Nx.dot(z, Nx.transpose(z))
        found = x |> Nx.dot(inverse) |> Nx.dot(Nx.transpose(x))
        largest = wanted |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()
        apart = wanted |> Nx.subtract(found) |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()

        # The decomposition's 20 eps times 3, twice, and a product's 6 with the square root's, each as
        # often as C is ill-conditioned: its trace is 17, so its largest eigenvalue is no more, and its
        # determinant 36, so its least is no less than 36 / 8.5².
        assert apart <= 34.2 * (2 * 60 + 2 * 7) * @eps[type] * largest, "#{method}, #{type}"
      end
    end
  end

  # Of a normal draw, moved by a factor.
  defp erf(:neg_infinity, _factor), do: -1.0
  defp erf(draw, factor), do: :math.erf(factor * draw / :math.sqrt(2))

  defp mean, do: Nx.tensor(@mean)
  defp covariance, do: Nx.tensor(@covariance)

  # Infinities are equal or not at all.
  defp near?(same, same, _eps, _relative, _absolute), do: true
  defp near?(a, b, _eps, _relative, _absolute) when is_atom(a) or is_atom(b), do: false

  defp near?(a, b, eps, relative, absolute),
    do: abs(a - b) <= eps * (relative * abs(b) + absolute)

  # What a draw gives on Nx.BinaryBackend and on Emily, as lists of tensors.
  defp both(draw, seed, options) do
    {on(draw, seed, Nx.BinaryBackend, []), emily(draw, seed, options)}
  end

  defp emily(draw, seed, options) do
    on(draw, seed, {Emily.Backend, device: :cpu, f64: true}, options)
  end

  defp on(draw, seed, backend, options) do
    Nx.default_backend(backend)
    Nx.Defn.default_options(options)

    case draw.(Random.key(seed)) do
      %Nx.Tensor{} = tensor -> [tensor]
      tensors -> Tuple.to_list(tensors)
    end
  end

  defp bits(tensor), do: {Nx.type(tensor), Nx.shape(tensor), Nx.to_binary(tensor)}
end
