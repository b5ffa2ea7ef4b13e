defmodule Emily.ReloadTest do
  @moduledoc """
  What loading the library's module again does, as `l/1`, `recompile/0` and a release upgrade do: in
  VMs of their own, since others' calls would meet it.
  """

  use ExUnit.Case, async: true

  alias Emily.TestNode

  @prelude """
  alias Emily.Native
  alias Emily.Native.NIF

  reload = fn ->
    :code.purge(NIF)
    :code.load_file(NIF)
  end

  {:ok, worker} = Native.start_worker(:cpu)
  {:ok, tensor} = Native.from_binary(worker, :u8, {2}, <<1, 2>>)
  works = fn -> Native.status() == :ok and Native.read(tensor) == {:ok, <<1, 2>>} end
  """

  # What the script gives in a fresh VM.
  defp run(script, env \\ []) do
    peer = TestNode.start(env)
    {value, _bindings} = :peer.call(peer, Code, :eval_string, [@prelude <> script], 60_000)
    :peer.stop(peer)
    value
  end

  test "workers, tensors, binaries and requests outlive it" do
    script = """
    {:ok, binary} = Native.read(tensor)
    matrix = %{dtype: :f32, shape: {600, 600}}
    {:ok, [iota]} = Native.iota(worker, [], matrix)
    contract = %{contract_left: [1], contract_right: [0]}

    product =
      Enum.reduce(1..20, iota, fn _, product ->
        {:ok, [product]} = Native.dot(worker, [product, iota], contract)
        product
      end)

    request = Native.Async.read(product)
    loaded = for _ <- 1..5, do: reload.()
    :code.purge(NIF)
    {:ok, bytes} = Native.Async.await(request, 60_000)
    {:ok, [sum]} = Native.add(worker, [tensor, tensor])
    {Enum.uniq(loaded), works.(), byte_size(bytes), binary, Native.read(sum)}
    """

    assert run(script) ==
             {[{:module, Emily.Native.NIF}], true, 600 * 600 * 4, <<1, 2>>, {:ok, <<2, 4>>}}
  end

  test "what was made before is still freed" do
    script = """
    size = 20_000_000
    script = self()

    hold = fn ->
      {:ok, large} = Native.from_binary(worker, :u8, {size}, :binary.copy(<<7>>, size))
      {:ok, binary} = Native.read(large)
      send(script, :held)
      receive do: (:go -> {large, binary})
    end

    active = fn ->
      :ok = Native.clear_cache(worker)
      {:ok, %{active: active}} = Native.memory_stats()
      active
    end

    before = active.()
    holders = for _ <- 1..3, do: spawn_monitor(hold)
    for _ <- holders, do: receive(do: (:held -> :ok))
    held = active.()
    for _ <- 1..2, do: reload.()
    :code.purge(NIF)
    still = active.()

    for {pid, ref} <- holders do
      send(pid, :go)
      receive do: ({:DOWN, ^ref, _, _, _} -> :ok)
    end

    Process.sleep(200)
    {held - before, still - before, active.() - before}
    """

    assert run(script) == {60_000_000, 60_000_000, 0}
  end

  test "the library in use stays, wherever another one is" do
    copy = Path.join(System.tmp_dir!(), "emily_reload_#{System.pid()}.so")
    on_exit(fn -> File.rm(copy) end)
    File.cp!(Path.join(:code.priv_dir(:emily), "native/libemily_nif.so"), copy)
    script = "System.put_env(\"EMILY_NIF\", #{inspect(copy)})\n{reload.(), works.()}"
    assert run(script) == {{:module, Emily.Native.NIF}, true}
  end

  test "code with another list of operations is refused, and the old code works on" do
    script = """
    Logger.configure(level: :none)
    Code.put_compiler_option(:ignore_module_conflict, true)
    Code.eval_string("defmodule Emily.Native.Ops, do: def(fingerprint, do: \\"0\\")")
    {reload.(), reload.(), works.()}
    """

    refused = {:error, :on_load_failure}
    assert run(script) == {refused, refused, true}
  end

  test "code that was deleted is loaded anew" do
    script = """
    :code.delete(NIF)
    kept = works.()
    for _ <- 1..2, do: :code.purge(NIF)
    again = works.()
    :code.delete(NIF)
    :code.purge(NIF)
    {:ok, worker} = Native.start_worker(:cpu)
    {:ok, tensor} = Native.from_binary(worker, :u8, {1}, <<3>>)
    {kept, again, Native.read(tensor)}
    """

    assert run(script) == {true, true, {:ok, <<3>>}}
  end
end
