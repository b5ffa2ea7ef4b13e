defmodule Emily.Fallback do
  @moduledoc false
  # Operations that the engine does not have, on Nx.BinaryBackend: operands out, result in.

  require Logger

  alias Emily.{Backend, Config, Telemetry}
  alias Emily.Backend.Call
  alias Nx.Defn.Composite
  alias Nx.Tensor, as: T

  @warned __MODULE__.Warned

  @doc "Makes the memory of which fallbacks were warned about; its owner is the caller."
  def init do
    :ets.new(@warned, [:named_table, :public, :set, write_concurrency: true])
  end

  @doc "Runs the backend callback `op`, whose first argument is the result's template."
  @spec run(atom(), [term()]) :: Nx.Container.t()
  def run(op, [out | inputs]) do
    run(op, out, inputs, &apply(Nx.BinaryBackend, op, [out | &1]))
  end

  @doc """
  Runs `fun`, which is given the operands on `Nx.BinaryBackend` and gives a result like `out`: a
  tensor, or a container of them.
  """
  @spec run(atom(), Nx.Container.t(), [term()], ([term()] -> Nx.Container.t())) ::
          Nx.Container.t()
  def run(op, out, inputs, fun) do
    metadata = inputs |> Telemetry.inputs() |> Map.put(:op, op)

    :telemetry.span([:emily, :fallback], metadata, fn ->
      apply_policy(Config.fallback(), metadata)
      {result(out, inputs, fun), metadata}
    end)
  end

  defp result(out, inputs, fun) do
    lane = inputs |> List.flatten() |> Call.lane()

    # Nx.BinaryBackend calls Nx itself, and what it creates there must be its own.
    binaries =
      Nx.with_default_backend(Nx.BinaryBackend, fn ->
        result = inputs |> Enum.map(&to_binary_backend/1) |> fun.()
        [result] |> Composite.flatten_list() |> Enum.map(&Nx.to_binary/1)
      end)

    {result, []} =
      Composite.traverse(out, binaries, fn template, [binary | rest] ->
        {Call.upload(template, binary, lane), rest}
      end)

    result
  end

  defp to_binary_backend(%T{data: %Backend{}} = tensor) do
    Nx.backend_copy(tensor, Nx.BinaryBackend)
  end

  defp to_binary_backend(list) when is_list(list), do: Enum.map(list, &to_binary_backend/1)

  # A reduction's function may have captured tensors of ours, and then gives one.
  defp to_binary_backend(fun) when is_function(fun, 2) do
    fn left, right -> to_binary_backend(fun.(left, right)) end
  end

  defp to_binary_backend(other), do: other

  defp apply_policy(:silent, _metadata), do: :ok

  defp apply_policy(:warn, metadata) do
    if :ets.insert_new(@warned, {{metadata.op, metadata.input_shapes}}) do
      Logger.warning(sentence(metadata) <> ". It is told once for these shapes")
    end
  end

  defp apply_policy(:raise, metadata) do
    raise sentence(metadata) <>
            ", and config :emily, :fallback is :raise. Use :warn or :silent to let it run"
  end

  defp sentence(%{op: op, input_shapes: shapes, input_dtypes: types}) do
    inputs = Enum.zip_with(types, shapes, fn type, shape -> tensor(type, shape) end)

    "Emily has no native #{op}: #{op}(#{Enum.join(inputs, ", ")}) runs on Nx.BinaryBackend, slowly"
  end

  defp tensor(type, shape) do
    "#{Nx.Type.to_string(type)}[#{shape |> Tuple.to_list() |> Enum.join(",")}]"
  end
end
