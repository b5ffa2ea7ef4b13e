defmodule Emily.Examples do
  @moduledoc """
  The examples in a module's documentation, as ExUnit's doctests are, but judged by their numbers:
  libraries differ in the last digit that is printed.
  """

  @typedoc "An expression, and what it is said to give."
  @type example :: {code :: String.t(), expected :: String.t()}

  @typedoc """
  How an example is judged that prints what is open: numbers, relative to the largest of them, within
  as many times what is allowed elsewhere as the operand is ill-conditioned; or a factor of a
  decomposition by the promises that are broken, given the variables so far.
  """
  @type judge :: {:condition, number()} | {:promise, (keyword() -> [String.t()])}

  # So many eps of the printed type, or of f32 where a number is no tensor: docs print what another
  # library rounded.
  @roundings 8
  @eps %{"f64" => 2.0 ** -52, "f16" => 2.0 ** -10, "bf16" => 2.0 ** -7}
  @eps32 2.0 ** -23

  @doc "The examples of each documented function that has some."
  @spec of(module()) :: [{{atom(), arity()}, [example()]}]
  def of(module) do
    {:docs_v1, _, _, _, _, _, docs} = Code.fetch_docs(module)

    for {{:function, name, arity}, _, _, %{"en" => text}, _} <- docs,
        examples = read(text),
        examples != [],
        do: {{name, arity}, examples}
  end

  @doc """
  Evaluates examples in order, with the variables of those before. The types that Emily refused on
  the way, or what differs.

  What is in `judges`, by the example's code, is judged in its own way. A promise finds as `:operand`
  what the last function was called with whose result has a name.
  """
  @spec run([example()], %{String.t() => judge()}) ::
          {:ok, refused :: [String.t()]} | {:differs, String.t()}
  def run(examples, judges \\ %{}) do
    examples
    |> Enum.reduce_while({[], []}, fn {code, expected}, {bindings, refused} ->
      case judge(code, expected, bindings, judges[code]) do
        {:ok, bindings} -> {:cont, {bindings, refused}}
        {:refused, type} -> {:cont, {bindings, [type | refused]}}
        {:differs, actual} -> {:halt, "#{code}\nshould give\n#{expected}\nand gives\n#{actual}"}
      end
    end)
    |> case do
      {_bindings, refused} -> {:ok, refused |> Enum.uniq() |> Enum.sort()}
      text -> {:differs, text}
    end
  end

  # What depends on values is an error where they are read, and Nx's words follow the call's name.
  defp judge(code, "** (" <> _ = expected, bindings, nil) do
    {value, _} = evaluate(code, bindings)
    if is_struct(value, Nx.Tensor), do: Nx.to_binary(value)
    {:differs, inspect(value)}
  rescue
    error ->
      [_, module, words] = Regex.run(~r/^\*\* \((\S+)\)(.*)$/s, expected)
      same? = module == inspect(error.__struct__)

      if same? and String.contains?(squeeze(Exception.message(error)), squeeze(words)),
        do: {:ok, bindings},
        else: {:differs, Exception.format(:error, error)}
  end

  defp judge(code, expected, bindings, {:promise, broken}) do
    {value, bindings} = evaluate(code, bindings)
    broken = broken.(bindings)

    if header(inspect(value)) == header(expected) and broken == [],
      do: {:ok, bindings},
      else: {:differs, "#{inspect(value)}, which breaks #{inspect(broken)}"}
  end

  defp judge(code, expected, bindings, {:condition, condition}) do
    {value, bindings} = evaluate(code, bindings)

    if near?(inspect(value), expected, condition),
      do: {:ok, bindings},
      else: {:differs, inspect(value)}
  end

  defp judge(code, expected, bindings, nil) do
    {value, bindings} = evaluate(code, bindings)

    cond do
      expected == "" -> {:ok, with_operand(code, bindings)}
      near?(inspect(value), expected) -> {:ok, bindings}
      not opaque?(expected) and same?(value, expected, bindings) -> {:ok, bindings}
      true -> {:differs, inspect(value)}
    end
  rescue
    error ->
      case Regex.run(~r/^Emily.Backend does not support (\w+):/, Exception.message(error)) do
        [_, type] -> {:refused, type}
        nil -> {:differs, Exception.format(:error, error, __STACKTRACE__)}
      end
  end

  defp same?(value, expected, bindings) do
    {wanted, _} = evaluate(expected, bindings)
    value == wanted or near?(inspect(value), inspect(wanted))
  end

  defp evaluate(code, bindings) do
    Code.eval_string("import Nx, only: :sigils\n" <> code, bindings)
  end

  # The first argument of the call whose result the code names.
  defp with_operand(code, bindings) do
    case Code.string_to_quoted!(code) do
      {:=, _, [_names, {{:., _, _function}, _, [operand | _]}]} ->
        {operand, _} = operand |> Macro.to_string() |> evaluate(bindings)
        Keyword.put(bindings, :operand, operand)

      _ ->
        bindings
    end
  end

  # The type and the shape of a printed tensor.
  defp header(text), do: text |> squeeze() |> String.split(" [ ") |> hd()

  # What is printed and cannot be read again.
  defp opaque?(expected), do: String.contains?(expected, "#Nx.")

  @doc """
  Whether two texts say the same, with floats within a few eps of each other: each relative to itself,
  or, where a condition is given, that many times as far and relative to the largest.
  """
  @spec near?(String.t(), String.t(), number() | nil) :: boolean()
  def near?(actual, expected, condition \\ nil) do
    slack = @roundings * eps(expected)
    {actual, expected} = {tokens(actual), tokens(expected)}
    largest = expected |> Enum.map(&size/1) |> Enum.max()

    length(actual) == length(expected) and
      Enum.all?(Enum.zip(actual, expected), fn {a, b} ->
        scale = if condition, do: condition * largest, else: max(size(a), size(b))
        a == b or near_numbers?(a, b, slack * scale)
      end)
  end

  defp near_numbers?(a, b, allowed) do
    with {a, ""} <- Float.parse(a), {b, ""} <- Float.parse(b) do
      abs(a - b) <= allowed
    else
      _ -> false
    end
  end

  defp size(token) do
    case Float.parse(token) do
      {number, ""} -> abs(number)
      _ -> 0.0
    end
  end

  defp eps(text) do
    case Regex.run(~r/\b(f64|bf16|f16)\b/, text) do
      [_, type] -> @eps[type]
      nil -> @eps32
    end
  end

  defp tokens(text) do
    ~r/-?\d+\.\d+(?:e-?\d+)?/
    |> Regex.split(squeeze(text), include_captures: true)
    |> Enum.map(&String.trim/1)
  end

  defp squeeze(text), do: text |> String.split() |> Enum.join(" ")

  @doc "The examples in a text, in order."
  @spec read(String.t()) :: [example()]
  def read(text) do
    text
    |> String.split("\n")
    |> Enum.map(&String.trim/1)
    |> Enum.chunk_while(nil, &line/2, &finish/1)
  end

  defp line("iex>" <> code, nil), do: {:cont, {code, [], :code}}
  defp line("iex>" <> code, open), do: {:cont, close(open), {code, [], :code}}

  defp line("...>" <> code, {before, out, :code}),
    do: {:cont, {before <> "\n" <> code, out, :code}}

  defp line("", nil), do: {:cont, nil}
  defp line("", open), do: {:cont, close(open), nil}
  defp line(_text, nil), do: {:cont, nil}
  defp line(text, {code, out, _}), do: {:cont, {code, [text | out], :out}}

  defp finish(nil), do: {:cont, nil}
  defp finish(open), do: {:cont, close(open), nil}

  defp close({code, out, _}), do: {String.trim(code), out |> Enum.reverse() |> Enum.join("\n")}
end
