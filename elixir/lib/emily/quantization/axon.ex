defmodule Emily.Quantization.Axon do
  @moduledoc """
  Axon models, and so Bumblebee's, that run with quantised parameters.

      {:ok, info} = Bumblebee.load_model({:hf, "sentence-transformers/all-MiniLM-L6-v2"})
      {model, params} = Emily.Quantization.Axon.quantize(info.model, info.params, bits: 8)
      info = %{info | model: model, params: params}

  From there on `info` is what it was to `Axon.predict/4`, `Nx.Serving` and Bumblebee's tasks, and takes less memory.
  It is for inference: no gradient is taken of codes, and Axon can neither train nor freeze a state that holds them.

  The layers that are quantised, and the axis that groups lie along:

  | layer | its kernel | axis |
  |---|---|---|
  | `Axon.dense/3` | `{in, out}` | -2, what the product sums over |
  | Bumblebee's `dense_transposed`, as language modeling heads are | `{out, in}` | -1, likewise |
  | `Axon.embedding/4` | `{vocabulary, size}` | -1, a row |

  Their biases, and all else, stay as they are: convolutions, norms, layers inside of `Axon.block/2`. A head that is tied
  to an embedding is quantised as that is, to the same codes.

  It needs `{:axon, "~> 0.8"}` among your dependencies; Emily itself does not.
  """

  @compile {:no_warn_undefined, Axon}

  alias Emily.Quantization
  alias Emily.Quantization.{Matrix, Params}

  @axes %{dense: -2, dense_transposed: -1, embedding: -1}

  @doc """
  The model that runs with quantised parameters, and these: kernels of its layers as
  `Emily.Quantization.Matrix`.

  ## Options

    * `:filter` - a function of a path, `[layer, "kernel"]`, and a tensor that tells whether to quantise it. It
      is asked of the kernels that can be, whose axis is of whole groups, all of which are by default.

  and those of `Emily.Quantization.quantize/2`. A layer says the axis of its kernel: `:axis` is refused.

  ## Examples

      iex> model = Axon.input("x", shape: {nil, 64}) |> Axon.dense(8, name: "dense")
      iex> params = Axon.ModelState.new(%{"dense" => %{"kernel" => Nx.broadcast(0.5, {64, 8}), "bias" => Nx.iota({8})}})
      iex> {model, params} = Emily.Quantization.Axon.quantize(model, params, mode: :mxfp4)
      iex> params.data["dense"]["kernel"]
      #Emily.Quantization.Matrix<f32[64][8], axis: -2, mode: :mxfp4>
      iex> model |> Axon.predict(params, Nx.broadcast(1.0, {1, 64})) |> Nx.to_flat_list()
      [32.0, 33.0, 34.0, 35.0, 36.0, 37.0, 38.0, 39.0]

  """
  @spec quantize(struct(), map(), keyword()) :: {struct(), map()}
  def quantize(model, params, opts \\ []) do
    model!(model, "quantize")
    {filter, opts} = Keyword.pop(opts, :filter, fn _path, _tensor -> true end)
    Params.filter!(filter, "Emily.Quantization.Axon.quantize")

    if Keyword.has_key?(opts, :axis) do
      raise ArgumentError,
            "Emily.Quantization.Axon.quantize: a kernel's layer says its axis, so that :axis is no option"
    end

    axes = kernels(model)

    chosen = fn path, tensor -> is_map_key(axes, path) and filter.(path, tensor) end
    axis = fn path, _tensor -> Map.get(axes, path, -1) end
    params = Quantization.quantize_params(params, [filter: chosen, axis: axis] ++ opts)
    {rewrite(model), params}
  end

  @doc """
  The model that runs with parameters some of which are quantised: those that `Emily.Quantization.load!/1` gives.

  With parameters none of which are, it is the model that it was.

  ## Examples

      iex> model = Axon.input("x") |> Axon.embedding(4, 32, name: "table")
      iex> kernel = Emily.Quantization.Matrix.quantize(Nx.broadcast(0.5, {4, 32}), axis: -1, mode: :mxfp4)
      iex> params = Axon.ModelState.new(%{"table" => %{"kernel" => kernel}})
      iex> rows = Axon.predict(Emily.Quantization.Axon.rewrite(model), params, Nx.tensor([3, 1]))
      iex> {Nx.shape(rows), Nx.to_number(rows[0][0])}
      {{2, 32}, 0.5}

  """
  @spec rewrite(struct()) :: struct()
  def rewrite(model) do
    model!(model, "rewrite")
    Axon.map_nodes(model, &quantised/1)
  end

  defp model!(%{__struct__: Axon}, _name), do: :ok

  defp model!(other, name) do
    raise ArgumentError,
          "Emily.Quantization.Axon.#{name}: the first argument is a model of Axon, as `info.model` of " <>
            "Bumblebee.load_model/2, got: #{inspect(other)}"
  end

  # The paths of kernels that may be quantised, and the axis of groups of each.
  defp kernels(model) do
    for {layer, op_name} <- Axon.properties(model),
        axis = @axes[op_name],
        into: %{},
        do: {[layer, "kernel"], axis}
  end

  defp quantised(%{op_name: :embedding, op: op, args: [_, _]} = node) do
    %{node | op: &embedding(op, &1, &2, &3)}
  end

  defp quantised(%{op_name: name, op: op, args: [_, _]} = node) when is_map_key(@axes, name) do
    %{node | op: &product(op, @axes[name], &1, &2, [], &3)}
  end

  defp quantised(%{op_name: name, op: op, args: [_, _, _]} = node) when is_map_key(@axes, name) do
    %{node | op: &product(op, @axes[name], &1, &2, [&3], &4)}
  end

  defp quantised(node), do: node

  defp embedding(_op, indices, %Matrix{} = kernel, _opts), do: Matrix.take(kernel, indices)
  defp embedding(op, indices, kernel, opts), do: apply_op(op, [indices, kernel, opts])

  defp product(_op, axis, x, %Matrix{} = kernel, bias, _opts) do
    Enum.reduce(bias, Matrix.dot(float(x, kernel), kernel, axis: axis), &Nx.add(&2, &1))
  end

  defp product(op, _axis, x, kernel, bias, opts), do: apply_op(op, [x, kernel] ++ bias ++ [opts])

  # A product of whole numbers and a float kernel is of the kernel's type.
  defp float(x, kernel) do
    if Nx.Type.integer?(Nx.type(x)), do: Nx.as_type(x, kernel.type), else: x
  end

  # As Axon calls a layer's operation.
  defp apply_op(op, args) when is_atom(op), do: apply(Axon.Layers, op, args)
  defp apply_op(op, args), do: apply(op, args)
end
