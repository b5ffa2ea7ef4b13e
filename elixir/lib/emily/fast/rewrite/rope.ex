defmodule Emily.Fast.Rewrite.Rope do
  @moduledoc false
  # `x * cos + rotated(x) * sin`, of floats `{batch, positions, heads, features}`: `rotated` puts the second
  # half of the features, negated, before the first, and sine and cosine are looked up at position ids, in tables
  # of `position * frequency`, for both halves alike. Frequencies are any vector.
  #
  # Ids need not be consecutive: each position is a batch of its own, with its id for offset.

  @behaviour Emily.Fast.Rewrite

  import Emily.Fast.Rewrite.Expression

  alias Nx.Defn.Expr
  alias Nx.Tensor, as: T

  @impl true
  def match(%T{shape: {_, _, _, _}, data: %Expr{op: :add, args: args}} = root) do
    with {:ok, x, cos, sin} <- either_way(args, &terms/2),
         true <- x.shape == root.shape and float?(x),
         {:ok, ids, angles} <- looked_up(cos, :cos, x.shape),
         {:ok, same_ids, same_angles} <- looked_up(sin, :sin, x.shape),
         true <- same?(ids, same_ids) and same?(angles, same_angles),
         {:ok, periods, inverse, scale} <- periods(angles),
         x = operand(x),
         {:ok, cast} <- typed([x], root.type) do
      # The tables serve queries and keys.
      {:ok,
       %{
         inputs: [x, ids, periods],
         shared: [cos, sin],
         build: fn [x, ids, periods] ->
           periods = if inverse, do: Nx.divide(1, periods), else: periods
           rotate(hd(cast.([x])), ids, freqs: periods, scale: scale)
         end
       }}
    else
      _ -> :error
    end
  end

  def match(_root), do: :error

  defp rotate(%T{shape: {batch, positions, heads, features}} = x, ids, opts) do
    offset =
      ids |> Nx.broadcast({batch, positions}) |> Nx.reshape({batch * positions}, names: [nil])

    x
    |> Nx.reshape({batch * positions, heads, 1, features}, names: List.duplicate(nil, 4))
    |> Emily.Fast.rope([offset: offset] ++ opts)
    |> Nx.reshape(x.shape)
  end

  # x, and what it and its rotation are multiplied by.
  defp terms(left, right) do
    with {:multiply, straight} <- op(left), {:multiply, turned} <- op(right) do
      either_way(straight, fn x, cos ->
        either_way(turned, fn rotated, sin ->
          if rotated?(rotated, x), do: {:ok, x, cos, sin}, else: :error
        end)
      end)
    else
      _ -> :error
    end
  end

  defp rotated?(tensor, x) do
    with {:concatenate, [[negated, first], 3]} <- op(tensor),
         {:negate, [second]} <- op(negated),
         {whole, starts, [batch, positions, heads, features]} <- part(x),
         half = div(features, 2),
         lengths = [batch, positions, heads, half] do
      part?(first, {whole, starts, lengths}) and
        part?(second, {whole, List.update_at(starts, 3, &(&1 + half)), lengths})
    else
      _ -> false
    end
  end

  defp part?(tensor, {whole, starts, lengths}) do
    {same, own_starts, own_lengths} = part(tensor)
    same?(whole, same) and {own_starts, own_lengths} == {starts, lengths}
  end

  # Nx makes one slice of a slice's.
  defp part(tensor) do
    with {:slice, [whole, starts, lengths, strides]} <- op(tensor),
         true <- Enum.all?(starts, &is_integer/1) and Enum.all?(strides, &(&1 == 1)) do
      {operand(whole), starts, lengths}
    else
      _ -> {operand(tensor), List.duplicate(0, Nx.rank(tensor)), Tuple.to_list(tensor.shape)}
    end
  end

  # The ids and the angles of a table's rows, one for all heads.
  defp looked_up(tensor, function, {batch, positions, _heads, features}) do
    with {rows, positions, 1, features} when rows in [1, batch] <-
           only(tensor, positions, features),
         {:block, [%Nx.Block.Take{axis: 0}, [table, ids] | _]} <- op(unreshaped(tensor)),
         true <- ids.shape == {rows, positions} and Nx.Type.integer?(ids.type),
         {_length, ^features} <- table.shape,
         {^function, [angles]} <- op(table) do
      {:ok, bare(ids), bare(angles)}
    else
      _ -> :error
    end
  end

  defp only(%T{shape: {_, positions, 1, features} = shape}, positions, features), do: shape
  defp only(_tensor, _positions, _features), do: nil

  # The vector of periods, or of frequencies if it is to be inverted, and what positions are multiplied by.
  defp periods(angles) do
    with {:concatenate, [[half, other], 1]} <- op(angles),
         true <- same?(bare(half), bare(other)),
         {:multiply, args} <- op(half) do
      either_way(args, fn positions, frequencies ->
        with {:ok, scale} <- steps(positions),
             {:ok, frequencies} <- row(frequencies, elem(half.shape, 1)) do
          case op(frequencies) do
            {:divide, [one, periods]} when periods.shape == frequencies.shape ->
              if number(one) == 1,
                do: {:ok, operand(periods), false, scale},
                else: {:ok, frequencies, true, scale}

            _ ->
              {:ok, frequencies, true, scale}
          end
        end
      end)
    else
      _ -> :error
    end
  end

  # A column of 0, 1, 2 …, or of what these are times a number, in types that hold the last of them.
  defp steps(%T{shape: {length, 1}} = tensor) do
    scaled = below(tensor)

    case op(scaled) do
      {:divide, [steps, divisor]} ->
        if holds?(scaled.type, 0),
          do: counted(steps, length, inverse(number(divisor))),
          else: :error

      {:multiply, [factor, steps]} ->
        factor = number(factor)
        last = factor && factor * (length - 1)
        if last && holds?(scaled.type, last), do: counted(steps, length, factor), else: :error

      _ ->
        counted(tensor, length, 1)
    end
  end

  defp steps(_tensor), do: :error

  defp counted(_tensor, _length, nil), do: :error

  defp counted(tensor, length, scale) do
    steps = below(tensor)

    case {holds?(steps.type, length - 1), steps.shape, op(steps)} do
      {true, {^length}, {:iota, _axis}} -> {:ok, scale}
      {true, {^length, 1}, {:iota, [0]}} -> {:ok, scale}
      _ -> :error
    end
  end

  # Whether a number of 0 and up to this one, or down to it, neither wraps in a type nor is rounded to 8 or 11 bits.
  defp holds?({kind, bits}, last) when kind in [:s, :u] do
    {least, most} =
      if kind == :s, do: {-(2 ** (bits - 1)), 2 ** (bits - 1) - 1}, else: {0, 2 ** bits - 1}

    last >= least and last <= most
  end

  defp holds?({kind, bits}, _last), do: kind == :f and bits >= 32

  # Below reshapes, and below casts to a float that hold as many digits.
  defp below(tensor) do
    case bare(unreshaped(tensor)) do
      %T{data: %Expr{op: :as_type, args: [inner]}} = cast ->
        if float?(cast) and holds?(cast.type, 0), do: below(inner), else: cast

      tensor ->
        tensor
    end
  end

  # In a narrow type the inverse of a period would be rounded otherwise.
  defp row(%T{shape: {1, length}} = tensor, length) do
    case unreshaped(tensor) do
      %T{shape: {^length}, type: {:f, bits}} = vector when bits >= 32 -> {:ok, bare(vector)}
      _ -> :error
    end
  end

  defp row(_tensor, _length), do: :error
end
