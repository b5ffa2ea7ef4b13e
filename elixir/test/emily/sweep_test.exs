defmodule Emily.SweepTest do
  use ExUnit.Case, async: true

  import Emily.Compare, only: [assert_both: 3, eps: 1]

  for {name, _inputs, _fun, _tolerance} <- Emily.Sweep.calls() do
    test name do
      {_, inputs, fun, tolerance} = List.keyfind(Emily.Sweep.calls(), unquote(name), 0)
      assert_both(inputs, fun, tolerance)
    end
  end

  test "names are unique" do
    names = Enum.map(Emily.Sweep.calls(), &elem(&1, 0))
    assert names -- Enum.uniq(names) == []
  end

  # The signs of Q's columns are the algorithm's own; what a decomposition promises is not.
  test "QR keeps its promise, reduced and complete, also in batches" do
    for {shape, mode} <- [{{3, 3}, :reduced}, {{4, 2}, :complete}, {{2, 2, 3}, :reduced}] do
      a = Nx.sin(Nx.iota(shape, type: :f32, backend: Emily.Backend))
      {q, r} = Nx.LinAlg.qr(a, mode: mode)
      rank = tuple_size(shape)
      batch = if rank == 3, do: [0], else: []
      product = Nx.dot(q, [rank - 1], batch, r, [rank - 2], batch)

      # 8 · eps · dimension · norm, as the row has it; the norm of a is at most its size's root.
      bound = 8 * eps({:f, 32}) * 4 * :math.sqrt(Nx.size(shape))
      assert Nx.subtract(product, a) |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number() <= bound
      below = Nx.subtract(r, Nx.triu(r)) |> Nx.abs() |> Nx.reduce_max() |> Nx.to_number()
      assert below == 0.0
      {q_want, r_want} = Nx.LinAlg.qr(Nx.backend_copy(a), mode: mode)
      assert {q.shape, r.shape, q.type} == {q_want.shape, r_want.shape, q_want.type}
    end
  end

  test "decompositions without a native operation run their default function here" do
    a = Nx.tensor([[4.0, 1.0], [1.0, 3.0]])

    for call <- [
          &Nx.LinAlg.cholesky/1,
          &Nx.LinAlg.lu/1,
          &Nx.LinAlg.determinant/1,
          &Nx.LinAlg.solve(&1, Nx.tensor([1.0, 2.0]))
        ] do
      want = a |> call.() |> flat()
      got = a |> Nx.backend_copy(Emily.Backend) |> call.() |> flat()
      # A handful of operations on numbers below 16, each within two roundings.
      for {g, w} <- Enum.zip(got, want), do: assert_in_delta(g, w, 32 * 16 * eps({:f, 32}))
    end
  end

  defp flat(tuple) when is_tuple(tuple) and not is_struct(tuple) do
    tuple |> Tuple.to_list() |> Enum.flat_map(&flat/1)
  end

  defp flat(tensor), do: Nx.to_flat_list(tensor)

  test "the sweep calls every callback of Nx.Backend" do
    test = self()
    collector = spawn_link(fn -> collect(test, MapSet.new()) end)
    :erlang.trace_pattern({Emily.Backend, :_, :_}, true, [])
    :erlang.trace(self(), true, [:call, {:tracer, collector}])

    for {_name, inputs, fun, tolerance} <- Emily.Sweep.calls() do
      assert_both(inputs, fun, tolerance)
    end

    t = Nx.tensor([1], backend: Emily.Backend)
    inspect(t)
    assert_raise ArgumentError, fn -> Nx.to_pointer(t) end
    assert_raise ArgumentError, fn -> Nx.from_pointer(Emily.Backend, 0, {:u, 8}, {1}) end
    Nx.backend_deallocate(Nx.backend_copy(t, Emily.Backend))
    Nx.backend_transfer(t)

    :erlang.trace(self(), false, [:call])
    ref = :erlang.trace_delivered(self())
    assert_receive {:trace_delivered, _, ^ref}
    send(collector, :done)
    assert_receive {:called, called}
    assert Nx.Backend.behaviour_info(:callbacks) -- MapSet.to_list(called) == []
  end

  defp collect(test, called) do
    receive do
      {:trace, _pid, :call, {Emily.Backend, name, args}} ->
        collect(test, MapSet.put(called, {name, length(args)}))

      :done ->
        send(test, {:called, called})
    end
  end
end
