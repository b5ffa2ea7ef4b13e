defmodule Emily.Models.Bound do
  @moduledoc """
  How far a model's output may be from what is right.

  How far rounding moves an output depends on the model. Another computation of it in the same type, `rounded`, held
  against what is `right`, in f64, has measured that: the `spread/2`. conformance/src/compare/model.rs says the
  same in Rust, and derives how many spreads are allowed:

    * `:reordered` - 2, where sums add up the same terms in other orders, or an element is rounded once more on its way
      into a sum of many: the largest of some hundred errors of one distribution varies by less than a third of itself;
    * `:recomposed` - 4 in f32 and 6 in what is narrower, where the other one is Transformers', whose norms, softmax and
      activations round once or twice, and Bumblebee's round at each of up to nine operations.
  """

  import Emily.Rewriting, only: [distance: 2, largest: 1, unit: 1]

  @type kind :: :reordered | :recomposed

  @doc "The largest error relative to the largest element of what is right, and one rounding of that element."
  @spec spread(Nx.Tensor.t(), Nx.Tensor.t()) :: float()
  def spread(right, rounded), do: distance(right, rounded) / largest(right) + unit(rounded.type)

  @doc "How many spreads are allowed."
  @spec allowed(kind(), Nx.Type.t()) :: pos_integer()
  def allowed(:reordered, _type), do: 2
  def allowed(:recomposed, {:f, 32}), do: 4
  def allowed(:recomposed, {_kind, 16}), do: 6

  @doc "The same as a distance from what is right."
  @spec distance_allowed(kind(), Nx.Tensor.t(), Nx.Tensor.t()) :: float()
  def distance_allowed(kind, right, rounded) do
    allowed(kind, rounded.type) * spread(right, rounded) * largest(right)
  end

  @doc "Whether a result is as near to what is right as `rounded` tells; types and shapes have to be its."
  @spec within?(Nx.Tensor.t(), kind(), Nx.Tensor.t(), Nx.Tensor.t()) :: boolean()
  def within?(result, kind, right, rounded) do
    {result.type, result.shape} == {rounded.type, right.shape} and
      distance(result, right) <= distance_allowed(kind, right, rounded)
  end
end
