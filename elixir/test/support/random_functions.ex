defmodule Emily.RandomFunctions do
  @moduledoc """
  Functions of one tensor, of 5 to 60 steps, made by a seed: arithmetic, views, casts, reductions, branches, loops, and
  now and then a call that only Elixir can make. Every value is `f32[2][3]`, so that any step may follow any other.
  """

  import Nx.Defn

  @shape {2, 3}

  @doc "The function of this seed."
  def make(seed) do
    state = :rand.seed_s(:exsss, seed)
    {length, state} = :rand.uniform_s(56, state)
    {steps, _state} = steps(4 + length, 1, 2, state)
    &run(steps, [&1])
  end

  # `known` values are there before the first step.
  defp steps(count, known, depth, state) do
    Enum.map_reduce(1..count, state, fn number, state ->
      step(known + number - 1, depth, state)
    end)
  end

  defp step(known, depth, state) do
    {kind, state} = :rand.uniform_s(24, state)
    {[a, b], state} = Enum.map_reduce(1..2, state, fn _, state -> place(known, state) end)

    cond do
      kind == 1 and depth > 0 ->
        {then, state} = steps(3, known, depth - 1, state)
        {otherwise, state} = steps(2, known, depth - 1, state)
        {{:choose, a, then, otherwise}, state}

      kind == 2 and depth > 0 ->
        {turns, state} = :rand.uniform_s(4, state)
        {body, state} = steps(3, 1, depth - 1, state)
        {{:repeat, a, turns - 1, body}, state}

      kind == 3 ->
        {{:call, a}, state}

      kind < 14 ->
        {index, state} = :rand.uniform_s(length(unary()), state)
        {{:unary, index - 1, a}, state}

      true ->
        {index, state} = :rand.uniform_s(length(binary()), state)
        {{:binary, index - 1, a, b}, state}
    end
  end

  defp place(known, state) do
    {place, state} = :rand.uniform_s(known, state)
    # The last values are the likeliest.
    {from, state} = :rand.uniform_s(2, state)
    {if(from == 1, do: known - 1, else: place - 1), state}
  end

  defp run(steps, values) do
    [last | _rest] = values = Enum.reduce(steps, values, &[one(&1, &2) | &2])
    Nx.add(last, Enum.at(values, div(length(values), 2)))
  end

  # The newest value is the first.
  defp at(values, place), do: Enum.at(values, length(values) - 1 - place)

  defp one({:unary, index, a}, values), do: Enum.at(unary(), index).(at(values, a))

  defp one({:binary, index, a, b}, values) do
    Enum.at(binary(), index).(at(values, a), at(values, b))
  end

  defp one({:call, a}, values) do
    Nx.runtime_call(Nx.template(@shape, :f32), at(values, a), [], fn t, _opts ->
      Nx.add(t, 0.5)
    end)
  end

  defp one({:choose, a, then, otherwise}, values) do
    decides = Nx.greater(at(values, a)[0][0], 0)
    choose(decides, List.to_tuple(values), then: branch(then), otherwise: branch(otherwise))
  end

  defp one({:repeat, a, turns, body}, values) do
    repeat(at(values, a), turns: turns, body: &run(body, [&1]))
  end

  defp branch(steps), do: &run(steps, Tuple.to_list(&1))

  defp unary do
    [
      &Nx.tanh/1,
      &Nx.abs/1,
      &Nx.negate/1,
      &Nx.sigmoid/1,
      &Nx.erf/1,
      &Nx.floor/1,
      &Nx.cos/1,
      &Nx.exp(Nx.min(&1, 3.0)),
      &Nx.transpose(Nx.transpose(&1)),
      &Nx.reshape(Nx.reverse(Nx.reshape(&1, {6})), {2, 3}),
      &Nx.sort(&1, axis: 1, direction: :desc),
      &Nx.cumulative_sum(&1, axis: 0),
      &Nx.add(&1, Nx.sum(&1, axes: [1], keep_axes: true)),
      &Nx.subtract(&1, Nx.reduce_max(&1)),
      &Nx.as_type(Nx.as_type(Nx.clip(&1, -9, 9), :s32), :f32),
      &Nx.as_type(Nx.as_type(&1, :bf16), :f32),
      &Nx.as_type(Nx.as_type(Nx.clip(&1, 0, 9), :u8), :f32),
      &Nx.take(&1, Nx.tensor([2, 0, 1]), axis: 1),
      &Nx.dot(&1, Nx.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.25], [0.0, 0.0, 1.0]])),
      &Nx.put_slice(&1, [0, 1], Nx.tensor([[7.0]])),
      &Nx.concatenate([&1[0..0//1], &1[1..1//1]]),
      &Nx.add(&1, Nx.iota({2, 3}, type: :f32))
    ]
  end

  defp binary do
    [
      &Nx.add/2,
      &Nx.subtract/2,
      &Nx.multiply/2,
      &Nx.max/2,
      &Nx.min/2,
      &Nx.atan2/2,
      &Nx.select(Nx.less(&1, &2), &1, &2),
      &Nx.select(Nx.is_nan(&1), &2, &1)
    ]
  end

  defn choose(decides, values, opts \\ []) do
    if decides, do: call(values, opts[:then]), else: call(values, opts[:otherwise])
  end

  defn repeat(value, opts \\ []) do
    {value, _turn} =
      while {value, turn = 0}, turn < opts[:turns] do
        {call(value, opts[:body]), turn + 1}
      end

    value
  end

  deftransformp call(values, fun), do: fun.(values)
end
