defmodule Emily.Conformance.Translate do
  @moduledoc """
  The suite's operations as calls of `Nx`.

  Operations of one kind are called alike, as Nx's function of their name. One that is called in its
  own way has a clause of its own.
  """

  alias Emily.Native.Ops

  @quantization [:quantize, :dequantize, :quantized_matmul, :gather_qmm]

  @kinds Map.new(Ops.all(), &{&1.name, &1.kind})

  @doc "Calls Nx's function for the operation."
  @spec call(atom(), map(), [Nx.Tensor.t()]) :: Nx.Tensor.t() | tuple()
  def call(op, attrs, tensors), do: call(Map.fetch!(@kinds, op), op, attrs, tensors)

  # Nx infers the result's type; the runner sends none that it would not infer.
  defp call(kind, op, _attrs, tensors) when kind in [:unary, :arithmetic, :compare] do
    apply(Nx, op, tensors)
  end

  defp call(kind, op, attrs, [tensor]) when kind in [:reduce, :quantifier] do
    apply(Nx, op, [tensor, options(attrs, [:axes, :keep_axes])])
  end

  defp call(:arg_reduce, op, attrs, [tensor]) do
    options = options(attrs, [:axis, :tie_break, :keep_axis])
    apply(Nx, op, [tensor, options ++ type_option(attrs)])
  end

  defp call(:indexed, op, %{axes: axes}, [tensor, indices, updates]) do
    apply(Nx, op, [tensor, indices, updates, [axes: axes]])
  end

  defp call(:bitcast, _op, %{dtype: dtype}, [tensor]), do: Nx.bitcast(tensor, type(dtype))

  defp call(:all_close, _op, attrs, [left, right]) do
    Nx.all_close(left, right, options(attrs, [:equal_nan, :rtol, :atol]))
  end

  defp call(:top_k, _op, %{k: k}, [tensor]), do: Nx.top_k(tensor, k: k)

  defp call(:window, op, attrs, [tensor]) do
    apply(Nx, op, [
      tensor,
      shape(attrs.lengths),
      [
        strides: attrs.strides,
        padding: Enum.zip(attrs.low, attrs.high),
        window_dilations: attrs.dilations
      ]
    ])
  end

  defp call(:window_scatter, op, attrs, [tensor, source, init]) do
    options = [strides: attrs.strides, padding: Enum.zip(attrs.low, attrs.high)]
    apply(Nx, op, [tensor, source, init, shape(attrs.lengths), options])
  end

  defp call(:cumulative, op, attrs, [tensor]) do
    apply(Nx, op, [tensor, options(attrs, [:axis, :reverse])])
  end

  defp call(:as_type, _op, %{dtype: dtype}, [tensor]), do: Nx.as_type(tensor, type(dtype))

  defp call(:iota, _op, attrs, []) do
    Nx.iota(shape(attrs.shape), [type: type(attrs.dtype)] ++ options(attrs, [:axis]))
  end

  defp call(:eye, _op, attrs, []), do: Nx.eye(shape(attrs.shape), type: type(attrs.dtype))

  defp call(:constant, _op, attrs, []) do
    attrs.value
    |> number()
    |> Nx.tensor(type: type(attrs.dtype))
    |> Nx.broadcast(shape(attrs.shape))
  end

  defp call(:transpose, _op, %{axes: axes}, [tensor]), do: Nx.transpose(tensor, axes: axes)

  defp call(:reshape, _op, attrs, [tensor]), do: Nx.reshape(tensor, shape(attrs.shape))
  defp call(:squeeze, _op, %{axes: axes}, [tensor]), do: Nx.squeeze(tensor, axes: axes)
  defp call(:reverse, _op, %{axes: axes}, [tensor]), do: Nx.reverse(tensor, axes: axes)

  defp call(:pad, _op, attrs, [tensor, value]) do
    Nx.pad(tensor, value, Enum.zip([attrs.low, attrs.high, attrs.interior]))
  end

  defp call(:broadcast, _op, attrs, [tensor]) do
    Nx.broadcast(tensor, shape(attrs.shape), options(attrs, [:axes]))
  end

  defp call(:concatenate, _op, attrs, tensors), do: Nx.concatenate(tensors, axis: attrs.axis)

  defp call(:stack, _op, attrs, tensors), do: Nx.stack(tensors, axis: attrs.axis)

  defp call(:select, _op, _attrs, [pred, on_true, on_false]) do
    Nx.select(pred, on_true, on_false)
  end

  defp call(:clip, _op, _attrs, [tensor, min, max]), do: Nx.clip(tensor, min, max)

  defp call(:slice, _op, attrs, [tensor]) do
    Nx.slice(tensor, attrs.starts, attrs.lengths, strides: attrs.strides)
  end

  defp call(:dynamic_slice, _op, attrs, [tensor | starts]) do
    Nx.slice(tensor, starts, attrs.lengths, strides: attrs.strides)
  end

  defp call(:put_slice, _op, attrs, [tensor, slice]) do
    Nx.put_slice(tensor, attrs.starts, slice)
  end

  defp call(:dynamic_put_slice, _op, _attrs, [tensor, slice | starts]) do
    Nx.put_slice(tensor, starts, slice)
  end

  defp call(:argsort, _op, attrs, [tensor]) do
    options = [stable: true] ++ options(attrs, [:axis, :direction])
    Nx.argsort(tensor, options ++ type_option(attrs))
  end

  defp call(:sort, _op, attrs, [tensor]) do
    Nx.sort(tensor, [stable: true] ++ options(attrs, [:axis, :direction]))
  end

  defp call(:dot, _op, attrs, [left, right]) do
    Nx.dot(
      left,
      attrs.contract_left,
      attrs[:batch_left] || [],
      right,
      attrs.contract_right,
      attrs[:batch_right] || []
    )
  end

  defp call(:fourier, op, attrs, [tensor]) do
    apply(Nx, op, [tensor, options(attrs, [:axis, :length])])
  end

  defp call(:fourier2, op, attrs, [tensor]) do
    apply(Nx, op, [tensor, options(attrs, [:axes, :lengths])])
  end

  # Nx has one padding of pairs.
  defp call(:conv, _op, attrs, [tensor, kernel]) do
    spatial = List.duplicate(0, Nx.rank(tensor) - 2)
    padding = Enum.zip(attrs[:low] || spatial, attrs[:high] || spatial)
    options = Keyword.drop(Map.to_list(attrs), [:low, :high])
    Nx.conv(tensor, kernel, [padding: padding] ++ options)
  end

  defp call(:gather, _op, %{axes: axes}, [tensor, indices]) do
    Nx.gather(tensor, indices, axes: axes)
  end

  defp call(kind, op, %{axis: axis}, [tensor, indices]) when kind in [:take, :take_along_axis] do
    apply(Nx, op, [tensor, indices, [axis: axis]])
  end

  defp call(:qr, _op, attrs, [tensor]), do: Nx.LinAlg.qr(tensor, options(attrs, [:mode]))

  defp call(:svd, _op, attrs, [tensor]) do
    Nx.LinAlg.svd(tensor, full_matrices?: attrs.full_matrices)
  end

  defp call(:triangular_solve, _op, attrs, [a, b]) do
    Nx.LinAlg.triangular_solve(a, b,
      lower: not attrs.upper,
      left_side: not attrs.right,
      transform_a: attrs.transform
    )
  end

  defp call(:fp_dequantize, _op, attrs, [packed, scales | biases]) do
    options = [mode: attrs.format, type: type(attrs.dtype)]
    Emily.Quantization.dequantize(packed, scales, List.first(biases), options)
  end

  defp call(:fp_gather_qmm, _op, attrs, [x, packed, scales, lhs, rhs]) do
    options = [mode: attrs.format, transpose: attrs.transpose]
    Emily.Quantization.gather_qmm(x, packed, scales, nil, lhs, rhs, options)
  end

  defp call(:fp_quantize, _op, attrs, [matrix]) do
    Emily.Quantization.quantize(matrix, mode: attrs.format)
  end

  defp call(:fp_quantized_matmul, _op, attrs, [x, packed, scales | biases]) do
    options = [mode: attrs.format, transpose: attrs.transpose]
    Emily.Quantization.quantized_matmul(x, packed, scales, List.first(biases), options)
  end

  defp call(kind, op, attrs, tensors) when kind in @quantization do
    apply(Emily.Quantization, op, tensors ++ [Map.to_list(attrs)])
  end

  defp call(op, op, _attrs, tensors) when op in [:cholesky, :determinant, :eigh, :lu, :solve] do
    apply(Nx.LinAlg, op, tensors)
  end

  defp call(:gather_mm, op, _attrs, tensors), do: apply(Emily.Fast, op, tensors)

  defp call(:softmax, _op, attrs, [tensor]),
    do: Emily.Fast.softmax(tensor, options(attrs, [:axes]))

  defp call(:logsumexp, _op, attrs, [tensor]) do
    Emily.Fast.logsumexp(tensor, options(attrs, [:axes, :keep_axes]))
  end

  defp call(:norm, op, attrs, tensors) do
    apply(Emily.Fast, op, tensors ++ [options(attrs, [:eps])])
  end

  defp call(:scaled_dot_product_attention, op, attrs, [query, key, value | rest]) do
    names = if attrs[:sinks], do: [:mask, :sinks], else: [:mask]
    rest = Enum.zip(Enum.take(names, -length(rest)), rest)
    apply(Emily.Fast, op, [query, key, value, options(attrs, [:scale, :causal]) ++ rest])
  end

  defp call(:rope, _op, attrs, [tensor, offset | freqs]) do
    freqs = for freqs <- freqs, do: {:freqs, freqs}
    options = options(attrs, [:dims, :traditional, :base, :scale])
    Emily.Fast.rope(tensor, [offset: offset] ++ options ++ freqs)
  end

  # A letter for each label.
  defp call(:einsum, _op, attrs, tensors) do
    letter = fn label -> <<rem(label, 26) + ?a>> end

    {terms, []} =
      Enum.map_reduce(tensors, attrs.labels, fn tensor, labels ->
        {own, rest} = Enum.split(labels, Nx.rank(tensor))
        {Enum.map_join(own, letter), rest}
      end)

    result = Enum.map_join(attrs.result, letter)
    Emily.Fast.einsum(Enum.join(terms, ",") <> "->" <> result, tensors)
  end

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
