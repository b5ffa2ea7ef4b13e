defmodule Emily.Fast.Rewrite.Norm do
  @moduledoc false
  # What layer_norm and rms_norm have in common: `part / sqrt(moment + eps) * weights`, in any order.

  import Emily.Fast.Rewrite.Expression

  @doc """
  What a product is the norm of, its ε and its weight, in a list. `moment` tells of a node what it is the moment of;
  `part` whether a node is, of that, what is divided. Of two weights it is none: their product may be beyond
  the type where the norm's by one and then the other is not.
  """
  def parts(product, moment, part) do
    with {:ok, x, eps} <- root(factors(product), moment),
         {factors, divisors} = factors(product, x),
         {:ok, factors} <- without_root(factors, divisors, moment),
         {[_part], weights} when length(weights) <= 1 <- Enum.split_with(factors, &part.(&1, x)) do
      {:ok, x, eps, weights}
    else
      _ -> :error
    end
  end

  # Its factors but the root, which stands once, on one side, and is all that is divided by.
  defp without_root(factors, divisors, moment) do
    above? = &match?({:ok, _, _}, over_root(&1, moment))
    below? = &match?({:ok, _, _}, under_root(&1, moment))

    case {Enum.split_with(factors, above?), Enum.split_with(divisors, below?)} do
      {{[_root], others}, {[], []}} -> {:ok, others}
      {{[], others}, {[_root], []}} -> {:ok, others}
      _ -> :error
    end
  end

  defp root({factors, divisors}, moment) do
    Enum.find_value(factors, &found(over_root(&1, moment))) ||
      Enum.find_value(divisors, :error, &found(under_root(&1, moment)))
  end

  defp found(:error), do: nil
  defp found(found), do: found

  defp over_root(tensor, moment) do
    case op(tensor) do
      {:rsqrt, [x]} -> with_eps(x, moment)
      {:pow, [x, exponent]} -> if number(exponent) == -0.5, do: with_eps(x, moment), else: :error
      _ -> :error
    end
  end

  defp under_root(tensor, moment) do
    case op(tensor) do
      {:sqrt, [x]} -> with_eps(x, moment)
      {:pow, [x, exponent]} -> if number(exponent) == 0.5, do: with_eps(x, moment), else: :error
      _ -> :error
    end
  end

  # Nx leaves out an ε of 0.
  defp with_eps(tensor, moment) do
    case op(tensor) do
      {:add, args} -> either_way(args, &with_eps(&1, &2, moment))
      _ -> with {:ok, x} <- moment.(tensor), do: {:ok, x, 0.0}
    end
  end

  defp with_eps(eps, tensor, moment) do
    eps = number(eps)
    if eps && eps >= 0, do: with({:ok, x} <- moment.(tensor), do: {:ok, x, eps / 1}), else: :error
  end

  @doc "Whether a node is the same for all rows of x: a vector along the last axis, or one number."
  def vector?(tensor, x) do
    {rows, [last]} =
      tensor.shape |> Tuple.to_list() |> Enum.split(max(Nx.rank(tensor) - 1, 0)) |> padded()

    Enum.all?(rows, &(&1 == 1)) and last in [1, Nx.axis_size(x, -1)] and real?(tensor)
  end

  defp padded({rows, []}), do: {rows, [1]}
  defp padded(split), do: split

  defp real?(tensor), do: not Nx.Type.complex?(tensor.type)

  @doc "The vector, or the number in the place of none, with an axis of this length."
  def vector([], length, number, type), do: Nx.broadcast(Nx.tensor(number, type: type), {length})

  def vector([tensor], length, _number, _type) do
    if Nx.size(tensor) == length,
      do: Nx.reshape(tensor, {length}, names: [nil]),
      else: tensor |> Nx.reshape({1}, names: [nil]) |> Nx.broadcast({length})
  end
end
