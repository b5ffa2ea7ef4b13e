defmodule Emily.Rewrite.RopeTest do
  @moduledoc """
  Which compositions `fast: true` takes for rotary positions.
  """

  use ExUnit.Case, async: true

  import Emily.Rewriting
  import Nx.Defn

  # As Bumblebee has it.
  defn rope(x, ids, opts \\ []) do
    {cos, sin} = tables(Nx.pow(100, Nx.iota({3}) / 3), opts[:divisor])
    turn(x, Nx.take(cos, ids), Nx.take(sin, ids))
  end

  defnp tables(periods, divisor) do
    angles = Nx.outer(Nx.iota({9}) / divisor, 1 / periods)
    angles = Nx.concatenate([angles, angles], axis: 1)
    {Nx.cos(angles), Nx.sin(angles)}
  end

  defnp turn(x, cos, sin) do
    [cos, sin] = same_type(x, [Nx.new_axis(cos, 2), Nx.new_axis(sin, 2)])
    x * cos + Nx.concatenate([-x[[.., .., .., 3..5]], x[[.., .., .., 0..2]]], axis: 3) * sin
  end

  deftransformp same_type(x, tensors), do: Enum.map(tensors, &Nx.as_type(&1, x.type))

  # Elements up to 1, angles up to 8, in f32: an angle's period is a power, good to 4 u, inverted, multiplied,
  # divided; sine and cosine are good to 4 u beside what the angle is off by. In the type itself, sine and
  # cosine are rounded, then two products and their sum.
  defp roundings(type) do
    2 * (8 * (4 + 3) + 4) * unit({:f, 32}) / unit(Nx.Type.normalize!(type)) + 2 * 2 + 2
  end

  defp ids, do: on_emily(Nx.tensor([[8, 0, 3, 3, 1], [0, 1, 2, 3, 4]]))

  test "at any ids, of queries and of keys" do
    for type <- [:f32, :f16, :bf16], divisor <- [1, 2] do
      query = tensor({2, 5, 4, 6}, type)
      fun = &rope(&1, &2, divisor: divisor)
      assert_rewritten(fun, [query, ids()], %{rope: 1}, roundings(type))
    end

    both = fn query, key, ids ->
      {cos, sin} = tables(Nx.pow(100, Nx.divide(Nx.iota({3}), 3)), 1)
      [cos, sin] = for table <- [cos, sin], do: Nx.take(table, ids)
      Nx.concatenate([turn(query, cos, sin), turn(key, cos, sin)], axis: 2)
    end

    args = [tensor({2, 5, 4, 6}), tensor({2, 5, 2, 6}, :f32, 1), ids()]
    assert_rewritten(both, args, %{rope: 2}, roundings(:f32))
  end

  test "of the first features of more, and by one row of ids" do
    x = tensor({2, 5, 4, 8})

    part =
      &Nx.concatenate([rope(&1[[.., .., .., 0..5]], &2, divisor: 1), &1[[.., .., .., 6..7]]],
        axis: 3
      )

    assert_rewritten(part, [x, ids()], %{rope: 1}, roundings(:f32))

    assert_rewritten(
      &rope(&1, &2, divisor: 1),
      [tensor({2, 5, 4, 6}), ids()[0..0]],
      %{rope: 1},
      roundings(:f32)
    )
  end

  test "not turned the other way, by other tables, of other angles or features" do
    args = [tensor({2, 5, 4, 6}), ids()]
    halves = &{&1[[.., .., .., 0..2]], &1[[.., .., .., 3..5]]}

    of = fn turned, angles, ids_of_sin ->
      fn x, ids ->
        angles = angles.(Nx.outer(Nx.iota({9}), Nx.pow(0.5, Nx.iota({3}))))
        cos = Nx.new_axis(Nx.take(Nx.cos(angles), ids), 2)
        sin = Nx.new_axis(Nx.take(Nx.sin(angles), ids_of_sin.(ids)), 2)
        Nx.add(Nx.multiply(x, cos), Nx.multiply(turned.(halves.(x)), sin))
      end
    end

    right = fn {a, b} -> Nx.concatenate([Nx.negate(b), a], axis: 3) end
    twice = &Nx.concatenate([&1, &1], axis: 1)
    assert_rewritten(of.(right, twice, & &1), args, %{rope: 1}, roundings(:f32))

    for turned <- [
          fn {a, b} -> [b, Nx.negate(a)] end,
          fn {a, b} -> [Nx.negate(a), b] end,
          fn {a, b} -> [b, a] end,
          fn {a, b} -> [Nx.sin(b), a] end,
          fn {a, b} -> [Nx.negate(Nx.sin(b)), Nx.sin(a)] end
        ] do
      assert_left_alone(of.(&Nx.concatenate(turned.(&1), axis: 3), twice, & &1), args)
    end

    assert_left_alone(
      of.(right, &Nx.concatenate([&1, Nx.multiply(&1, 2)], axis: 1), & &1),
      args
    )

    assert_left_alone(of.(right, &Nx.add(twice.(&1), 1), & &1), args)
    assert_left_alone(of.(right, twice, &Nx.subtract(8, &1)), args)

    [x, ids] = args
    complex = &Nx.multiply(&1, Nx.Constants.i())
    assert rewrites(fn x, ids -> rope(complex.(x), ids, divisor: 1) end, args) == %{}

    # The halves of another tensor, and sines for cosines.

    for swap <- [false, true] do
      fun = fn x, y, ids ->
        {cos, sin} = tables(Nx.pow(100, Nx.divide(Nx.iota({3}), 3)), 1)
        [cos, sin] = for table <- [cos, sin], do: Nx.new_axis(Nx.take(table, ids), 2)
        {cos, sin} = if swap, do: {sin, cos}, else: {cos, sin}
        Nx.add(Nx.multiply(x, cos), Nx.multiply(right.(halves.(if(swap, do: x, else: y))), sin))
      end

      assert_left_alone(fun, [x, tensor({2, 5, 4, 6}, :f32, 3), ids])
    end
  end

  test "positions that do not count up in their type are left alone" do
    looked_up = fn positions ->
      fn x, ids ->
        angles = Nx.outer(positions.(), Nx.pow(0.5, Nx.iota({3})))
        angles = Nx.concatenate([angles, angles], axis: 1)
        turn(x, Nx.take(Nx.cos(angles), ids), Nx.take(Nx.sin(angles), ids))
      end
    end

    args = [tensor({2, 5, 4, 6}), Nx.add(ids(), 250)]
    counting = fn -> Nx.as_type(Nx.iota({300}, type: :u16), :f32) end
    assert rewrites(looked_up.(counting), args) == %{rope: 1}

    for positions <- [
          fn -> Nx.iota({300}, type: :u8) end,
          fn -> Nx.iota({300}, type: :bf16) end,
          fn -> Nx.as_type(Nx.iota({300}), :bf16) end,
          fn -> Nx.multiply(Nx.iota({300}, type: :s32), 10_000_000) end,
          fn -> Nx.multiply(Nx.iota({300}, type: :u16), Nx.tensor(300, type: :u16)) end
        ] do
      assert_left_alone(looked_up.(positions), args)
    end
  end
end
