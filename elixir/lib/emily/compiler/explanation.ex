defmodule Emily.Compiler.Explanation do
  @moduledoc """
  What `Emily.Compiler.explain/3` found out; inspected, it reads as text.

    * `:steps` - what runs, in order: `{:program, text}`, `{:elixir, what}`, and `{:cond, then, else}` and
      `{:while, condition, body}`, of steps in turn, for what Elixir chooses and repeats because a call of Elixir's is
      within.
    * `:nodes` - the operations, branches and loops of all programs.
    * `:programs` - how many programs there are, and so calls into the engine where nothing repeats.
    * `:splits` - why there is more than one: the calls that only Elixir can make, in order.
    * `:bytes` - of the constants that programs hold.
    * `:walked` - why there is no program and `Nx.Defn.Evaluator` walks the expression at each call; else `nil`.
  """

  alias Emily.Compiler.Plan
  alias Emily.Native

  defstruct steps: [], nodes: 0, programs: 0, splits: [], bytes: 0, walked: nil

  @type step ::
          {:program, String.t()}
          | {:elixir, atom()}
          | {:cond, [step()], [step()]}
          | {:while, [step()], [step()]}

  @type t :: %__MODULE__{
          steps: [step()],
          nodes: non_neg_integer(),
          programs: non_neg_integer(),
          splits: [atom()],
          bytes: non_neg_integer(),
          walked: String.t() | nil
        }

  @doc false
  def of({:walk, why}), do: %__MODULE__{walked: why}

  def of({:ok, plan, _outputs}) do
    {steps, explanation} = steps(plan, %__MODULE__{})
    %{explanation | steps: steps, splits: Enum.reverse(explanation.splits)}
  end

  defp steps(%Plan{steps: steps}, explanation), do: Enum.map_reduce(steps, explanation, &step/2)

  defp step({:program, _number, program, _inputs, _outputs, _notes}, explanation) do
    {text, nodes, bytes} = Native.program_info(program)
    %{nodes: all, programs: programs, bytes: held} = explanation

    {{:program, text},
     %{explanation | nodes: all + nodes, programs: programs + 1, bytes: held + bytes}}
  end

  defp step({:elixir, _number, reason, _args, _fun}, explanation) do
    {{:elixir, reason}, %{explanation | splits: [reason | explanation.splits]}}
  end

  defp step({:cond, _number, _predicate, then, otherwise}, explanation) do
    {then, explanation} = steps(then, explanation)
    {otherwise, explanation} = steps(otherwise, explanation)
    {{:cond, then, otherwise}, explanation}
  end

  defp step({:while, _number, _initial, condition, body}, explanation) do
    {condition, explanation} = steps(condition, explanation)
    {body, explanation} = steps(body, explanation)
    {{:while, condition, body}, explanation}
  end

  @doc """
  A picture of the steps in Mermaid's language, for a page or a notebook that shows it.

  ## Examples

      iex> Emily.Compiler.explain(&Nx.exp/1, [1.0]) |> Emily.Compiler.Explanation.mermaid()
      "flowchart TD\\n  s0[\\"program: 1 node\\"]\\n"

  """
  @spec mermaid(t()) :: String.t()
  def mermaid(%__MODULE__{walked: nil, steps: steps}) do
    {lines, _last, _next} = boxes(steps, {[], nil, 0})
    Enum.join(["flowchart TD" | Enum.reverse(lines)], "\n") <> "\n"
  end

  def mermaid(%__MODULE__{}), do: "flowchart TD\n  s0[\"operation by operation\"]\n"

  defp boxes(steps, acc), do: Enum.reduce(steps, acc, &box/2)

  defp box(step, {lines, last, next}) do
    arrow = if last, do: ["  s#{last} --> s#{next}"], else: []
    acc = {arrow ++ ["  s#{next}[\"#{label(step)}\"]" | lines], next, next + 1}

    case step do
      {_kind, one, other} ->
        {lines, _last, count} = boxes(one, acc)
        {lines, _last, count} = boxes(other, {lines, next, count})
        {lines, next, count}

      _leaf ->
        acc
    end
  end

  defp label({:program, text}) do
    count = text |> String.split("\n") |> Enum.count(&(&1 =~ ~r/ = (?!parameter|constant)/))
    "program: #{count} #{if count == 1, do: "node", else: "nodes"}"
  end

  defp label({:elixir, what}), do: "Elixir: #{what}"
  defp label({:cond, _then, _else}), do: "Elixir: cond"
  defp label({:while, _condition, _body}), do: "Elixir: while"

  @doc false
  def text(%__MODULE__{walked: why}) when is_binary(why) do
    "no program: every operation is a call, since\n#{why}"
  end

  def text(%__MODULE__{} = explanation) do
    %{programs: programs, nodes: nodes, splits: splits, bytes: bytes} = explanation
    splits = if splits == [], do: "", else: ", split by #{Enum.join(splits, ", ")}"

    "#{programs} #{if programs == 1, do: "program", else: "programs"} of #{nodes} nodes" <>
      "#{splits}, #{bytes} bytes of constants\n" <> body(explanation.steps, "")
  end

  defp body(steps, indent), do: Enum.map_join(steps, "", &lines(&1, indent))

  defp lines({:program, text}, indent) do
    inside = text |> String.split("\n", trim: true) |> Enum.map_join("", &"#{indent}  #{&1}\n")
    "#{indent}program\n" <> inside
  end

  defp lines({:elixir, what}, indent), do: "#{indent}Elixir: #{what}\n"

  defp lines({:cond, then, otherwise}, indent) do
    inside = indent <> "  "
    "#{indent}Elixir: cond\n#{body(then, inside)}#{indent}else\n#{body(otherwise, inside)}"
  end

  defp lines({:while, condition, body}, indent) do
    inside = indent <> "  "
    "#{indent}Elixir: while\n#{body(condition, inside)}#{indent}do\n#{body(body, inside)}"
  end

  defimpl Inspect do
    def inspect(explanation, _opts) do
      "#Emily.Compiler.Explanation<\n#{Emily.Compiler.Explanation.text(explanation)}>"
    end
  end
end
