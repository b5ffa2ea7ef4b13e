defmodule Emily.Conformance.Slices.Mistake do
  @moduledoc """
  Mistakes in a model that the suite has to notice: it judges itself by them.

    * `:heads` - two attention heads of the first block have each other's queries;
    * `:epsilon` - norms are without their ε;
    * `:positions` - position ids are one too high.
  """

  # Of every transformer in fixtures/slices.
  @heads 4

  @doc "The options that load a model with the mistake."
  @spec options(atom()) :: keyword()
  def options(:epsilon), do: [spec_overrides: [layer_norm_epsilon: 0.0]]
  def options(_mistake), do: []

  @doc "The loaded model with the mistake."
  @spec make(map(), atom()) :: map()
  def make(model, :heads) do
    layer =
      model.params.data
      |> Map.keys()
      |> Enum.sort()
      |> Enum.find(&String.ends_with?(&1, "blocks.0.self_attention.query"))

    put_in(model, [:params, Access.key!(:data), layer, "kernel"], swapped(model, layer))
  end

  def make(model, :positions) do
    ids = model.inputs["input_ids"]
    positions = ids |> Nx.shape() |> Nx.iota(axis: -1) |> Nx.add(first_position(model.spec))
    put_in(model, [:inputs, "position_ids"], Nx.add(positions, 1))
  end

  def make(model, mistake) when mistake in [nil, :epsilon], do: model

  defp swapped(model, layer) do
    kernel = model.params.data[layer]["kernel"]
    {from, to} = Nx.shape(kernel)
    order = Nx.tensor([1, 0 | Enum.to_list(2..(@heads - 1))])

    kernel
    |> Nx.reshape({from, @heads, div(to, @heads)})
    |> Nx.take(order, axis: 1)
    |> Nx.reshape({from, to})
  end

  # RoBERTa's positions begin behind its padding.
  defp first_position(%Bumblebee.Text.Roberta{pad_token_id: id}), do: id + 1
  defp first_position(_spec), do: 0
end
