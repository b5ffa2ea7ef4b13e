defmodule Emily.Conformance.Translate do
  @moduledoc """
  The suite's operations as calls of `Nx`.

  An operation with attributes has a clause. One without is the function of its own name.
  """

  @binary [:add, :divide, :remainder, :pow, :equal]

  @doc "Calls Nx's function for the operation."
  @spec call(atom(), map(), [Nx.Tensor.t()]) :: Nx.Tensor.t() | tuple()
  # Nx infers the result's type; the runner sends none that it would not infer.
  def call(op, _attrs, [left, right]) when op in @binary, do: apply(Nx, op, [left, right])

  def call(:as_type, %{dtype: dtype}, [tensor]), do: Nx.as_type(tensor, type(dtype))

  def call(:iota, attrs, []) do
    Nx.iota(shape(attrs.shape), [type: type(attrs.dtype)] ++ options(attrs, [:axis]))
  end

  def call(:eye, attrs, []), do: Nx.eye(shape(attrs.shape), type: type(attrs.dtype))

  def call(:constant, attrs, []) do
    attrs.value
    |> number()
    |> Nx.tensor(type: type(attrs.dtype))
    |> Nx.broadcast(shape(attrs.shape))
  end

  def call(:transpose, %{axes: axes}, [tensor]), do: Nx.transpose(tensor, axes: axes)

  def call(:broadcast, attrs, [tensor]) do
    Nx.broadcast(tensor, shape(attrs.shape), options(attrs, [:axes]))
  end

  def call(:concatenate, attrs, tensors), do: Nx.concatenate(tensors, axis: attrs.axis)
  def call(:select, _attrs, [pred, on_true, on_false]), do: Nx.select(pred, on_true, on_false)

  def call(:slice, attrs, [tensor]) do
    Nx.slice(tensor, attrs.starts, attrs.lengths, strides: attrs.strides)
  end

  def call(:dynamic_slice, attrs, [tensor | starts]) do
    Nx.slice(tensor, starts, attrs.lengths, strides: attrs.strides)
  end

  def call(:sum, attrs, [tensor]) do
    Nx.sum(tensor, options(attrs, [:axes, :keep_axes]))
  end

  def call(:argmax, attrs, [tensor]) do
    Nx.argmax(tensor, options(attrs, [:axis, :tie_break, :keep_axis]) ++ type_option(attrs))
  end

  def call(:argsort, attrs, [tensor]) do
    Nx.argsort(
      tensor,
      [stable: true] ++ options(attrs, [:axis, :direction]) ++ type_option(attrs)
    )
  end

  def call(:dot, attrs, [left, right]) do
    Nx.dot(
      left,
      attrs.contract_left,
      attrs[:batch_left] || [],
      right,
      attrs.contract_right,
      attrs[:batch_right] || []
    )
  end

  def call(:gather, %{axes: axes}, [tensor, indices]), do: Nx.gather(tensor, indices, axes: axes)
  def call(:qr, attrs, [tensor]), do: Nx.LinAlg.qr(tensor, options(attrs, [:mode]))

  def call(op, attrs, tensors) when attrs == %{}, do: apply(Nx, op, tensors)

  defp options(attrs, names) do
    for name <- names, value = Map.get(attrs, name), do: {name, value}
  end

  defp type_option(%{dtype: dtype}), do: [type: type(dtype)]
  defp type_option(%{}), do: []

  defp shape(dims), do: List.to_tuple(dims)

  defp number([re, im]), do: Complex.new(re, im)
  defp number(number), do: number

  @doc "Nx's type for a dtype of `Emily.Native`."
  @spec type(Emily.Native.dtype()) :: Nx.Type.t()
  def type(dtype) do
    case Atom.to_string(dtype) do
      "bf16" -> {:bf, 16}
      <<class::binary-size(1), bits::binary>> -> {String.to_atom(class), String.to_integer(bits)}
    end
  end

  @doc "The dtype of `Emily.Native` for one of Nx's types."
  @spec dtype(Nx.Type.t()) :: atom()
  def dtype({class, bits}), do: String.to_atom("#{class}#{bits}")
end
