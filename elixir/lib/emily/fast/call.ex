defmodule Emily.Fast.Call do
  @moduledoc false
  # What a call of `Emily.Fast` says of itself and of its operands.

  alias Nx.Tensor, as: T

  @doc "The call as errors name it."
  def call(name, tensors) do
    operands = Enum.map_join(tensors, ", ", &"#{Nx.Type.to_string(&1.type)}#{dims(&1)}")
    "Emily.Fast.#{name}(#{operands})"
  end

  @doc "A shape as errors name it."
  def dims(%T{shape: shape}), do: dims(shape)
  def dims(shape), do: "[#{shape |> Tuple.to_list() |> Enum.join(",")}]"

  @doc "Raises for complex numbers."
  def real!(call, name, tensor) do
    if Nx.Type.complex?(tensor.type) do
      raise ArgumentError,
            "#{call}: #{name} does not take complex numbers; take a real part first, as Nx.real/1 does"
    end
  end

  @doc "The floating type of the operands together."
  def type(tensors) do
    tensors |> Enum.map(& &1.type) |> Enum.reduce(&Nx.Type.merge/2) |> Nx.Type.to_floating()
  end

  @doc "The type that this one is computed in."
  def wide({:f, 64}), do: {:f, 64}
  def wide(_type), do: {:f, 32}

  @doc "The type that products of this one are added up in."
  def summed_in(type) when type in [{:f, 16}, {:bf, 16}], do: {:f, 32}
  def summed_in(type), do: type
end
