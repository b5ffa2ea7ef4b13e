defmodule Emily.Fast.Norms do
  @moduledoc false
  # What the norms share: operands that fit, and vectors of tensors.

  import Emily.Fast.Axes, only: [unvectorized: 2]
  import Emily.Fast.Call
  import Emily.Matrices, only: [dims: 1]

  alias Nx.Tensor, as: T

  @doc "Calls `fun` with the eps, the operands, and what gives the result's template for a tensor."
  def norm(name, operands, opts, fun) do
    %{eps: eps} = opts |> Keyword.validate!(eps: 1.0e-5) |> Map.new()
    [tensor | vectors] = operands = Enum.map(operands, &Nx.to_tensor/1)
    call = call(name, operands)
    Enum.each(operands, &real!(call, name, &1))

    if not (is_number(eps) and eps >= 0) do
      raise ArgumentError, "#{call}: eps must be a real number, 0 or more, got: #{inspect(eps)}"
    end

    if Nx.rank(tensor) == 0 do
      raise ArgumentError, "#{call}: a norm goes along the last axis, and a scalar has none"
    end

    length = Nx.axis_size(tensor, -1)

    for {vector, role} <- Enum.zip(vectors, ["weight", "bias"]), vector.shape != {length} do
      raise ArgumentError,
            "#{call}: the #{role} is #{dims(vector)}, for rows of #{length} elements; " <>
              "it must be [#{length}]"
    end

    type = type(operands)
    out = &Nx.template(&1.shape, type, names: &1.names)

    if Enum.any?(vectors, &(&1.vectorized_axes != [])) do
      apart(operands, type, &fun.(eps, &1, out))
    else
      unvectorized(tensor, fn tensor, _vectors -> fun.(eps, [tensor | vectors], out) end)
    end
  end

  # A weight per vector is multiplied after the rest.
  defp apart([tensor | vectors], type, fun) do
    neutral =
      Enum.map(Enum.zip([1, 0], vectors), fn {x, %T{shape: shape}} -> Nx.broadcast(x, shape) end)

    plain = unvectorized(tensor, fn tensor, _vectors -> fun.([tensor | neutral]) end)

    [&Nx.multiply/2, &Nx.add/2]
    |> Enum.zip(vectors)
    |> Enum.reduce(plain, fn {op, vector}, result -> op.(result, vector) end)
    |> Nx.as_type(type)
  end
end
