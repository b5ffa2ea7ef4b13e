defmodule Emily.Models.Quantised do
  @moduledoc """
  What tests of quantised models measure them by.
  """

  alias Emily.Quantization.Matrix

  @f64 [device: :cpu, f64: true]

  @doc """
  For `setup`: tensors are Emily's on the CPU, and a test fails where its process ran anything on Nx's own
  functions.
  """
  @spec only_native(map()) :: :ok
  def only_native(_context) do
    Nx.default_backend({Emily.Backend, device: :cpu})
    [id, calls] = [make_ref(), :counters.new(1, [])]
    events = [[:emily, :block, :fallback], [:emily, :fallback, :start]]
    :ok = :telemetry.attach_many(id, events, &__MODULE__.count/4, {self(), calls})

    ExUnit.Callbacks.on_exit(fn ->
      :telemetry.detach(id)
      if :counters.get(calls, 1) > 0, do: raise("not all that this test computes is native")
    end)
  end

  @doc false
  def count(_event, _measurements, _metadata, {pid, calls}) do
    if self() == pid, do: :counters.add(calls, 1, 1)
  end

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
    in_f64([params.data, inputs], fn [data, inputs] ->
      params = %{params | data: data}

      model
      |> Axon.predict(params, inputs, [compiler: Emily.Compiler] ++ @f64)
      |> Map.fetch!(name)
    end)
  end

  @doc "What a function gives of containers whose floats are f64."
  @spec in_f64([map() | Nx.Tensor.t()], ([map() | Nx.Tensor.t()] -> result)) :: result
        when result: term()
  def in_f64(containers, fun) do
    Nx.with_default_backend({Emily.Backend, @f64}, fn ->
      fun.(for container <- containers, do: Nx.Defn.Composite.traverse(container, &wide/1))
    end)
  end

  defp wide(tensor) do
    tensor = Nx.backend_copy(tensor, {Emily.Backend, @f64})
    if Nx.Type.integer?(tensor.type), do: tensor, else: Nx.as_type(tensor, :f64)
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

  @doc "The root of the mean square of two tensors' differences."
  @spec root_mean_square(Nx.Tensor.t(), Nx.Tensor.t()) :: float()
  def root_mean_square(a, b) do
    difference = Nx.subtract(a, b)
    difference |> Nx.multiply(difference) |> Nx.mean() |> Nx.sqrt() |> Nx.to_number()
  end
end
