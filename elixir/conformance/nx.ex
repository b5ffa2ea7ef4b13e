defmodule Emily.Conformance.Nx do
  @moduledoc """
  The layers that Nx's users see: an operation as a call of `Nx`'s own function.

    * `:nx` - on `Nx.BinaryBackend`;
    * `:backend` - on `Emily.Backend`;
    * `:compiler` - under `Nx.Defn.jit/2` with `Emily.Compiler`;
    * `grad/5` - `Nx.Defn.grad/2` on `Emily.Backend`.
  """

  alias Emily.Conformance.Translate

  @doc "The operation's results as `{dtype, dims, bytes}`."
  @spec run(:nx | :backend | :compiler, :cpu | :gpu, atom(), map(), [tuple()]) :: [tuple()]
  def run(layer, device, op, attrs, inputs) do
    with_backend(backend(layer, device), fn ->
      tensors = Enum.map(inputs, &input/1)
      fn -> call(layer, op, attrs, tensors) end |> natively() |> results()
    end)
  end

  @doc "The gradients of the sum of all results by the operands in `wrt`."
  @spec grad(:cpu | :gpu, atom(), map(), [tuple()], [non_neg_integer()]) :: [tuple()]
  def grad(device, op, attrs, inputs, wrt) do
    with_backend(backend(:backend, device), fn ->
      tensors = inputs |> Enum.map(&input/1) |> List.to_tuple()
      # Under jit, so that the operands that are held fixed are arguments as well.
      fun = fn tensors -> gradients(op, attrs, Tuple.to_list(tensors), wrt) end
      fun |> Nx.Defn.jit_apply([tensors]) |> results()
    end)
  end

  defp gradients(op, attrs, tensors, wrt) do
    sum = fn variables ->
      variables = Enum.zip(wrt, Tuple.to_list(variables))
      operands = Enum.reduce(variables, tensors, fn {i, t}, all -> List.replace_at(all, i, t) end)
      op |> Translate.call(attrs, operands) |> flatten() |> Enum.map(&Nx.sum/1) |> add()
    end

    wrt |> Enum.map(&Enum.at(tensors, &1)) |> List.to_tuple() |> Nx.Defn.grad(sum)
  end

  defp add([sum]), do: sum
  defp add([first | rest]), do: Enum.reduce(rest, first, &Nx.add/2)

  defp call(:compiler, op, attrs, []) do
    Nx.Defn.jit_apply(fn -> Translate.call(op, attrs, []) end, [], compiler: Emily.Compiler)
  end

  defp call(:compiler, op, attrs, tensors) do
    fun = fn tensors -> Translate.call(op, attrs, Tuple.to_list(tensors)) end
    Nx.Defn.jit_apply(fun, [List.to_tuple(tensors)], compiler: Emily.Compiler)
  end

  defp call(_layer, op, attrs, tensors), do: Translate.call(op, attrs, tensors)

  defp backend(:nx, _device), do: Nx.BinaryBackend
  defp backend(_layer, device), do: {Emily.Backend, device: device, f64: device == :cpu}

  defp with_backend(backend, fun) do
    before = Nx.default_backend(backend)

    try do
      fun.()
    after
      Nx.default_backend(before)
    end
  end

  # The engine has every operation of the suite: one that falls back would be BinaryBackend's answer.
  defp natively(fun) do
    Application.put_env(:emily, :fallback, :raise)

    try do
      fun.()
    after
      Application.delete_env(:emily, :fallback)
    end
  end

  # A view is made of operations, which Nx has as well.
  defp input({dtype, dims, bytes, views}) do
    type = Translate.type(dtype)
    base = bytes |> from_binary(type, dims)
    Enum.reduce(views, base, fn {op, attrs}, tensor -> Translate.call(op, attrs, [tensor]) end)
  end

  defp from_binary(bytes, type, dims) do
    bytes |> Nx.from_binary(type) |> Nx.reshape(List.to_tuple(dims))
  end

  defp results(results) do
    for tensor <- flatten(results) do
      {Translate.dtype(tensor.type), Tuple.to_list(tensor.shape), Nx.to_binary(tensor)}
    end
  end

  defp flatten(tensors) when is_tuple(tensors), do: Tuple.to_list(tensors)
  defp flatten(tensor), do: [tensor]
end
