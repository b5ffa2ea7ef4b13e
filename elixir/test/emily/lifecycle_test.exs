defmodule Emily.LifecycleTest do
  use ExUnit.Case, async: false

  import Emily.Eventually

  @mb 1_000_000

  defp emily(list, opts \\ []), do: Nx.tensor(list, [backend: Emily.Backend] ++ opts)

  defp active do
    # Handles that are garbage here are freed when this process is collected.
    :erlang.garbage_collect()
    Emily.Memory.stats().active
  end

  describe "between processes" do
    test "a captured tensor is read by another process" do
      t = Nx.add(emily([1, 2, 3]), 1)
      assert Task.await(Task.async(fn -> Nx.to_list(Nx.add(t, 1)) end)) == [3, 4, 5]
      assert Nx.to_list(t) == [2, 3, 4]
    end

    test "a tensor sent while it is queued is read by its receiver, twice" do
      parent = self()

      sender =
        spawn(fn ->
          t = Enum.reduce(1..100, emily([0]), fn _, t -> Nx.add(t, 1) end)
          send(parent, {:tensor, t})
        end)

      assert_receive {:tensor, t}
      ref = Process.monitor(sender)
      assert_receive {:DOWN, ^ref, _, _, _}
      assert Nx.to_list(t) == [100]
      assert Nx.to_list(t) == [100]
    end

    test "many processes read one tensor" do
      t = Nx.add(Nx.iota({1000}, backend: Emily.Backend), 1)
      sums = Task.async_stream(1..50, fn _ -> t |> Nx.sum() |> Nx.to_number() end)
      assert Enum.uniq(sums) == [{:ok, 500_500}]
    end

    test "through the external term format in this VM, a handle stays a handle" do
      t = emily([1, 2])
      copy = t |> :erlang.term_to_binary() |> :erlang.binary_to_term()
      assert Nx.to_list(copy) == [1, 2]
    end
  end

  describe "garbage" do
    test "results that are dropped while they are queued are freed" do
      before = active()
      t = Nx.iota({250_000}, type: :f32, backend: Emily.Backend)

      for _ <- 1..200 do
        Nx.add(t, 1)
        :erlang.garbage_collect()
      end

      assert Nx.to_number(t[7]) == 7.0
      assert eventually(fn -> active() - before < 10 * @mb end)
    end

    test "a caller that dies leaves its worker in order, and no memory" do
      before = active()

      pid =
        spawn(fn ->
          t = Nx.iota({250_000}, type: :f32, backend: Emily.Backend)
          Enum.reduce(Stream.cycle([1]), t, &Nx.add(&2, &1))
        end)

      Process.sleep(50)
      ref = Process.monitor(pid)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^ref, _, _, :killed}
      assert Nx.to_list(Nx.add(emily([1]), 1)) == [2]
      assert eventually(fn -> active() - before < 10 * @mb end)
    end

    test "a caller that dies while it reads takes its request with it" do
      t = emily([1])

      pids =
        for _ <- 1..20 do
          spawn(fn ->
            Nx.to_binary(Enum.reduce(1..2000, t, fn _, t -> Nx.add(t, 1) end))
          end)
        end

      Enum.each(pids, &Process.exit(&1, :kill))
      assert Nx.to_list(Nx.add(t, 1)) == [2]
    end

    test "nothing is left in the mailbox of a process that started evaluations and forgot them" do
      for n <- 1..100, do: emily([n]) |> Nx.add(1) |> Emily.async_eval()
      t = emily([1])
      Nx.to_binary(Nx.add(t, 1))
      assert Process.info(self(), :messages) == {:messages, []}
    end
  end

  describe "deallocate" do
    test "frees at once, whoever holds the tensor, and says when it was done before" do
      t = Nx.iota({4 * @mb}, type: :f32, backend: Emily.Backend) |> Emily.eval()
      before = active()
      assert Nx.backend_deallocate(t) == :ok
      # At once is now, or when the worker has done what was asked of it before.
      assert eventually(fn -> Emily.Memory.stats().active <= before - 16 * @mb end)
      assert Nx.backend_deallocate(t) == :already_deallocated
      assert_raise ArgumentError, ~r/deallocated/, fn -> Nx.to_binary(t) end
      assert_raise ArgumentError, ~r/deallocated/, fn -> Nx.add(t, 1) end
    end

    test "what was called before still has the value" do
      t = emily([1, 2])
      sum = Nx.add(t, 1)
      copy = Nx.backend_copy(t, Emily.Backend)
      assert Nx.backend_deallocate(t) == :ok
      assert Nx.to_list(sum) == [2, 3]
      assert Nx.to_list(copy) == [1, 2]
    end
  end

  describe "copies" do
    test "a transfer to the binary backend deallocates" do
      t = emily([1.5, 2.5])
      copy = Nx.backend_transfer(t)
      assert %Nx.BinaryBackend{} = copy.data
      assert Nx.to_list(copy) == [1.5, 2.5]
      assert Nx.backend_deallocate(t) == :already_deallocated
    end

    test "to Emily and back, with names and vectorized axes" do
      t = Nx.tensor([[1, 2], [3, 4]], names: [:x, :y]) |> Nx.vectorize(:x)
      there = Nx.backend_copy(t, {Emily.Backend, device: :cpu})
      assert %Emily.Backend{device: :cpu} = there.data
      back = Nx.backend_copy(there)
      assert back == t
    end

    test "operands of the binary backend are copied in" do
      a = emily([[1, 2], [3, 4]])
      b = Nx.tensor([[1, 1], [1, 1]])
      assert Nx.to_list(Nx.dot(b, a)) == [[4, 6], [4, 6]]
      assert Nx.to_list(Nx.concatenate([b, a])) == [[1, 1], [1, 1], [1, 2], [3, 4]]
    end

    test "pointers are refused with the way to go" do
      assert_raise ArgumentError, ~r/Nx.to_binary\/1/, fn -> Nx.to_pointer(emily([1])) end
      pointer = %Nx.Pointer{kind: :local, address: 8, data_size: 1}

      assert_raise ArgumentError, ~r/Nx.from_binary\/3/, fn ->
        Nx.from_pointer(Emily.Backend, pointer, {:u, 8}, {1})
      end
    end

    test "batches are slices; what is left over is repeated from the start, or discarded" do
      t = Nx.iota({7, 2}, backend: Emily.Backend)
      batches = Nx.to_batched(t, 3)
      assert Enum.map(batches, &Nx.to_list(&1[[.., 0]])) == [[0, 2, 4], [6, 8, 10], [12, 0, 2]]
      assert Enum.count(Nx.to_batched(t, 3, leftover: :discard)) == 2
      assert Enum.all?(batches, &match?(%Emily.Backend{}, &1.data))
    end
  end

  describe "reading" do
    test "64 MB are read without being copied" do
      t = Nx.iota({16 * @mb}, type: :f32, backend: Emily.Backend) |> Emily.eval()
      before = active()
      binaries = :erlang.memory(:binary)
      binary = Nx.to_binary(t)
      assert byte_size(binary) == 64 * @mb
      assert Emily.Memory.stats().active - before < @mb
      assert :erlang.memory(:binary) - binaries < @mb
      <<_::binary-size(4 * 1_234_567), number::float-32-native, _::binary>> = binary
      assert number == 1_234_567.0
    end

    test "the binary keeps the buffer, the tensor does not" do
      t = Nx.iota({4 * @mb}, type: :f32, backend: Emily.Backend)
      binary = Nx.to_binary(t)
      Nx.backend_deallocate(t)
      assert binary_part(binary, 4, 4) == <<1.0::float-32-native>>
    end

    test "a limit is in elements, and does not keep the whole buffer" do
      t = Nx.iota({1000, 1000}, type: :f32, backend: Emily.Backend)
      binary = Nx.to_binary(t, limit: 2)
      assert binary == <<0.0::float-32-native, 1.0::float-32-native>>
      assert :binary.referenced_byte_size(binary) == 8
    end

    test "a view that is not contiguous is read in its own order" do
      t = Nx.iota({2, 3}, backend: Emily.Backend)
      assert Nx.to_list(Nx.transpose(t)) == [[0, 3], [1, 4], [2, 5]]
    end

    test "inspect shows the backend and as many elements as asked" do
      t = Nx.iota({100}, backend: {Emily.Backend, device: :cpu})

      assert inspect(t, limit: 3) == """
             #Nx.Tensor<
               s32[100]
               Emily.Backend(cpu)
               [0, 1, 2, ...]
             >\
             """

      assert inspect(emily([1.0, :nan])) =~ "[1.0, NaN]"
      assert inspect(t, limit: :infinity) =~ "98, 99]"
    end

    test "inspect leaves the backend away where the configuration says so" do
      on_exit(fn -> Application.delete_env(:emily, :add_backend_on_inspect) end)
      t = emily([1, 2])
      Application.put_env(:emily, :add_backend_on_inspect, true)
      assert inspect(t) =~ "Emily.Backend("
      Application.put_env(:emily, :add_backend_on_inspect, false)
      assert inspect(t) == inspect(Nx.backend_copy(t, Nx.BinaryBackend))
      Application.put_env(:emily, :add_backend_on_inspect, :no)
      assert inspect(t, safe: true) =~ "must be one of true, false, got: :no"
    end
  end
end
