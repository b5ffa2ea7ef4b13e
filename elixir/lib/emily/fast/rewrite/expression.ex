defmodule Emily.Fast.Rewrite.Expression do
  @moduledoc false
  # What patterns ask of a traced expression.
  #
  # What was only said about a node, or done to it and lost nothing, is looked through, by each of these as far as
  # its caller may:
  #
  # |                   | metadata | casts to f32 | casts among f16, bf16, f32 | reshapes |
  # |-------------------|----------|--------------|----------------------------|----------|
  # | bare              | yes      |              |                            |          |
  # | operand           | yes      | yes          |                            |          |
  # | unreshaped_operand| yes      | yes          |                            | yes      |
  # | unrounded, op     | yes      | yes          | yes                        |          |
  # | unreshaped        | yes      | yes          | yes                        | yes      |

  alias Nx.Defn.Expr
  alias Nx.Tensor, as: T

  @views [:reshape, :squeeze, :transpose, :broadcast, :as_type, :metadata]
  @short [{:f, 16}, {:bf, 16}, {:f, 32}]

  # No smaller number has an inverse that is larger.
  @largest 2.0 ** 1022

  # Products of more factors than any pattern has are not looked at.
  @deepest 6

  @doc "What names a node: two of one id are the same."
  def id(%T{data: %Expr{id: id}}), do: id

  @doc "Whether two are one node."
  def same?(left, right), do: id(left) == id(right)

  @doc "Whether a node has its argument's elements only."
  def view?(%T{data: %Expr{op: op}}), do: op in @views

  @doc "Whether a node is of floats that an operation takes."
  def float?(%T{type: type}), do: type in [{:f, 64} | @short]

  @doc "A node without what is only said about it."
  def bare(%T{data: %Expr{op: :metadata, args: [%T{} = inner, _]}}), do: bare(inner)
  def bare(tensor), do: tensor

  @doc "A node without the casts that lose nothing: an operation takes the narrower type and computes in `f32`."
  def operand(tensor) do
    case bare(tensor) do
      %T{type: {:f, 32}, data: %Expr{op: :as_type, args: [%T{type: type} = inner]}}
      when type in @short ->
        operand(inner)

      tensor ->
        tensor
    end
  end

  @doc """
  A node without casts from one floating type to another, for what an operation rounds but once; `nil` where that
  comes to the node of the id `whole`.
  """
  def unrounded(tensor, whole \\ nil) do
    case bare(tensor) do
      %T{data: %Expr{id: ^whole}} ->
        nil

      %T{type: type, data: %Expr{op: :as_type, args: [%T{type: from} = inner]}}
      when type in @short and from in @short ->
        unrounded(inner, whole)

      tensor ->
        tensor
    end
  end

  @doc "The operation of a node and its arguments, casts aside."
  def op(tensor) do
    %T{data: %Expr{op: op, args: args}} = unrounded(tensor)
    {op, args}
  end

  @doc "What all of a node's elements are, or nil: a number, or an atom as `:neg_infinity`."
  def constant(tensor) do
    case bare(tensor) do
      %T{data: %Expr{op: :constant, args: [number]}} -> number
      %T{data: %Expr{op: op, args: [inner | _]}} when op in @views -> constant(inner)
      _ -> nil
    end
  end

  @doc "The real number that all of a node's elements are, or nil; also of an integer that is no float."
  def number(tensor) do
    number = constant(tensor)
    if is_number(number) and abs(number) <= @largest, do: number
  end

  @doc "One over a number, or nil where that is none."
  def inverse(number), do: if(number != nil and abs(number) >= 1 / @largest, do: 1 / number)

  @doc """
  The factors of a product, and its divisors; without numbers that are 1. The node `whole` is one factor,
  whatever it is made of.
  """
  def factors(tensor, whole \\ nil) do
    {factors, divisors} = factors(tensor, whole && id(whole), @deepest)
    {Enum.reject(factors, &(constant(&1) == 1)), Enum.reject(divisors, &(constant(&1) == 1))}
  end

  defp factors(tensor, whole, depth) do
    case {unrounded(tensor, whole), depth} do
      {%T{data: %Expr{op: op, args: [left, right]}}, depth}
      when op in [:multiply, :divide] and depth > 0 ->
        {factors, divisors} = factors(left, whole, depth - 1)

        case {op, factors(right, whole, depth - 1)} do
          {:multiply, {more, others}} -> {factors ++ more, divisors ++ others}
          {:divide, {more, others}} -> {factors ++ others, divisors ++ more}
        end

      _ ->
        {[tensor], []}
    end
  end

  @doc "Of the sum or the maximum along axes, which keeps them: `{:ok, tensor, axes}`."
  def reduced(tensor, op) do
    with {^op, [x, opts]} <- op(unreshaped(tensor)),
         axes = opts[:axes] || Nx.axes(x),
         true <- kept?(tensor, x, axes) do
      {:ok, operand(x), Enum.sort(axes)}
    else
      _ -> :error
    end
  end

  @doc "Of the mean of rows along the last axis: `{:ok, tensor}`."
  def mean(tensor) do
    with {:ok, sum, count} <- share(unreshaped(tensor)),
         {:sum, [x, opts]} <- op(unreshaped(sum)),
         last = Nx.rank(x) - 1,
         true <- last >= 0 and (opts[:axes] || Nx.axes(x)) == [last],
         true <- kept?(tensor, x, [last]),
         true <- float?(x) and count == Nx.axis_size(x, last) do
      {:ok, operand(x)}
    else
      _ -> :error
    end
  end

  # A sum over a number, or by one over it.
  defp share(tensor) do
    case op(tensor) do
      {:divide, [sum, count]} ->
        count = number(count)
        if count, do: {:ok, sum, count}, else: :error

      {:multiply, [share, sum]} ->
        count = round(inverse(number(share)) || 0)
        if count > 0 and number(share) == 1 / count, do: {:ok, sum, count}, else: :error

      _ ->
        :error
    end
  end

  # Broadcast against x, each result stands for the elements that it is of.
  defp kept?(%T{shape: shape}, %T{shape: whole}, axes) do
    kept = Enum.reduce(axes, whole, &put_elem(&2, &1, 1))
    shape == kept or (shape == {} and length(axes) == tuple_size(whole))
  end

  @doc "A node below the reshapes that it is, and what lies over these; one that is none stays as it is."
  def unreshaped(tensor) do
    case op(tensor) do
      {:reshape, [inner]} -> unreshaped(inner)
      _ -> tensor
    end
  end

  @doc "The operand below the reshapes that it is."
  def unreshaped_operand(tensor) do
    case operand(tensor) do
      %T{data: %Expr{op: :reshape, args: [inner]}} -> unreshaped_operand(inner)
      tensor -> tensor
    end
  end

  @doc "Of what a node is less something of its own, of which `own` gives what that is of: `{:ok, tensor}`."
  def less(tensor, own) do
    with {:subtract, [x, of_its_own]} <- op(tensor),
         {:ok, y} <- own.(of_its_own),
         x = operand(x),
         true <- same?(x, y) do
      {:ok, x}
    else
      _ -> :error
    end
  end

  @doc "Of a square: `{:ok, tensor}`."
  def square(tensor) do
    case op(tensor) do
      {:pow, [x, exponent]} -> if number(exponent) == 2, do: {:ok, x}, else: :error
      {:multiply, [x, y]} -> if same?(operand(x), operand(y)), do: {:ok, x}, else: :error
      _ -> :error
    end
  end

  @doc "The two ways round that a sum or a product can be read."
  def either_way([left, right], fun) do
    with :error <- fun.(left, right), do: fun.(right, left)
  end

  @doc """
  The operands, the first of them cast if it takes that for their type together to be this one; or `:error`.
  Nothing is cast to a narrower type.
  """
  def typed([first | rest] = operands, type) do
    cast = Nx.Type.merge(first.type, type)

    cond do
      Emily.Fast.Call.type(operands) == type ->
        {:ok, & &1}

      cast == type and Emily.Fast.Call.type([%{first | type: type} | rest]) == type ->
        {:ok, fn [first | rest] -> [Nx.as_type(first, type) | rest] end}

      true ->
        :error
    end
  end
end
