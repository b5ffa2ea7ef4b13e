defmodule Emily.Fast.Call do
  @moduledoc false
  # What a call of `Emily.Fast` says of itself and of its operands.

  import Emily.Matrices, only: [dims: 1]

  @doc "The call as errors name it."
  def call(name, tensors) do
    operands = Enum.map_join(tensors, ", ", &"#{Nx.Type.to_string(&1.type)}#{dims(&1)}")
    "Emily.Fast.#{name}(#{operands})"
  end

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
end
