defmodule Emily.Quantization.Params do
  @moduledoc false
  # The tensors of a model's parameters, which are a map of them, nested at will, or a state with such a map.

  alias Emily.Quantization.Matrix
  alias Nx.Tensor, as: T

  def quantize(params, opts) do
    {own, opts} = Keyword.split(opts, [:axis, :filter])
    own = Keyword.merge([axis: -2, filter: &two_axes?/2], own)
    filter!(own[:filter], "quantize_params")
    options = Matrix.options!([], opts, :quantize_params)

    map(params, "quantize_params", fn
      path, %T{} = tensor ->
        axis = if is_function(own[:axis]), do: own[:axis].(path, tensor), else: own[:axis]

        if Matrix.fits?(tensor, axis, options) and own[:filter].(path, tensor),
          do: Matrix.quantize(tensor, [axis: axis] ++ options),
          else: tensor

      _path, %Matrix{} = matrix ->
        matrix
    end)
  end

  @doc "Refuses what is no function of a path and a tensor."
  def filter!(filter, _name) when is_function(filter, 2), do: :ok

  def filter!(other, name) do
    raise ArgumentError,
          "#{name}: :filter is a function of a path and a tensor, got: #{inspect(other)}"
  end

  def dequantize(params) do
    map(params, "dequantize_params", fn
      _path, %Matrix{} = matrix -> Matrix.dequantize(matrix)
      _path, %T{} = tensor -> tensor
    end)
  end

  defp two_axes?(_path, tensor), do: Nx.rank(tensor) == 2

  # What `fun` gives for each tensor or matrix and its path.
  defp map(params, name, fun) do
    mapped = params |> data(name) |> nested([], fun)
    if is_struct(params), do: %{params | data: mapped}, else: mapped
  end

  @doc "The map of tensors."
  def data(%module{data: %{} = data}, _name) when module != T, do: data
  def data(params, _name) when is_map(params) and not is_struct(params), do: params

  def data(other, name) do
    raise ArgumentError,
          "#{name}: parameters are a map of tensors, nested at will, or a model's state with such a map as " <>
            "its :data, got: #{inspect(other)}"
  end

  defp nested(%module{} = leaf, path, fun) when module in [T, Matrix] do
    fun.(Enum.reverse(path), leaf)
  end

  defp nested(map, path, fun) when is_map(map) and not is_struct(map) do
    Map.new(map, fn {key, value} -> {key, nested(value, [key | path], fun)} end)
  end

  # What else a container holds is nothing to quantise.
  defp nested(other, _path, _fun), do: other
end
