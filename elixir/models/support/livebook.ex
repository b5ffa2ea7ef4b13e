defmodule Emily.Models.Livebook do
  @moduledoc """
  Runs notebooks from their `.livemd` files, without Livebook.
  """

  @doc "The Elixir cells of a notebook as `{line, code}`, in order."
  @spec cells(Path.t()) :: [{pos_integer(), String.t()}]
  def cells(file) do
    file
    |> File.read!()
    |> String.split("\n")
    |> Enum.with_index(1)
    |> Enum.chunk_while(nil, &line/2, fn nil -> {:cont, nil} end)
  end

  @doc """
  Evaluates a notebook's cells but the first, which installs packages; each sees what those before it bound,
  imported and aliased. What a cell raises is raised, with its line in the file.
  """
  @spec run(Path.t()) :: :ok
  def run(file) do
    [{_line, "# Emily is not on Hex" <> _setup} | cells] = cells(file)
    env = Code.env_for_eval(file: file)

    for {line, code} <- cells, reduce: {[], env} do
      {binding, env} ->
        quoted = Code.string_to_quoted!(code, file: file, line: line)
        {_result, binding, env} = Code.eval_quoted_with_env(quoted, binding, env)
        {binding, env}
    end

    :ok
  end

  # The accumulator is the cell that is open.
  defp line({"```elixir", number}, nil), do: {:cont, {number + 1, []}}
  defp line({_text, _number}, nil), do: {:cont, nil}
  defp line({"```", _number}, {first, lines}), do: {:cont, {first, code(lines)}, nil}
  defp line({text, _number}, {first, lines}), do: {:cont, {first, [text | lines]}}

  defp code(lines), do: lines |> Enum.reverse() |> Enum.join("\n")
end
