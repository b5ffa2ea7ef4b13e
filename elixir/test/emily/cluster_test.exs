defmodule Emily.ClusterTest do
  @moduledoc """
  Two connected VMs, each with an Emily of its own.
  """

  use ExUnit.Case, async: false

  alias Emily.{TestNode, TestServings}

  setup_all do
    %{node: TestNode.start_connected()}
  end

  test "a serving there answers a caller here", %{node: node} do
    name = __MODULE__.Distributed
    :erpc.call(node, TestServings, :start_unlinked, [name])
    wait_for_members(name, 100)

    for backend <- [Nx.BinaryBackend, Emily.Backend] do
      input = Nx.tensor([1, 2], backend: backend)
      result = Nx.Serving.batched_run({:distributed, name}, input, &Nx.backend_copy/1)
      assert Nx.to_list(result) == [[3, 5]]
      assert %Nx.BinaryBackend{} = result.data
    end
  end

  @tag :tmp_dir
  test "a tensor's handle that came from there is an error with the remedy", context do
    %{node: node, tmp_dir: folder} = context
    t = :erpc.call(node, Nx, :tensor, [[1, 2], [backend: Emily.Backend]])

    for use <- [
          &Nx.to_list/1,
          &Nx.add(&1, 1),
          &Nx.backend_deallocate/1,
          &Emily.eval/1,
          &Emily.Native.release(&1.data.ref),
          &Emily.Native.read(&1.data.ref),
          &Emily.Native.eval(&1.data.ref),
          &Emily.Native.type(&1.data.ref),
          &Emily.Case.record(fn t -> Nx.sin(t) end, [&1], to: folder)
        ] do
      assert_raise ArgumentError, ~r/in the memory of #{node}.*backend_copy/, fn -> use.(t) end
    end

    assert File.ls(folder) == {:ok, []}
  end

  test "so is a stream, and a function that was compiled there", %{node: node} do
    stream = :erpc.call(node, Emily.Stream, :new, [:cpu])

    for use <- [
          &Emily.Stream.with_stream(&1, fn -> :not_called end),
          &Emily.Stream.close/1,
          &Emily.Stream.queue_depth/1
        ] do
      expected = ~r/this stream is in the memory of #{node}.*Emily.Stream.new/
      assert_raise ArgumentError, expected, fn -> use.(stream) end
    end

    args = [&Nx.sin/1, [Nx.template({2}, :f32)], [compiler: Emily.Compiler]]
    compiled = :erpc.call(node, Nx.Defn, :compile, args)
    expected = ~r/this compiled function is in the memory of #{node}.*compile it here/
    assert_raise ArgumentError, expected, fn -> compiled.(Nx.tensor([1.0, 2.0])) end
  end

  defp wait_for_members(name, left) do
    if :pg.get_members(Nx.Serving.PG, name) == [] and left > 0 do
      Process.sleep(50)
      wait_for_members(name, left - 1)
    end
  end
end
