defmodule Emily.DispatchTest do
  use ExUnit.Case, async: false

  setup do
    on_exit(fn -> Application.delete_env(:emily, :dispatch) end)
  end

  defp bad, do: Nx.remainder(Nx.tensor([1], backend: Emily.Backend), 0)

  test "pipelined, an error waits for the read" do
    t = bad()
    assert_raise ArithmeticError, fn -> Nx.to_binary(t) end
  end

  test ":sync raises at the call" do
    Application.put_env(:emily, :dispatch, :sync)
    assert_raise ArithmeticError, ~r/remainder/, &bad/0
    assert Nx.to_list(Nx.add(Nx.tensor([1], backend: Emily.Backend), 1)) == [2]
    {q, r} = Nx.LinAlg.qr(Nx.eye(2, type: :f32, backend: Emily.Backend))
    assert Nx.to_list(Nx.dot(q, r)) == [[1.0, 0.0], [0.0, 1.0]]
  end

  test "an unknown mode is told" do
    Application.put_env(:emily, :dispatch, :async)
    assert_raise ArgumentError, ~r/:pipelined, :sync, got: :async/, &bad/0
  end

  test "a queue over its bound makes the caller wait, and loses nothing" do
    t = Nx.tensor(0, type: :s32, backend: Emily.Backend)
    sum = Enum.reduce(1..20_000, t, fn _, t -> Nx.add(t, 1) end)
    assert Nx.to_number(sum) == 20_000
  end
end
