defmodule Emily.MemoryTest do
  # Limits and figures are the VM's, so nothing runs beside it.
  use ExUnit.Case, async: false

  alias Emily.{Memory, Native}

  @mib 1024 * 1024
  @backend {Emily.Backend, device: :cpu}

  setup do
    {:ok, worker} = Native.start_worker(:cpu)
    test = self()

    :telemetry.attach(
      {__MODULE__, test},
      [:emily, :memory, :collect],
      &__MODULE__.tell/4,
      test
    )

    on_exit(fn -> :telemetry.detach({__MODULE__, test}) end)
    %{worker: worker, before: Memory.stats().active}
  end

  def tell(_event, measurements, metadata, test),
    do: send(test, {:collect, measurements, metadata})

  defp limit_to(bytes) do
    limit = Memory.set_limit(bytes)
    on_exit(fn -> Memory.set_limit(limit) end)
  end

  # A heap that the VM has no reason to collect.
  defp with_large_heap(fun) do
    task =
      Task.async(fn ->
        ballast = Enum.to_list(1..2_000_000)
        result = fun.()
        {length(ballast), result}
      end)

    {_length, result} = Task.await(task, 60_000)
    result
  end

  test "a process is collected for large results that are its garbage", %{before: before} do
    # The sum of two tensors that were broadcast would be one number.
    dense = Emily.eval(Nx.iota({div(10 * @mib, 4)}, type: :s32, backend: @backend))

    most =
      with_large_heap(fn ->
        for _ <- 1..200, reduce: 0 do
          most ->
            Emily.eval(Nx.add(dense, dense))
            max(most, Memory.stats().active)
        end
      end)

    assert most - before < 600 * @mib
    assert_received {:collect, %{given: given, duration: _}, %{reason: :threshold}}
    assert given >= 256 * @mib
  end

  test "uploads count as well", %{before: before} do
    bytes = :binary.copy(<<1>>, 10 * @mib)

    with_large_heap(fn ->
      for _ <- 1..100, do: Nx.from_binary(bytes, :u8, backend: @backend)
      nil
    end)

    assert_received {:collect, _measurements, %{reason: :threshold}}
    assert Memory.stats().active - before < 600 * @mib
  end

  test "where memory is short every process is collected before anything is refused", context do
    %{worker: worker, before: before} = context
    limit_to(before + 100 * @mib)
    bytes = :binary.copy(<<1>>, 60 * @mib)
    test = self()

    # A process that has 60 MiB of garbage, and sleeps.
    holder =
      spawn(fn ->
        {:ok, tensor} = Native.from_binary(worker, :u8, {60 * @mib}, bytes)
        send(test, {:held, Native.type(tensor)})
        Process.sleep(:infinity)
      end)

    assert_receive {:held, {:u8, _shape}}, 20_000
    assert {:ok, _tensor} = Native.from_binary(worker, :u8, {60 * @mib}, bytes)
    assert_receive {:collect, %{processes: count}, %{reason: :pressure}}
    assert count > 1
    Process.exit(holder, :kill)
  end

  test "uploads at once wait for room together, large ones and small ones", context do
    %{worker: worker, before: before} = context
    limit_to(before + 100 * @mib)
    test = self()

    # A process that has 95 MiB of garbage, in a heap so large that collecting it takes a dirty scheduler.
    holder =
      spawn(fn ->
        ballast = Enum.to_list(1..3_000_000)
        part = :binary.copy(<<1>>, 5 * @mib)
        for _ <- 1..19, do: {:ok, _} = Native.from_binary(worker, :u8, {5 * @mib}, part)
        send(test, :held)
        Process.sleep(:infinity)
        length(ballast)
      end)

    assert_receive :held, 20_000

    uploads =
      for size <- [1000, 20 * @mib, 20 * @mib, 20 * @mib, 20 * @mib] do
        Task.async(fn ->
          {:ok, worker} = Native.start_worker(:cpu)
          bytes = :binary.copy(<<1>>, size)
          # Whoever has room keeps it until all have.
          with {:ok, tensor} <- Native.from_binary(worker, :u8, {size}, bytes) do
            send(test, :uploaded)
            receive do: (:go -> Native.type(tensor))
          end
        end)
      end

    for _ <- uploads, do: assert_receive(:uploaded, 20_000)
    for upload <- uploads, do: send(upload.pid, :go)
    for upload <- uploads, do: assert({:u8, _shape} = Task.await(upload))
    Process.exit(holder, :kill)
  end

  test "what does not fit is an error that says the limit, and the VM goes on", context do
    %{worker: worker, before: before} = context
    limit_to(before + 50 * @mib)
    bytes = :binary.copy(<<1>>, 40 * @mib)
    {:ok, held} = Native.from_binary(worker, :u8, {40 * @mib}, bytes)
    assert {:error, error} = Native.from_binary(worker, :u8, {40 * @mib}, bytes)
    assert error.kind == :memory
    assert error.message =~ "raise the limit"

    assert {:ok, <<1, 1>>} =
             Native.read(held) |> then(fn {:ok, all} -> {:ok, binary_part(all, 0, 2)} end)
  end
end
