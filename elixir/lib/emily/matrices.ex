defmodule Emily.Matrices do
  @moduledoc false
  # Tensors whose last two axes are those of matrices: picked by index, multiplied, and checked as the engine
  # checks them. `refuse` is called with a sentence and raises it as an error of the call at hand.

  alias Emily.Placement
  alias Nx.Tensor, as: T

  @doc "A shape as errors name it."
  def dims(%T{shape: shape}), do: dims(shape)
  def dims(shape) when is_tuple(shape), do: shape |> Tuple.to_list() |> dims()
  def dims(sizes) when is_list(sizes), do: "[#{Enum.join(sizes, ",")}]"

  @doc "The type that products of this one are added up in."
  def accumulated_in(type) when type in [{:f, 16}, {:bf, 16}], do: {:f, 32}
  def accumulated_in(type), do: type

  @doc "Indices of all matrices, in the shape of their leading axes."
  def all_indices(%T{} = operand) do
    leading = leading(operand.shape)

    Placement.beside([operand], fn ->
      Nx.iota({Enum.product(leading)}, type: :s32) |> Nx.reshape(List.to_tuple(leading))
    end)
  end

  @doc "Refuses vectorized tensors."
  def check_vectorized!(tensors, refuse) do
    if Enum.any?(tensors, &(&1.vectorized_axes != [])) do
      refuse.("vectorized tensors are not taken; use Nx.devectorize/2 first")
    end
  end

  @doc "The rows and columns of a matrix."
  def own!(%T{shape: shape}, refuse) do
    case own(shape) do
      [_, _] = own -> own
      _ -> refuse.("a matrix needs two axes or more, got #{dims(shape)}")
    end
  end

  @doc "The rows and columns of matrices of this shape."
  def own(shape), do: shape |> Tuple.to_list() |> Enum.take(-2)

  @doc "The leading axes of matrices of this shape."
  def leading(shape), do: shape |> Tuple.to_list() |> Enum.drop(-2)

  @doc "The axes of pairs of indices."
  def pairs!(indices, refuse) do
    for %T{type: {class, _} = type} <- indices, class not in [:s, :u] do
      refuse.("an index must be an integer, got #{Nx.Type.to_string(type)}")
    end

    [left, right] = for %T{shape: shape} <- indices, do: Tuple.to_list(shape)
    broadcast!(left, right, refuse)
  end

  @doc "The axes that both broadcast to."
  def broadcast!(left, right, refuse) do
    for {{a, b}, axis} <- [left, right] |> aligned() |> Enum.zip() |> Enum.with_index() do
      if a != b and a != 1 and b != 1 do
        refuse.(
          "#{dims(left)} and #{dims(right)} do not broadcast: axis #{axis} is #{a} against #{b}; " <>
            "make them equal, or one of them 1"
        )
      end

      if a == 1, do: b, else: a
    end
  end

  @doc "The matrices of all leading axes in one, which indices count."
  def flatten_leading(%T{shape: shape} = tensor) do
    Nx.reshape(tensor, List.to_tuple([Enum.product(leading(shape)) | own(shape)]))
  end

  @doc """
  The rows of matrices times the vectors along an axis of others, of leading axes that are broadcast: Nx's
  batch axes are of one size.
  """
  def product(a, b, axis) do
    leading =
      [leading(a.shape), leading(b.shape)]
      |> aligned()
      |> Enum.zip_with(fn [x, y] -> if x == 1, do: y, else: x end)

    batch = Enum.to_list(0..(length(leading) - 1)//1)
    [a, b] = for t <- [a, b], do: broadcast_leading(t, leading)
    Nx.dot(a, [-1], batch, b, [axis], batch)
  end

  defp broadcast_leading(tensor, []), do: tensor

  defp broadcast_leading(tensor, leading) do
    Nx.broadcast(tensor, List.to_tuple(leading ++ own(tensor.shape)))
  end

  # Axes of as many as the longer of both has.
  defp aligned([left, right]) do
    rank = max(length(left), length(right))
    for axes <- [left, right], do: List.duplicate(1, rank - length(axes)) ++ axes
  end
end
