defmodule Emily.NativeTest do
  # Nx-free: `elixir -pa FOLDER -e "ExUnit.start()" -r test/emily/native_test.exs` runs it on any
  # Elixir, where FOLDER holds the compiled lib/emily/native.ex and lib/emily/native/*.ex.
  use ExUnit.Case, async: false

  alias Emily.{Error, Native}
  alias Emily.Native.Async

  setup do
    {:ok, worker} = Native.start_worker(:cpu)
    %{worker: worker}
  end

  defp s32(worker, values) do
    binary = for value <- values, into: <<>>, do: <<value::32-signed-little>>
    {:ok, tensor} = Native.from_binary(worker, :s32, {length(values)}, binary)
    tensor
  end

  defp add(worker, a, b) do
    {:ok, [sum]} = Native.add(worker, [a, b])
    sum
  end

  # Enough work to keep the worker busy for a while; the tensor depends on all of it.
  defp slow(worker) do
    {:ok, [iota]} = Native.iota(worker, [], %{dtype: :f32, shape: {700, 700}})
    contract = %{contract_left: [1], contract_right: [0]}

    Enum.reduce(1..60, iota, fn _, product ->
      {:ok, [product]} = Native.dot(worker, [product, iota], contract)
      product
    end)
  end

  # Collects garbage until the allocator holds no more than `limit` bytes.
  defp settle(worker, limit, tries \\ 200) do
    :erlang.garbage_collect()
    :ok = Native.clear_cache(worker)
    {:ok, %{active: active}} = Native.memory_stats()

    if active > limit and tries > 0 do
      Process.sleep(10)
      settle(worker, limit, tries - 1)
    else
      active
    end
  end

  # Whether so many bytes are in use soon, though nobody asks for them.
  defp active_reaches?(bytes, tries) do
    {:ok, %{active: active}} = Native.memory_stats()

    cond do
      active >= bytes ->
        true

      tries == 0 ->
        false

      true ->
        Process.sleep(10)
        active_reaches?(bytes, tries - 1)
    end
  end

  describe "workers" do
    test "have a device, a name and a queue", %{worker: worker} do
      assert Native.device(worker) == :cpu
      assert Native.worker_name(worker) =~ "cpu"
      :ok = Native.flush(worker)
      assert Native.queue_depth(worker) == 0
    end

    test "on a device that is not there say what to do" do
      unless Native.gpu_available?() do
        assert {:error, %Error{kind: :device, message: message}} = Native.start_worker(:gpu)
        assert message =~ "ask for the cpu" and message =~ "config :emily, variant: :cuda13"
      end
    end

    test "are on no other device, and take bytes from a binary", %{worker: worker} do
      assert_raise ArgumentError, ~r/expected :cpu, :gpu or :default, got: :tpu/, fn ->
        Native.start_worker(:tpu)
      end

      assert_raise ArgumentError, ~r/expected the elements' bytes in a binary, got: \[1\]/, fn ->
        Native.from_binary(worker, :u8, {1}, [1])
      end
    end

    test "take f64 only where it is asked for", %{worker: worker} do
      one = <<1.0::float-64-little>>
      assert {:error, %Error{kind: :dtype}} = Native.from_binary(worker, :f64, {}, one)
      {:ok, wide} = Native.start_worker(:cpu, f64: true)
      {:ok, tensor} = Native.from_binary(wide, :f64, {}, one)
      assert Native.read(tensor) == {:ok, one}
    end

    test "that are stopped refuse what is new and fail what is queued", %{worker: worker} do
      computed = s32(worker, [7])
      waiting = slow(worker)
      assert Native.stop_worker(worker) == :ok
      assert Native.stop_worker(worker) == :ok
      assert {:error, %Error{kind: :stopped}} = Native.add(worker, [computed, computed])
      assert {:error, %Error{kind: :stopped}} = Native.from_binary(worker, :u8, {}, <<1>>)
      assert {:error, %Error{kind: :stopped}} = Native.clear_cache(worker)
      assert {:error, %Error{kind: :stopped}} = Native.set_cache_limit(worker, 0)
      assert Native.read(computed) == {:ok, <<7::32-little>>}

      case Native.read(waiting) do
        {:error, error} -> assert error.kind == :stopped
        {:ok, bytes} -> assert byte_size(bytes) == 700 * 700 * 4
      end
    end

    test "read each other's tensors", %{worker: worker} do
      {:ok, other} = Native.start_worker(:cpu)
      sum = add(worker, s32(worker, [1, 2]), s32(other, [10, 20]))
      product = add(other, sum, sum)
      assert Native.read(product) == {:ok, <<22::32-little, 44::32-little>>}
    end

    test "let callers wait when their queue is full", %{worker: worker} do
      one = s32(worker, [1])
      blocked = slow(worker)
      sum = Enum.reduce(1..10_000, one, fn _, sum -> add(worker, sum, one) end)
      assert Native.read(sum) == {:ok, <<10_001::32-little>>}
      assert {:ok, _bytes} = Native.read(blocked)
      refute_received _
    end
  end

  describe "errors" do
    test "at the call name it", %{worker: worker} do
      assert {:error, error} = Native.sum(worker, [s32(worker, [1, 2])], %{axes: [1]})
      assert %Error{kind: :argument, op: :sum, inputs: [{:s32, {2}}]} = error
      assert error.attrs.axes == [1]
      assert error.worker == Native.worker_name(worker)
      assert Exception.message(error) =~ "sum(s32[2], "
    end

    test "at the read name the call that failed first", %{worker: worker} do
      quotient = &Native.remainder(worker, [s32(worker, [1, 2]), s32(worker, [&1])])
      {:ok, [bad]} = quotient.(0)
      later = add(worker, bad, bad)

      for tensor <- [bad, later] do
        assert {:error, error} = Native.read(tensor)
        assert %Error{kind: :numeric, op: :remainder, inputs: [{:s32, {2}}, {:s32, {1}}]} = error
        assert error.worker == Native.worker_name(worker)
      end

      assert_raise Error, ~r/^remainder\(s32\[2\], s32\[1\]/, fn ->
        later |> Async.read() |> Async.await!()
      end
    end

    test "of improper lists are the caller's", %{worker: worker} do
      tensor = s32(worker, [1, 2])
      assert_raise ArgumentError, fn -> Native.sum(worker, [tensor | tensor], %{}) end
      assert {:error, error} = Native.sum(worker, [tensor], %{axes: [0 | 1]})
      assert %Error{kind: :argument, message: "axes: a list that ends in 1"} = error
    end

    test "of attributes say which, and what is expected", %{worker: worker} do
      t = s32(worker, [1])
      message = fn {:error, %Error{kind: :argument} = error} -> Exception.message(error) end
      assert message.(Native.sum(worker, [t], %{axs: []})) =~ "known are axes keep_axes dtype"
      assert message.(Native.sum(worker, [t], %{axes: [-1]})) =~ "axes: integer `-1`"
      assert message.(Native.sum(worker, [t], %{axes: 0})) =~ "list or tuple"
      assert message.(Native.round(worker, [t], %{to: 2})) =~ "no attributes"
      assert message.(Native.as_type(worker, [t])) =~ "missing"
      assert message.(Native.iota(worker, [], %{dtype: :u7, shape: {1}})) =~ "u7"
      assert message.(Native.add(worker, [t])) =~ "add(s32[1]): takes 2 operands"

      assert message.(Native.sum(worker, [t], %{axs: 0})) =~
               ~r/^sum\(s32\[1\], axs: 0\): unknown attribute/

      assert message.(Native.apply_op(worker, :no_such_op, [], %{})) =~ "no_such_op"
    end

    test "of a worker's options" do
      assert_raise ArgumentError, ~r/unknown keys \[:f65\]/, fn ->
        Native.start_worker(:cpu, f65: true)
      end

      assert_raise ArgumentError,
                   ~r/start_worker: expected :f64 to be a boolean, got: "yes"/,
                   fn ->
                     Native.start_worker(:cpu, f64: "yes")
                   end
    end

    test "of bytes, shapes and dtypes", %{worker: worker} do
      assert {:error, %Error{kind: :argument}} = Native.from_binary(worker, :u8, {3}, <<1>>)
      assert {:error, %Error{kind: :argument}} = Native.from_binary(worker, :u8, {-1}, <<1>>)
      assert {:error, %Error{kind: :dtype}} = Native.from_binary(worker, :f8, {1}, <<1>>)
      huge = {1_000_000_000, 1_000_000_000}
      assert {:error, %Error{kind: kind}} = Native.from_binary(worker, :u8, huge, <<1>>)
      assert kind in [:argument, :memory]
      assert {:error, error} = Native.iota(worker, [], %{dtype: :u8, shape: huge})
      assert error.kind == :memory
    end

    test "of terms that are none of these are argument errors", %{worker: worker} do
      t = s32(worker, [1])
      assert_raise ArgumentError, fn -> Native.add(t, [t, t]) end
      assert_raise ArgumentError, fn -> Native.add(worker, [worker, worker]) end
      assert_raise ArgumentError, fn -> Native.add(worker, :no_list) end
      assert_raise ArgumentError, fn -> Native.read(make_ref()) end
      assert_raise ArgumentError, fn -> Native.type(worker) end
    end
  end

  describe "what would end the VM" do
    test "is an error or a defined result", %{worker: worker} do
      ints = s32(worker, [-2_147_483_648, 7])
      {:ok, [rem]} = Native.remainder(worker, [ints, s32(worker, [-1])])
      assert {:ok, <<0::32, 0::32>>} = Native.read(rem)
      {:ok, [power]} = Native.pow(worker, [ints, s32(worker, [-1])])
      assert {:error, %Error{kind: :numeric}} = Native.read(power)
      {:ok, indices} = Native.from_binary(worker, :s32, {1, 1}, <<1_000_000::32-little>>)
      {:ok, [gathered]} = Native.gather(worker, [ints, indices], %{axes: [0]})
      assert {:error, %Error{kind: :index}} = Native.read(gathered)
      assert {:ok, _bytes} = Native.read(ints)
    end
  end

  describe "waiting" do
    test "for room comes before asking for more", %{worker: worker} do
      one = s32(worker, [1])
      product = slow(worker)

      requests =
        for _ <- 1..10_000 do
          request = Async.read(one)
          assert Native.queue_depth(worker) <= 5000
          request
        end

      assert Enum.uniq(Enum.map(requests, &Async.await/1)) == [{:ok, <<1::32-little>>}]
      evals = for _ <- 1..10_000, do: Async.eval(product)
      assert Enum.uniq(Enum.map(evals, &Async.await/1)) == [:ok]
      refute_received _
    end

    test "takes no time that a process cannot wait for", %{worker: worker} do
      {:ok, tensor} = Native.from_binary(worker, :u8, {1}, <<1>>)
      async = Async.read(tensor)

      for timeout <- [-5, 1.5, :never, 2 ** 32] do
        for wait <- [&Native.read(tensor, &1), &Native.eval(tensor, &1), &Async.await(async, &1)] do
          assert_raise ArgumentError, ~r/expected the timeout to be/, fn -> wait.(timeout) end
        end
      end

      assert Async.await(async) == {:ok, <<1>>}
    end

    test "gives up in time, and nothing comes later", %{worker: worker} do
      product = slow(worker)
      assert {:error, %Error{kind: :timeout}} = Native.read(product, 0)
      request = Async.read(product)
      assert Async.cancel(request) == :ok
      assert {:ok, _bytes} = Native.read(product)
      assert Async.cancel(request) == :ok
      refute_receive _, 20
    end

    # OPERATING.md, "Shutdown", says so.
    test "that is given up computes what is held, and not what is dropped", %{worker: worker} do
      # More than the products of `slow/1`, all 60 of them.
      large = 200_000_000
      base = settle(worker, 0)

      give_up = fn ->
        {:ok, [tensor]} = Native.iota(worker, [], %{dtype: :u8, shape: {large}})
        assert {:error, %Error{kind: :timeout}} = Native.read(tensor, 0)
        tensor
      end

      # The worker is at this while the other is asked for.
      :ok = Native.reset_peak()
      busy = Async.read(slow(worker))
      dropped = give_up.()
      assert Native.release(dropped)
      {:ok, _bytes} = Async.await(busy)
      assert {:ok, <<5::32-little>>} = Native.read(s32(worker, [5]))
      {:ok, %{peak: peak}} = Native.memory_stats()
      assert peak < base + large

      busy = Async.read(slow(worker))
      held = give_up.()
      {:ok, _bytes} = Async.await(busy)
      assert active_reaches?(base + large, 1000)
      assert Native.release(held)
    end

    test "of requests that were answered and never awaited can be cancelled", %{worker: worker} do
      request = Async.read(s32(worker, [1]))
      Process.sleep(50)
      assert Async.cancel(request) == :ok
      refute_receive _, 20
    end

    test "is as quick behind a long mailbox", %{worker: worker} do
      # What is there is read without waiting.
      wait = fn -> for _ <- 1..200, do: :ok = Native.flush(worker) end
      wait.()
      {empty, _} = :timer.tc(wait)
      for i <- 1..200_000, do: send(self(), i)
      {full, _} = :timer.tc(wait)
      # Without the mark that the reference sets, each wait looks at 200,000 messages.
      assert full < 20 * empty + 100_000
    end

    test "of a released tensor is an error at once", %{worker: worker} do
      t = s32(worker, [1])
      assert Native.release(t)
      refute Native.release(t)
      assert {:error, %Error{kind: :argument}} = Native.read(t)
      assert {:error, %Error{kind: :argument}} = Native.eval(t)
      assert {:error, %Error{kind: :argument}} = Native.add(worker, [t, t])
      refute_receive _, 20
    end
  end

  describe "processes" do
    test "share tensors, also while they are computed", %{worker: worker} do
      product = slow(worker)
      tasks = for _ <- 1..4, do: Task.async(fn -> Native.read(product) end)
      assert [{:ok, bytes}] = tasks |> Task.await_many(60_000) |> Enum.uniq()
      assert byte_size(bytes) == 700 * 700 * 4
    end

    test "that die leave nothing behind", %{worker: worker} do
      base = settle(worker, 0)
      test = self()

      pid =
        spawn(fn ->
          pending = for _ <- 1..20, do: slow(worker)
          send(test, :queued)
          Native.read(List.last(pending))
        end)

      assert_receive :queued, 60_000
      Process.exit(pid, :kill)
      assert settle(worker, base, 3000) <= base
      assert Native.read(s32(worker, [5])) == {:ok, <<5::32-little>>}
    end
  end

  describe "memory" do
    test "is limited to a number of bytes" do
      for limit <- [-1, 2 ** 64, 1.0e9, nil] do
        assert_raise ArgumentError, ~r/a limit is a number of bytes/, fn ->
          Emily.Memory.set_limit(limit)
        end

        named = ~r/^Emily.Native.set_memory_limit: a limit is a number of bytes.*, got: /
        assert_raise ArgumentError, named, fn -> Native.set_memory_limit(limit) end
      end
    end

    test "is cached up to a number of bytes", %{worker: worker} do
      for limit <- [-1, 2 ** 64, 1.0e9, nil] do
        named = ~r/^Emily.Native.set_cache_limit: a limit is a number of bytes, 0 or more/
        assert_raise ArgumentError, named, fn -> Native.set_cache_limit(worker, limit) end
      end
    end

    test "of 100,000 dropped tensors comes back", %{worker: worker} do
      base = settle(worker, 0)

      for _ <- 1..100_000 do
        {:ok, _tensor} = Native.from_binary(worker, :u8, {64}, <<0::512>>)
      end

      assert settle(worker, base) <= base
    end

    test "of queued results that nobody holds comes back", %{worker: worker} do
      base = settle(worker, 0)
      one = s32(worker, [1, 2, 3, 4])
      for _ <- 1..20_000, do: add(worker, one, one)
      assert {:ok, _bytes} = Native.read(one)
      assert settle(worker, base + 64) <= base + 64
      assert {:ok, _bytes} = Native.read(one)
    end

    test "that is released is free at once", %{worker: worker} do
      base = settle(worker, 0)
      {:ok, t} = Native.from_binary(worker, :u8, {16_000_000}, :binary.copy(<<1>>, 16_000_000))
      {:ok, %{active: held}} = Native.memory_stats()
      assert held >= base + 16_000_000
      assert Native.release(t)
      {:ok, %{active: after_release}} = Native.memory_stats()
      assert after_release < base + 16_000_000
    end

    test "is not copied by a read", %{worker: worker} do
      size = 64 * 1024 * 1024
      {:ok, [t]} = Native.iota(worker, [], %{dtype: :u8, shape: {size}})
      :ok = Native.eval(t)
      {:ok, %{active: active}} = Native.memory_stats()
      binary_memory = :erlang.memory(:binary)
      {:ok, bytes} = Native.read(t)
      assert byte_size(bytes) == size
      assert binary_part(bytes, 254, 4) == <<254, 255, 0, 1>>
      {:ok, %{active: after_read}} = Native.memory_stats()
      assert after_read <= active + 1_000_000
      assert :erlang.memory(:binary) <= binary_memory + 1_000_000

      # The bytes stay when the tensor goes.
      assert Native.release(t)
      assert :binary.at(bytes, size - 1) == 255
    end

    test "has figures and limits", %{worker: worker} do
      assert {:ok, %{active: _, peak: _, cache: _, limit: limit}} = Native.memory_stats()
      assert Native.reset_peak() == :ok
      assert Native.clear_cache(worker) == :ok
      assert Native.set_memory_limit(1_000_000) == {:ok, limit}
      big = %{dtype: :u8, shape: {2_000_000}}
      assert {:error, %Error{kind: :memory}} = Native.iota(worker, [], big)
      assert Native.set_memory_limit(limit) == {:ok, 1_000_000}
      assert {:error, %Error{kind: :argument}} = Native.set_memory_limit(0)
      {:ok, before} = Native.set_cache_limit(worker, 1_000_000)
      assert Native.set_cache_limit(worker, before) == {:ok, 1_000_000}
    end

    test "of nothing is a binary of nothing", %{worker: worker} do
      {:ok, [empty]} = Native.iota(worker, [], %{dtype: :f32, shape: {2, 0}})
      assert Native.read(empty) == {:ok, <<>>}
      {:ok, none} = Native.from_binary(worker, :f32, {0}, <<>>)
      assert Native.read(none) == {:ok, <<>>}
    end
  end

  describe "the library" do
    test "is there, and its list of operations is this one" do
      assert Native.status() == :ok
      assert Native.op_fingerprint() == Emily.Native.Ops.fingerprint()
      assert Native.mlx_version() =~ ~r/^\d+\.\d+\.\d+$/
    end

    test "has a function for every operation" do
      for %{name: name} <- Emily.Native.Ops.all() do
        assert function_exported?(Native, name, 2)
        assert function_exported?(Native, name, 3)
      end
    end
  end
end
