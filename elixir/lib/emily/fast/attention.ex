defmodule Emily.Fast.Attention do
  @moduledoc false
  # `Emily.Fast.scaled_dot_product_attention/4`: what it checks, and its vectors.

  import Emily.Fast.Call
  import Emily.Matrices, only: [dims: 1]

  alias Emily.Fast.{Block, Composed}

  @name "scaled_dot_product_attention"

  def run(query, key, value, opts) do
    data = Enum.map([query, key, value], &Nx.to_tensor/1)
    [mask, sinks] = for name <- [:mask, :sinks], do: opts[name] && Nx.to_tensor(opts[name])
    operands = Enum.reject(data ++ [mask, sinks], &is_nil/1)
    call = call(@name, operands)
    Enum.each(operands, &real!(call, @name, &1))

    if message = misfit(data, mask, sinks, opts) do
      raise ArgumentError, "#{call}: #{message}"
    end

    block = %Block.ScaledDotProductAttention{
      scale: opts[:scale] && opts[:scale] / 1,
      causal: opts[:causal],
      sinks: sinks != nil
    }

    if Enum.all?(operands, &(&1.vectorized_axes == [])) do
      attend(block, data, mask, sinks)
    else
      each_vector(block, data, mask, sinks)
    end
  end

  defp attend(block, [query, _key, value] = data, mask, sinks) do
    width = Nx.axis_size(value, 3)
    out = Nx.template(put_elem(query.shape, 3, width), type(data), names: query.names)
    args = Enum.reject(data ++ [mask, sinks], &is_nil/1)
    Nx.block(block, args, out, default(length(args)))
  end

  defp default(3), do: &Composed.scaled_dot_product_attention/4
  defp default(4), do: &Composed.scaled_dot_product_attention/5
  defp default(5), do: &Composed.scaled_dot_product_attention/6

  defp misfit(data, mask, sinks, opts) do
    wrong_axes(data) || wrong_sizes(Enum.map(data, &Tuple.to_list(&1.shape))) ||
      wrong_mask(data, mask) || wrong_sinks(data, sinks) || wrong_options(opts)
  end

  defp wrong_axes(data) do
    Enum.find_value(Enum.zip(data, ~w(query key value)), fn {tensor, name} ->
      if Nx.rank(tensor) != 4 do
        "the #{name} is #{dims(tensor)}; it must have the axes batch, heads, length, features"
      end
    end)
  end

  defp wrong_sizes([
         [batch, heads, _queries, features],
         [key_batch, shared, keys, key_features],
         [value_batch, value_heads, values, _width]
       ]) do
    cond do
      {key_batch, value_batch} != {batch, batch} ->
        "batches differ: #{batch} of queries, #{key_batch} of keys, #{value_batch} of values"

      {value_heads, values} != {shared, keys} ->
        "each key has a value, but there are #{shared} heads of #{keys} keys and " <>
          "#{value_heads} heads of #{values} values"

      key_features != features ->
        "queries have #{features} features and keys #{key_features}; they must be as many"

      rem(heads, shared) != 0 ->
        "#{heads} heads of queries cannot share #{shared} of keys evenly; there must be a multiple"

      true ->
        nil
    end
  end

  defp wrong_mask(_data, nil), do: nil

  defp wrong_mask(data, mask) do
    scores = scores(data)
    sizes = Tuple.to_list(mask.shape)
    fits = Enum.zip(Enum.reverse(sizes), Enum.reverse(Tuple.to_list(scores)))

    if length(sizes) > 4 or Enum.any?(fits, fn {size, whole} -> size not in [1, whole] end) do
      "the mask #{dims(mask)} does not broadcast to #{dims(scores)}: batch, heads, queries, keys"
    end
  end

  defp wrong_sinks(_data, nil), do: nil

  defp wrong_sinks([query | _], sinks) do
    heads = Nx.axis_size(query, 1)

    if sinks.shape != {heads} do
      "the sinks are #{dims(sinks)}, for #{heads} heads of queries; they must be [#{heads}]"
    end
  end

  defp wrong_options(opts) do
    cond do
      not (opts[:scale] == nil or is_real(opts[:scale])) -> "scale must be a real number"
      not is_boolean(opts[:causal]) -> "causal must be true or false"
      true -> nil
    end
  end

  # An integer may be beyond the largest float.
  defp is_real(number), do: is_number(number) and abs(number) <= 1.7976931348623157e308

  defp scores([query, key, _value]), do: put_elem(query.shape, 3, Nx.axis_size(key, 2))

  # Vectors are heads more.
  defp each_vector(block, [query | _] = data, mask, sinks) do
    mask = mask && widen(mask, data)
    given = Enum.reject(data ++ [mask, sinks], &is_nil/1)
    [%{vectorized_axes: axes} | _] = all = Nx.broadcast_vectors(given)
    vectors = axes |> Keyword.values() |> Enum.product()
    {data, rest} = all |> Enum.map(&into_heads(&1, vectors)) |> Enum.split(3)
    {mask, sinks} = if mask, do: {hd(rest), List.last(tl(rest))}, else: {nil, List.first(rest)}

    {batch, heads, queries, _features} = query.shape
    result = attend(block, data, mask, sinks)
    width = Nx.axis_size(result, 3)

    result
    |> Nx.reshape({batch, vectors, heads, queries, width}, names: List.duplicate(nil, 5))
    |> Nx.transpose(axes: [1, 0, 2, 3, 4])
    |> Nx.reshape(List.to_tuple(Keyword.values(axes) ++ [batch, heads, queries, width]),
      names: List.duplicate(nil, length(axes)) ++ query.names
    )
    |> Nx.vectorize(Keyword.keys(axes))
  end

  # The mask with four axes, and all heads.
  defp widen(mask, data) do
    {_batch, heads, _queries, _keys} = scores(data)
    ones = List.duplicate(1, 4 - Nx.rank(mask))
    [batch, _heads, queries, keys] = ones ++ Tuple.to_list(mask.shape)
    Nx.broadcast(mask, {batch, heads, queries, keys})
  end

  defp into_heads(tensor, vectors) do
    plain = Nx.devectorize(tensor, keep_names: false)

    case Tuple.to_list(tensor.shape) do
      [heads] ->
        Nx.reshape(plain, {vectors * heads})

      [batch, heads, length, features] ->
        plain
        |> Nx.reshape({vectors, batch, heads, length, features})
        |> Nx.transpose(axes: [1, 0, 2, 3, 4])
        |> Nx.reshape({batch, vectors * heads, length, features}, names: tensor.names)
    end
  end
end
