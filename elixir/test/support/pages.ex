defmodule Emily.Pages do
  @moduledoc """
  The Elixir in pages of Markdown: guides, README, notebooks.
  """

  alias Emily.Examples

  @typedoc "A block of Elixir and the line that it begins in."
  @type block :: {pos_integer(), String.t()}

  @doc "The Elixir blocks of a page, in order."
  @spec blocks(Path.t()) :: [block()]
  def blocks(file) do
    file
    |> File.read!()
    |> String.split("\n")
    |> Enum.with_index(1)
    |> Enum.chunk_while(nil, &line/2, fn nil -> {:cont, nil} end)
  end

  @doc """
  Runs blocks, each of which sees what those before it bound, imported and aliased. What one raises is raised,
  with its line in the file.

  A block of `iex>` lines is an example, which gives what it says. One of `config` calls is for a
  configuration file: its settings have to be some that Nx or Emily reads. One that defines functions is part
  of a module.
  """
  @spec run([block()], Path.t(), keyword()) :: :ok
  def run(blocks, file, binding \\ []) do
    for {line, code} <- blocks, reduce: {binding, Code.env_for_eval(file: file)} do
      {binding, env} -> run_block(code, line, file, binding, env)
    end

    :ok
  end

  defp run_block("iex>" <> _ = code, line, file, binding, env) do
    # What is printed on the CPU names the device that the test runs on.
    device = Emily.Native.device(Emily.MlxStream.Default.worker())
    code = String.replace(code, "Emily.Backend(cpu)", "Emily.Backend(#{device})")

    case Examples.run(Examples.read(code)) do
      {:ok, []} -> {binding, env}
      other -> raise "#{Path.relative_to_cwd(file)}:#{line}: #{inspect(other)}"
    end
  end

  defp run_block(code, line, file, binding, env) do
    quoted = Code.string_to_quoted!(code, file: file, line: line)

    case first(quoted) do
      :config ->
        file |> Config.Reader.eval!("import Config\n" <> code) |> Enum.each(&check_settings!/1)
        {binding, env}

      :def ->
        {_result, _binding} = Code.eval_quoted(quote(do: defmodule(Part, do: unquote(quoted))))
        {binding, env}

      _other ->
        {_result, binding, env} = Code.eval_quoted_with_env(quoted, binding, env)
        {binding, env}
    end
  end

  defp first({:__block__, _meta, [first | _rest]}), do: first(first)
  defp first({name, _meta, _args}), do: name
  defp first(_literal), do: nil

  @nx [:default_backend, :default_defn_options]
  @emily [
    :add_backend_on_inspect,
    :collect_after,
    :debug_bounds_check,
    :debug_detect_nan_inf,
    :dispatch,
    :fallback,
    :variant
  ]

  defp check_settings!({app, settings}) do
    known = Map.fetch!(%{nx: @nx, emily: @emily}, app)
    [] = Keyword.keys(settings) -- known
  end

  # The accumulator is the block that is open.
  defp line({"```elixir", number}, nil), do: {:cont, {number + 1, []}}
  defp line({_text, _number}, nil), do: {:cont, nil}
  defp line({"```", _number}, {first, lines}), do: {:cont, {first, code(lines)}, nil}
  defp line({text, _number}, {first, lines}), do: {:cont, {first, [text | lines]}}

  defp code(lines), do: lines |> Enum.reverse() |> Enum.join("\n")
end
