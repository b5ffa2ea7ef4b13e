defmodule Emily.Examples do
  @moduledoc """
  The examples in a module's documentation, as ExUnit's doctests are, but judged by their numbers:
  libraries differ in the last digit that is printed.
  """

  @typedoc "An expression, and what it is said to give."
  @type example :: {code :: String.t(), expected :: String.t()}

  # Eight eps of f32: docs print what another library rounded.
  @slack 8 * :math.pow(2, -23)

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
  """
  @spec run([example()]) :: {:ok, refused :: [String.t()]} | {:differs, String.t()}
  def run(examples) do
    examples
    |> Enum.reduce_while({[], []}, fn {code, expected}, {bindings, refused} ->
      case judge(code, expected, bindings) do
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
  defp judge(code, "** (" <> _ = expected, bindings) do
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

  defp judge(code, expected, bindings) do
    {value, bindings} = evaluate(code, bindings)

    cond do
      expected == "" -> {:ok, bindings}
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

  # What is printed and cannot be read again.
  defp opaque?(expected), do: String.contains?(expected, "#Nx.")

  @doc "Whether two texts say the same, with floats within a few eps of each other."
  @spec near?(String.t(), String.t()) :: boolean()
  def near?(actual, expected) do
    {actual, expected} = {tokens(actual), tokens(expected)}

    length(actual) == length(expected) and
      Enum.all?(Enum.zip(actual, expected), fn {a, b} -> a == b or near_numbers?(a, b) end)
  end

  defp near_numbers?(a, b) do
    with {a, ""} <- Float.parse(a), {b, ""} <- Float.parse(b) do
      abs(a - b) <= @slack * max(abs(a), abs(b))
    else
      _ -> false
    end
  end

  defp tokens(text) do
    ~r/-?\d+\.\d+(?:e-?\d+)?/
    |> Regex.split(squeeze(text), include_captures: true)
    |> Enum.map(&String.trim/1)
  end

  defp squeeze(text), do: text |> String.split() |> Enum.join(" ")

  defp read(text) do
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
