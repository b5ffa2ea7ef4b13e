defmodule Emily.Models.Quantised do
  @moduledoc """
  What tests of quantised models measure them by.
  """

  alias Emily.Quantization.Matrix

  @f64 [device: :cpu, f64: true]

  @doc "The bytes of a model's parameters."
  @spec bytes(map()) :: non_neg_integer()
  def bytes(%{data: data}) do
    Nx.Defn.Composite.reduce(data, 0, fn tensor, sum -> sum + Nx.byte_size(tensor) end)
  end

  @doc "The quantised matrices of a model's parameters, by path."
  @spec matrices(map()) :: %{[String.t()] => Matrix.t()}
  def matrices(%{data: data}) do
    for {layer, parameters} <- data,
        {name, %Matrix{} = matrix} <- parameters,
        into: %{},
        do: {[layer, name], matrix}
  end

  @doc "A model's outputs of a name, under Emily.Compiler."
  @spec predict(struct(), map(), map(), atom()) :: Nx.Tensor.t()
  def predict(model, params, inputs, name) do
    model |> Axon.predict(params, inputs, compiler: Emily.Compiler) |> Map.fetch!(name)
  end

  @doc "The same in f64."
  @spec predict_wide(struct(), map(), map(), atom()) :: Nx.Tensor.t()
  def predict_wide(model, params, inputs, name) do
    Nx.with_default_backend({Emily.Backend, @f64}, fn ->
      params = update_in(params.data, &copied(&1, fn t -> Nx.as_type(t, :f64) end))
      inputs = copied(inputs, & &1)

      model
      |> Axon.predict(params, inputs, [compiler: Emily.Compiler] ++ @f64)
      |> Map.fetch!(name)
    end)
  end

  defp copied(container, fun) do
    Nx.Defn.Composite.traverse(container, &fun.(Nx.backend_copy(&1, {Emily.Backend, @f64})))
  end

  @doc """
  The parameters with noise on what is quantised in others: as much as a code's rounding gives, an even spread
  of half a step either way.
  """
  @spec noisy(map(), map()) :: map()
  def noisy(params, quantised) do
    for {path, matrix} <- matrices(quantised), reduce: params do
      params -> update_in(params.data, &update_in(&1, path, fn t -> Nx.add(t, noise(matrix)) end))
    end
  end

  defp noise(%Matrix{tensors: %{scales: scales}} = matrix) do
    {rows, columns} = Matrix.shape(matrix)
    {n, k} = if matrix.axis == -1, do: {rows, columns}, else: {columns, rows}
    {n, groups} = {n, div(Nx.size(scales), n)}

    steps =
      scales
      |> Nx.new_axis(-1)
      |> Nx.broadcast({n, groups, div(k, groups)})
      |> Nx.reshape({n, k})

    {spread, _key} = Nx.Random.uniform(Nx.Random.key(k), -0.5, 0.5, shape: {n, k})
    noise = Nx.multiply(steps, spread)
    if matrix.axis == -1, do: noise, else: Nx.transpose(noise)
  end

  @doc "The largest difference of two tensors' elements."
  @spec distance(Nx.Tensor.t(), Nx.Tensor.t()) :: float()
  def distance(a, b) do
    [a, b] = for t <- [a, b], do: Nx.backend_copy(t, Nx.BinaryBackend)
    a |> Nx.subtract(b) |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()
  end

  @doc "The root of the mean square of two tensors' differences."
  @spec root_mean_square(Nx.Tensor.t(), Nx.Tensor.t()) :: float()
  def root_mean_square(a, b) do
    difference = Nx.subtract(a, b)
    difference |> Nx.multiply(difference) |> Nx.mean() |> Nx.sqrt() |> Nx.to_number()
  end
end
