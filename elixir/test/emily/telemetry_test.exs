defmodule Emily.TelemetryTest do
  use ExUnit.Case, async: false

  import Emily.TelemetryLog, only: [attach: 1, flush: 0]

  defmodule Unknown do
    defstruct []
  end

  defp emily(list, opts \\ []), do: Nx.tensor(list, [backend: Emily.Backend] ++ opts)

  test "eval is a span with shape and dtype" do
    attach([[:emily, :eval, :start], [:emily, :eval, :stop]])
    Emily.eval(emily([[1.0, 2.0]]))

    assert [{[:emily, :eval, :start], _, start}, {[:emily, :eval, :stop], %{duration: _}, stop}] =
             flush()

    assert %{shape: {1, 2}, dtype: {:f, 32}} = start
    assert %{shape: {1, 2}, dtype: {:f, 32}} = stop
  end

  test "to_binary is a span around the evaluation, both ways of reading" do
    attach([[:emily, :to_binary, :stop], [:emily, :eval, :stop]])
    t = emily([1, 2, 3], type: :s16)

    for read <- [&Emily.to_binary/1, &Nx.to_binary/1, &Nx.to_list/1] do
      read.(t)

      assert [{[:emily, :eval, :stop], _, _}, {[:emily, :to_binary, :stop], measured, metadata}] =
               flush()

      assert measured.duration > 0
      assert %{shape: {3}, dtype: {:s, 16}, byte_size: 6} = metadata
    end
  end

  test "an evaluation that fails is an exception event" do
    attach([[:emily, :eval, :exception], [:emily, :to_binary, :exception]])
    bad = Nx.gather(emily([1, 2]), Nx.tensor([[5]]))
    assert_raise ArgumentError, fn -> Nx.to_binary(bad) end

    assert [
             {[:emily, :eval, :exception], %{duration: _}, %{kind: :error}},
             {[:emily, :to_binary, :exception], %{duration: _}, %{kind: :error}}
           ] = flush()
  end

  test "a fallback is a span with op, shapes and dtypes" do
    attach([[:emily, :fallback, :start], [:emily, :fallback, :stop]])
    Nx.reduce(emily([1.0, 5.0]), 0, &Nx.add/2)

    assert [
             {[:emily, :fallback, :start], _, metadata},
             {[:emily, :fallback, :stop], _, metadata2}
           ] =
             flush()

    assert metadata.op == :reduce
    assert metadata.input_shapes == [{2}, {}]
    assert metadata.input_dtypes == [{:f, 32}, {:s, 32}]

    assert Map.take(metadata2, [:op, :input_shapes, :input_dtypes]) ==
             Map.delete(metadata, :telemetry_span_context)
  end

  test "a native operation is no fallback" do
    attach([[:emily, :fallback, :start]])
    t = emily([[1.0, 2.0], [3.0, 4.0]])
    Nx.dot(t, t) |> Nx.add(1) |> Nx.sum() |> Nx.to_number()
    Nx.LinAlg.qr(t)
    Nx.eye(3, backend: Emily.Backend)
    assert flush() == []
  end

  test "a block without a native operation is an event, a native one is not" do
    attach([[:emily, :block, :fallback]])
    t = emily([[4.0, 2.0], [2.0, 3.0]])
    Nx.LinAlg.qr(t)
    assert flush() == []
    Nx.block(%Unknown{}, [t], t, fn %Unknown{}, t -> Nx.add(t, 1) end)

    assert [{[:emily, :block, :fallback], %{count: 1}, metadata}] = flush()
    assert metadata == %{block: Unknown, input_shapes: [{2, 2}], input_dtypes: [{:f, 32}]}
  end

  test "memory statistics are an event" do
    attach([[:emily, :memory, :stats]])
    stats = Emily.Memory.stats()
    assert [{[:emily, :memory, :stats], ^stats, %{}}] = flush()
    assert Emily.Telemetry.memory_stats() |> Map.keys() == Map.keys(stats)
  end

  test "queue depth is an event per default worker" do
    attach([[:emily, :queue, :depth]])
    _running = Emily.MlxStream.Default.worker()
    depths = Emily.Telemetry.queue_depth()
    events = flush()
    assert length(events) == map_size(depths)

    for {[:emily, :queue, :depth], %{depth: depth}, %{worker: name, device: device}} <- events do
      assert depths[name] == depth
      assert device in [:cpu, :gpu]
    end
  end
end
