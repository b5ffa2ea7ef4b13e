defmodule Emily.Fast.Rewrite.Attention do
  @moduledoc false
  # `softmax(query . key^T * scale + mask) . value`, of floats, with at most two axes of batches and heads.
  #
  # The scale is a number, or stays with the query. The mask is added, or selects scores against -∞. Where
  # the weights go anywhere else (to a head mask, a dropout, the caller), softmax is all that is replaced.

  @behaviour Emily.Fast.Rewrite

  import Emily.Fast.Rewrite.Expression

  alias Emily.Fast.Rewrite.Softmax
  alias Nx.Defn.Expr
  alias Nx.Tensor, as: T

  @impl true
  def match(
        %T{data: %Expr{op: :dot, args: [weights, [keys], batch, value, [along], batch]}} = root
      ) do
    lead = length(batch)

    with true <- lead <= 2 and batch == Enum.to_list(0..(lead - 1)//1),
         true <- {Nx.rank(weights), Nx.rank(value), keys} == {lead + 2, lead + 2, lead + 1},
         {:ok, scores, [^keys]} <- Softmax.parts(unrounded(weights)),
         {:ok, query, {key, transposed}, scale, mask} <- scores(scores, lead),
         true <- Enum.all?([query, key, value], &float?/1),
         data = Enum.map([query, key, value], &operand/1),
         {:ok, cast} <- typed(data, root.type) do
      {:ok,
       %{
         inputs: data ++ inputs(mask),
         # Layers may have one mask.
         shared: shared(mask),
         build: fn inputs ->
           {data, given} = Enum.split(inputs, 3)
           [query, key, value] = cast.(data)

           result =
             Emily.Fast.scaled_dot_product_attention(
               four_axes(query),
               key |> rows_of(transposed) |> four_axes(),
               value |> rows_of(along == keys) |> four_axes(),
               [scale: scale] ++ mask(mask, given, lead)
             )

           Nx.reshape(result, root.shape, names: root.names)
         end
       }}
    else
      _ -> :error
    end
  end

  def match(_root), do: :error

  # Query, key and whether it has its axes the other way round, scale and mask.
  defp scores(scores, lead) do
    case op(scores) do
      {:add, args} ->
        either_way(args, fn product, mask ->
          with {:ok, query, key, scale} <- scaled(product, scores, lead),
               true <- float?(mask) do
            {:ok, query, key, scale, added(mask)}
          else
            _ -> :error
          end
        end)

      {:select, [seen, left, right]} ->
        selected(seen, {left, right}, scores, lead)

      _ ->
        with {:ok, query, key, scale} <- scaled(scores, scores, lead) do
          {:ok, query, key, scale, nil}
        end
    end
  end

  defp selected(seen, {left, right}, scores, lead) do
    [{product, mask}, {hidden, _}] =
      if constant(right) == :neg_infinity,
        do: [{left, {:seen, seen}}, {right, nil}],
        else: [{right, {:hidden, seen}}, {left, nil}]

    with :neg_infinity <- constant(hidden),
         {:ok, query, key, scale} <- scaled(product, scores, lead) do
      {:ok, query, key, scale, mask}
    else
      _ -> :error
    end
  end

  # Of the shape of all scores: the mask widens nothing.
  defp scaled(tensor, scores, lead) do
    {dot, scale} =
      case op(tensor) do
        {:multiply, [factor, dot]} -> {dot, number(factor)}
        {:divide, [dot, divisor]} -> {dot, inverse(number(divisor))}
        _ -> {tensor, 1.0}
      end

    features = lead + 1
    batch = Enum.to_list(0..(lead - 1)//1)

    with true <- scale != nil,
         {:dot, [query, [^features], ^batch, key, [along], ^batch]} <- op(dot),
         true <- Nx.rank(key) == lead + 2 and dot.shape == scores.shape do
      {:ok, query, {key, along != features}, scale}
    else
      _ -> :error
    end
  end

  # What hides keys by the least number of a type, hides them in f32 by that of f32: beside the least of
  # f16 a score counts.
  defp added(mask) do
    with {:select, [seen, bias, hidden]} <- op(mask),
         true <- constant(hidden) == least(mask.type) do
      {:least, seen, bias, mask}
    else
      _ -> {:added, mask}
    end
  end

  defp least(type) do
    type |> Nx.Constants.min_finite(backend: Nx.BinaryBackend) |> Nx.to_number()
  end

  defp inputs(nil), do: []
  defp inputs({:least, seen, bias, _mask}), do: [seen, bias]
  defp inputs({_kind, mask}), do: [mask]

  defp shared({:least, _seen, _bias, mask}), do: [mask]
  defp shared(_mask), do: []

  defp mask(nil, [], _lead), do: []
  defp mask({:seen, _}, [seen], lead), do: [mask: seen |> Nx.not_equal(0) |> heads(lead)]
  defp mask({:hidden, _}, [hidden], lead), do: [mask: hidden |> Nx.equal(0) |> heads(lead)]
  defp mask({:added, _}, [bias], lead), do: [mask: heads(bias, lead)]

  defp mask({:least, _, _, mask}, [seen, bias], lead) do
    if all?(seen) and constant(bias) == 0 do
      []
    else
      type = Emily.Fast.Call.wide(mask.type)
      bias = Nx.as_type(bias, type)
      mask = seen |> Nx.select(bias, Nx.Constants.min_finite(type)) |> Nx.broadcast(mask.shape)
      [mask: heads(mask, lead)]
    end
  end

  # Whether all keys are seen, whatever the operands.
  defp all?(tensor) do
    case {constant(tensor), op(tensor)} do
      {nil, {:logical_and, [left, right]}} -> all?(left) and all?(right)
      {nil, {:reshape, [inner]}} -> all?(inner)
      {nil, {:broadcast, [inner | _]}} -> all?(inner)
      # 0.0 hides as 0 does.
      {number, _} -> number != nil and number != 0
    end
  end

  # A mask of the axes that there are, with one for heads where there is none.
  defp heads(mask, 1) when tuple_size(mask.shape) == 3 do
    {batch, queries, keys} = mask.shape
    Nx.reshape(mask, {batch, 1, queries, keys}, names: List.duplicate(nil, 4))
  end

  defp heads(mask, _lead), do: mask

  defp rows_of(tensor, false), do: tensor

  defp rows_of(tensor, true) do
    {lead, [left, right]} = tensor |> Nx.axes() |> Enum.split(-2)
    Nx.transpose(tensor, axes: lead ++ [right, left])
  end

  defp four_axes(tensor) do
    {lead, matrix} = tensor.shape |> Tuple.to_list() |> Enum.split(-2)
    lead = Enum.take(lead ++ [1, 1], 2)
    Nx.reshape(tensor, List.to_tuple(lead ++ matrix), names: List.duplicate(nil, 4))
  end
end
