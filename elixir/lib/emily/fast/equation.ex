defmodule Emily.Fast.Equation do
  @moduledoc false
  # `Emily.Fast.einsum/2`: its equation, read and fitted to the operands.

  import Emily.Fast.Call
  import Emily.Matrices, only: [dims: 1]

  alias Emily.Fast.{Block, Composed}

  @most 8

  def run(equation, tensors) do
    tensors = tensors |> List.wrap() |> Enum.map(&Nx.to_tensor/1)
    call = call("einsum", tensors)

    try do
      {terms, result} = read(equation, length(tensors))
      axes = Enum.zip_with(tensors, terms, &named/2)
      all = Enum.concat(axes)
      {vectors, rest} = all |> Enum.uniq_by(&elem(&1, 0)) |> Enum.split_with(&vector?/1)
      result = Enum.map(vectors, &elem(&1, 0)) ++ result(result, rest, all)
      tensors |> Enum.zip_with(axes, &{&1, &2}) |> contract(result, all)
    catch
      {:misfit, message} -> raise ArgumentError, "#{call}: #{message}"
    end
  end

  # --- the equation ---

  # The labels of each operand and those of the result, `nil` where the equation leaves them out. A label
  # is a letter with its position, or `:...`.
  defp read(equation, count) when is_binary(equation) do
    tokens = tokens(equation, String.graphemes(equation), 0)
    {terms, result} = sides(equation, tokens)

    cond do
      count > @most ->
        misfit("einsum takes #{@most} tensors at most, got #{count}; multiply some of them first")

      length(terms) != count ->
        misfit(
          "equation #{inspect(equation)} is of #{length(terms)} operands, got #{count}; " <>
            "separate theirs by commas"
        )

      true ->
        {Enum.map(terms, &{equation, &1}), result && {equation, result}}
    end
  end

  defp read(equation, _count) do
    misfit("an equation is a string, as in \"ij,jk->ik\", got: #{inspect(equation)}")
  end

  defp tokens(_equation, [], _at), do: []
  defp tokens(equation, ["-", ">" | rest], at), do: [{:->, at} | tokens(equation, rest, at + 2)]

  defp tokens(equation, [".", ".", "." | rest], at),
    do: [{:..., at} | tokens(equation, rest, at + 3)]

  defp tokens(equation, [blank | rest], at) when blank in [" ", "\t", "\n"],
    do: tokens(equation, rest, at + 1)

  defp tokens(equation, [other | rest], at) do
    if other == "," or other =~ ~r/^[A-Za-z]$/ do
      [{other, at} | tokens(equation, rest, at + 1)]
    else
      wrong(
        equation,
        at,
        "#{inspect(other)} means nothing; labels are letters, between them " <>
          "stand commas, -> and ..."
      )
    end
  end

  defp sides(equation, tokens) do
    {operands, rest} = Enum.split_while(tokens, &(elem(&1, 0) != :->))
    terms = terms(operands)
    Enum.each(terms, &once(equation, &1, :...))

    case rest do
      [] ->
        {terms, nil}

      [_arrow | result] ->
        for {token, at} <- result, token in [:->, ","] do
          wrong(equation, at, "#{token} stands in the result; there is one, without a comma")
        end

        {terms, result}
    end
  end

  defp terms(tokens) do
    {term, rest} = Enum.split_while(tokens, &(elem(&1, 0) != ","))
    if rest == [], do: [term], else: [term | terms(tl(rest))]
  end

  defp once(equation, term, label) do
    with [_first, {_label, at} | _] <- Enum.filter(term, &(elem(&1, 0) == label)) do
      wrong(
        equation,
        at,
        "... stands for all axes without a label, and is in this operand already"
      )
    end
  end

  # --- the operands ---

  # Each axis of the tensor, vectors first, as `{label, size}`.
  defp named(tensor, {equation, term}) do
    rank = Nx.rank(tensor)
    {before, rest} = Enum.split_while(term, &(elem(&1, 0) != :...))
    unlabelled = rank - length(before) - max(length(rest) - 1, 0)

    if unlabelled < 0 or (rest == [] and unlabelled != 0) do
      at = with [{_label, at} | _] <- term, do: at, else: (_ -> 0)
      labels = Enum.map_join(term, &elem(&1, 0))
      remedy = if unlabelled < 0, do: "take some away", else: "add some, or ... for the others"

      wrong(
        equation,
        at,
        "#{inspect(labels)} labels #{rank - unlabelled} axes, and the operand " <>
          "#{dims(tensor)} has #{rank}; #{remedy}"
      )
    end

    dots = for at <- unlabelled..1//-1, do: {:..., at}
    labels = Enum.map(before, &elem(&1, 0)) ++ dots ++ Enum.map(Enum.drop(rest, 1), &elem(&1, 0))
    vectors = for {name, size} <- tensor.vectorized_axes, do: {{:vector, name}, size}
    vectors ++ Enum.zip(labels, Tuple.to_list(tensor.shape))
  end

  defp vector?({{:vector, _name}, _size}), do: true
  defp vector?({_label, _size}), do: false

  # The result's labels: as the equation has them, or those that are there once, by the alphabet.
  defp result(nil, axes, all) do
    dots = dots(axes)
    letters = for {label, _size} <- axes, is_binary(label), do: label
    dots ++ Enum.sort(Enum.filter(letters, &(Enum.count(all, fn {l, _} -> l == &1 end) == 1)))
  end

  defp result({equation, tokens}, axes, _all) do
    dots = dots(axes)
    known = for {label, _size} <- axes, do: label

    for {{label, at}, i} <- Enum.with_index(tokens) do
      if List.keymember?(Enum.take(tokens, i), label, 0) do
        wrong(equation, at, "#{label} is in the result already; name it once")
      end

      if label != :... and label not in known do
        wrong(equation, at, "#{label} is no operand's label; a result has labels of operands")
      end
    end

    if dots != [] and not List.keymember?(tokens, :..., 0) do
      wrong(equation, 0, "the result lacks the axes that ... stands for; add ... to it")
    end

    Enum.flat_map(tokens, fn {label, _at} -> if label == :..., do: dots, else: [label] end)
  end

  defp dots(axes), do: Enum.sort(for({{:..., _at} = dot, _size} <- axes, do: dot), :desc)

  # --- the call ---

  defp contract(operands, result, all) do
    sizes = sizes(all)
    numbers = sizes |> Map.keys() |> Enum.with_index() |> Map.new()
    {tensors, labels} = operands |> Enum.map(&stretched(&1, sizes)) |> Enum.unzip()
    number = &Map.fetch!(numbers, &1)

    block = %Block.Einsum{
      labels: labels |> Enum.concat() |> Enum.map(number),
      result: Enum.map(result, number)
    }

    type = tensors |> Enum.map(& &1.type) |> Enum.reduce(&Nx.Type.merge/2)
    out = result |> Enum.map(&Map.fetch!(sizes, &1)) |> List.to_tuple() |> Nx.template(type)
    vectors = for {:vector, name} <- result, do: name

    block
    |> Nx.block(tensors, out, default(length(tensors)))
    |> then(&if(vectors == [], do: &1, else: Nx.vectorize(&1, vectors)))
  end

  # An axis of size 1 under ... is the same at each index of the others: it has none.
  defp stretched({tensor, axes}, sizes) do
    {alone, kept} =
      axes
      |> Enum.with_index()
      |> Enum.split_with(fn {{label, size}, _axis} -> size != Map.fetch!(sizes, label) end)

    plain = Nx.devectorize(tensor, keep_names: false)
    plain = Nx.rename(plain, List.duplicate(nil, Nx.rank(plain)))

    {Nx.squeeze(plain, axes: for({_axis, i} <- alone, do: i)),
     for({{label, _size}, _i} <- kept, do: label)}
  end

  defp sizes(all) do
    Enum.reduce(all, %{}, fn {label, size}, sizes ->
      case sizes do
        %{^label => other} when other == size ->
          sizes

        %{^label => 1} when is_tuple(label) ->
          %{sizes | label => size}

        %{^label => _other} when size == 1 and is_tuple(label) ->
          sizes

        %{^label => other} ->
          misfit("#{label_name(label)}: axes of one label have the sizes #{other} and #{size}")

        %{} ->
          Map.put(sizes, label, size)
      end
    end)
  end

  defp label_name({:..., at}), do: "axis -#{at} of those under ..."
  defp label_name({:vector, name}), do: "the vectors #{inspect(name)}"
  defp label_name(label), do: "label #{label}"

  # `Nx.block/4` calls a default with one argument for each operand.
  defp default(1), do: &Composed.einsum(&1, [&2])
  defp default(2), do: &Composed.einsum(&1, [&2, &3])
  defp default(3), do: &Composed.einsum(&1, [&2, &3, &4])
  defp default(4), do: &Composed.einsum(&1, [&2, &3, &4, &5])
  defp default(5), do: &Composed.einsum(&1, [&2, &3, &4, &5, &6])
  defp default(6), do: &Composed.einsum(&1, [&2, &3, &4, &5, &6, &7])
  defp default(7), do: &Composed.einsum(&1, [&2, &3, &4, &5, &6, &7, &8])
  defp default(8), do: &Composed.einsum(&1, [&2, &3, &4, &5, &6, &7, &8, &9])

  defp wrong(equation, at, message) do
    misfit("equation #{inspect(equation)}, position #{at}: #{message}")
  end

  defp misfit(message), do: throw({:misfit, message})
end
