defmodule Emily.RandomTest do
  @moduledoc """
  `Nx.Random` with a fixed seed: what is made of integers and single roundings equals
  `Nx.BinaryBackend`'s to the bit, what goes through `log` or `erf_inv` within what those allow.
  """

  use ExUnit.Case, async: false

  alias Nx.Random

  @eps32 :math.pow(2, -23)

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
  defp near do
    [
      normal: {&Random.normal(&1, shape: {1025}), 11, 0},
      normal_with_a_scale: {&Random.normal(&1, 0, 3.5, shape: {33}), 11, 0},
      gumbel: {&Random.gumbel(&1, shape: {1025}), 8, 8}
    ]
  end

  for {how, options} <- [eager: [], compiled: [compiler: Emily.Compiler]] do
    test "integers, uniform draws, shuffles and choices have Nx.BinaryBackend's bits, #{how}" do
      for {name, draw} <- exact() do
        {wanted, drawn} = both(draw, unquote(options))
        assert Enum.map(drawn, &bits/1) == Enum.map(wanted, &bits/1), "#{name} differs"
      end
    end

    test "normal and Gumbel draws are near Nx.BinaryBackend's, #{how}" do
      for {name, {draw, relative, absolute}} <- near() do
        {[wanted, key], [drawn, next]} = both(draw, unquote(options))
        assert bits(next) == bits(key), "the next key of #{name} differs"

        for {wanted, drawn} <- Enum.zip(Nx.to_flat_list(wanted), Nx.to_flat_list(drawn)) do
          slack = @eps32 * (relative * abs(wanted) + absolute)
          assert_in_delta drawn, wanted, slack, "#{name}: #{drawn}, expected #{wanted}"
        end
      end
    end
  end

  # What a draw gives on Nx.BinaryBackend and on Emily, as lists of tensors.
  defp both(draw, options) do
    emily = {Emily.Backend, device: :cpu, f64: true}
    {on(draw, Nx.BinaryBackend, []), on(draw, emily, options)}
  end

  defp on(draw, backend, options) do
    Nx.default_backend(backend)
    Nx.Defn.default_options(options)

    case draw.(Random.key(1701)) do
      %Nx.Tensor{} = tensor -> [tensor]
      tensors -> Tuple.to_list(tensors)
    end
  end

  defp bits(tensor), do: {Nx.type(tensor), Nx.shape(tensor), Nx.to_binary(tensor)}
end
