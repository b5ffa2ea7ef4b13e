defmodule Emily.TestNode do
  @moduledoc """
  Other VMs with Emily in them, for what cannot be tried in this one.
  """

  @doc """
  Starts a VM that only this process talks to, through its standard input and output. `env` is its
  environment, `config` the environment of its `:emily` application.
  """
  def start(env \\ [], config \\ []) do
    env = for {name, value} <- env, do: {String.to_charlist(name), String.to_charlist(value)}
    {:ok, peer, _node} = :peer.start_link(%{connection: :standard_io, env: env, args: paths()})
    boot(&:peer.call(peer, &1, &2, &3, 60_000), config)
    peer
  end

  @doc "Starts a VM that is connected to this one, which is made a node for the test's time."
  def start_connected do
    {peer, node} = start_mortal(:peer.random_name(~c"emily"))
    ExUnit.Callbacks.on_exit(fn -> :peer.stop(peer) end)
    node
  end

  @doc "The same, of this name: who starts it ends it, as `:peer.stop/1` or `kill/2` does."
  def start_mortal(name) do
    ensure_distributed()

    {:ok, peer, node} =
      :peer.start(%{name: name, host: ~c"127.0.0.1", longnames: true, args: paths()})

    boot(&:erpc.call(node, &1, &2, &3), [])
    {peer, node}
  end

  @doc "Ends a VM as the system would, without a word."
  def kill({peer, node}) do
    pid = :erpc.call(node, System, :pid, [])
    {_out, 0} = System.cmd("kill", ["-KILL", pid])
    ref = Process.monitor(peer)
    receive do: ({:DOWN, ^ref, :process, ^peer, _reason} -> :ok)
  end

  defp boot(call, config) do
    {:ok, _apps} = call.(:application, :ensure_all_started, [:elixir])
    :ok = call.(:application, :load, [:emily])
    for {key, value} <- config, do: :ok = call.(Application, :put_env, [:emily, key, value])
    {:ok, _apps} = call.(Application, :ensure_all_started, [:emily])
  end

  defp wait_for_epmd(left) do
    {_out, status} = System.cmd("epmd", ["-names"], stderr_to_stdout: true)

    if status != 0 and left > 0 do
      Process.sleep(20)
      wait_for_epmd(left - 1)
    end
  end

  defp paths, do: Enum.flat_map(:code.get_path(), &[~c"-pa", &1])

  defp ensure_distributed do
    if not Node.alive?() do
      # Does nothing where the daemon runs already.
      {_out, 0} = System.cmd("epmd", ["-daemon"])
      wait_for_epmd(100)
      name = :"emily_#{System.unique_integer([:positive])}_#{System.pid()}@127.0.0.1"
      {:ok, _pid} = :net_kernel.start(name, %{name_domain: :longnames})

      # The daemon ends if it has no other node to tell of.
      ExUnit.Callbacks.on_exit(fn ->
        :ok = :net_kernel.stop()
        System.cmd("epmd", ["-kill"], stderr_to_stdout: true)
      end)
    end
  end
end
