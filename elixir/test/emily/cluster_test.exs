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

  test "a tensor's handle that came from there is an error with the remedy", %{node: node} do
    t = :erpc.call(node, Nx, :tensor, [[1, 2], [backend: Emily.Backend]])

    for use <- [&Nx.to_list/1, &Nx.add(&1, 1), &Nx.backend_deallocate/1, &Emily.eval/1] do
      assert_raise ArgumentError, ~r/in the memory of #{node}.*backend_copy/, fn -> use.(t) end
    end
  end

  defp wait_for_members(name, left) do
    if :pg.get_members(Nx.Serving.PG, name) == [] and left > 0 do
      Process.sleep(50)
      wait_for_members(name, left - 1)
    end
  end
end
