defmodule Emily.Conformance.Nx do
  @moduledoc """
  The layers that Nx's users see: an operation as a call of `Nx`'s own function.

    * `:nx` - on `Nx.BinaryBackend`;
    * `:backend` - on `Emily.Backend`;
    * `:compiler` - under `Nx.Defn.jit/2` with `Emily.Compiler`;
    * `{:peer, backend}` - on another backend, with its options;
    * `grad/6` - `Nx.Defn.grad/2` on `Emily.Backend`.
  """

  alias Emily.Conformance.Translate

  # Where the calling process notes a block that ran its default function.
  @default {__MODULE__, :default}

  @type layer :: :nx | :backend | :compiler | {:peer, {module(), keyword()}}

  @doc "Calls `fun` where operations run on the layer's backend, and natively."
  @spec on(layer(), :cpu | :gpu, (-> result)) :: result when result: var
  def on(layer, device, fun) do
    with_backend(backend(layer, device), fn -> natively(fun) end)
  end

  @doc "Calls the operation."
  @spec run(layer(), atom(), map(), [tuple()]) :: Nx.Tensor.t() | tuple()
  def run(layer, op, attrs, inputs) do
    native(op, fn -> call(layer, op, attrs, Enum.map(inputs, &input/1)) end)
  end

  @doc "What `fun` gives within `on/3`, where no block in it runs its default function."
  @spec native(atom(), (-> result)) :: result when result: var
  def native(op, fun) do
    Process.delete(@default)
    result = fun.()

    if block = Process.delete(@default) do
      raise "#{op} is not native: #{inspect(block)} ran its default function; " <>
              "give it a clause in Emily.Backend.Block"
    end

    result
  end

  @doc "Results as `{dtype, dims, bytes}`."
  @spec read(Nx.Tensor.t() | tuple()) :: [tuple()]
  def read(results) do
    for tensor <- flatten(results) do
      {Translate.dtype(tensor.type), Tuple.to_list(tensor.shape), Nx.to_binary(tensor)}
    end
  end

  @doc """
  The gradients of the sum of all results, each times its weights, by the operands in `wrt`.

  The weights also carry the type: a gradient that meets no operand on its way is `f32` in Nx.
  """
  @spec grad(:cpu | :gpu, atom(), map(), [tuple()], [non_neg_integer()], [tuple()]) :: [tuple()]
  def grad(device, op, attrs, inputs, wrt, weights) do
    with_backend(backend(:backend, device), fn ->
      # Under jit, so that what is held fixed is an argument as well.
      fun = fn tensors, weights ->
        gradients(op, attrs, Tuple.to_list(tensors), wrt, Tuple.to_list(weights))
      end

      fun |> Nx.Defn.jit_apply(Enum.map([inputs, weights], &inputs/1)) |> read()
    end)
  end

  defp inputs(list), do: list |> Enum.map(&input/1) |> List.to_tuple()

  defp gradients(op, attrs, tensors, wrt, weights) do
    sum = fn variables ->
      variables = Enum.zip(wrt, Tuple.to_list(variables))
      operands = Enum.reduce(variables, tensors, fn {i, t}, all -> List.replace_at(all, i, t) end)
      op |> Translate.call(attrs, operands) |> flatten() |> weighted(weights)
    end

    wrt |> Enum.map(&Enum.at(tensors, &1)) |> List.to_tuple() |> Nx.Defn.grad(sum)
  end

  defp weighted(results, weights) do
    [results, weights]
    |> Enum.zip_with(fn [result, weights] -> Nx.sum(Nx.multiply(result, weights)) end)
    |> Enum.reduce(&Nx.add/2)
  end

  defp call(:compiler, op, attrs, []) do
    Nx.Defn.jit_apply(fn -> Translate.call(op, attrs, []) end, [], compiler: Emily.Compiler)
  end

  defp call(:compiler, op, attrs, tensors) do
    fun = fn tensors -> Translate.call(op, attrs, Tuple.to_list(tensors)) end
    Nx.Defn.jit_apply(fun, [List.to_tuple(tensors)], compiler: Emily.Compiler)
  end

  defp call(_layer, op, attrs, tensors), do: Translate.call(op, attrs, tensors)

  defp backend(:nx, _device), do: Nx.BinaryBackend
  defp backend({:peer, backend}, _device), do: backend
  defp backend(_layer, device), do: {Emily.Backend, device: device, f64: device == :cpu}

  defp with_backend(backend, fun) do
    before = Nx.default_backend(backend)

    try do
      fun.()
    after
      Nx.default_backend(before)
    end
  end

  # The engine has every operation of the suite: one that falls back would be BinaryBackend's answer,
  # and a block's default function would be an answer made of other operations.
  defp natively(fun) do
    Application.put_env(:emily, :fallback, :raise)
    event = [:emily, :block, :fallback]
    :ok = :telemetry.attach(@default, event, &__MODULE__.note_default/4, nil)

    try do
      fun.()
    after
      :telemetry.detach(@default)
      Application.delete_env(:emily, :fallback)
    end
  end

  # An exception in here would only detach it.
  @doc false
  def note_default(_event, _measurements, %{block: block}, nil), do: Process.put(@default, block)

  # The base is made by no operation: one that the backend lacks would be refused here. A view is made
  # of operations, which it has.
  defp input({dtype, dims, bytes, views}) do
    {backend, options} = Nx.default_backend()
    template = Nx.template(List.to_tuple(dims), Translate.type(dtype))
    base = backend.from_binary(template, bytes, options)
    Enum.reduce(views, base, fn {op, attrs}, tensor -> Translate.call(op, attrs, [tensor]) end)
  end

  defp flatten(tensors) when is_tuple(tensors), do: Tuple.to_list(tensors)
  defp flatten(tensor), do: [tensor]
end
