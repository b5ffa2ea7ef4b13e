defmodule Emily.Fast.Picks do
  @moduledoc false
  # Indices that pick matrices, checked as the engine checks them.

  alias Nx.Tensor, as: T

  # Indices of all matrices, in the shape of their leading axes.
  def all(%T{} = operand) do
    leading = operand |> Nx.shape() |> Tuple.to_list() |> Enum.drop(-2)
    Nx.iota({Enum.product(leading)}, type: :s32) |> Nx.reshape(List.to_tuple(leading))
  end

  # Refuses vectorized tensors.
  def plain!(tensors, refuse) do
    if Enum.any?(tensors, &(&1.vectorized_axes != [])) do
      refuse.("vectorized tensors are not taken; use Nx.devectorize/2 first")
    end
  end

  # The rows and columns of a matrix.
  def matrix!(%T{shape: shape}, refuse) do
    case shape |> Tuple.to_list() |> Enum.split(-2) do
      {_leading, [_, _] = own} -> own
      _ -> refuse.("a matrix needs two axes or more, got #{dims(Tuple.to_list(shape))}")
    end
  end

  # The axes of pairs of indices.
  def leading!(indices, refuse) do
    for %T{type: {class, _} = type} <- indices, class not in [:s, :u] do
      refuse.("an index must be an integer, got #{Nx.Type.to_string(type)}")
    end

    [left, right] = for %T{shape: shape} <- indices, do: Tuple.to_list(shape)
    broadcast!(left, right, refuse)
  end

  # The axes that both broadcast to.
  def broadcast!(left, right, refuse) do
    rank = max(length(left), length(right))
    pad = &(List.duplicate(1, rank - length(&1)) ++ &1)

    for {{a, b}, axis} <- Enum.with_index(Enum.zip(pad.(left), pad.(right))) do
      if a != b and a != 1 and b != 1 do
        refuse.(
          "#{dims(left)} and #{dims(right)} do not broadcast: axis #{axis} is #{a} against #{b}; " <>
            "make them equal, or one of them 1"
        )
      end

      if a == 1, do: b, else: a
    end
  end

  defp dims(dims), do: "[#{Enum.join(dims, ",")}]"
end
