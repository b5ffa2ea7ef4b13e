defmodule Emily.FallbackTest do
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  setup do
    on_exit(fn ->
      Application.delete_env(:emily, :fallback)
      Application.delete_env(:emily, :warn_on_fallback)
    end)
  end

  defp sinh(size), do: Nx.sinh(Nx.iota({size}, type: :f32, backend: Emily.Backend))

  test "it is silent unless configured" do
    assert capture_log(fn -> sinh(11) end) == ""
  end

  test ":warn logs once per operation and shapes" do
    Application.put_env(:emily, :fallback, :warn)
    log = capture_log(fn -> for _ <- 1..3, do: sinh(12) end)
    assert [_before, _after] = String.split(log, "Emily has no native sinh: sinh(f32[12])")
    assert capture_log(fn -> sinh(13) end) =~ "sinh(f32[13])"
    assert capture_log(fn -> sinh(12) end) == ""
  end

  test "the older boolean is :warn, unless :fallback is set" do
    Application.put_env(:emily, :warn_on_fallback, true)
    assert capture_log(fn -> sinh(14) end) =~ "sinh(f32[14])"
    Application.put_env(:emily, :fallback, :silent)
    assert capture_log(fn -> sinh(15) end) == ""
  end

  test ":raise is a RuntimeError on entry, seen by telemetry, and spares native operations" do
    Emily.TelemetryLog.attach([[:emily, :fallback, :exception]])
    Application.put_env(:emily, :fallback, :raise)
    t = Nx.iota({3}, type: :f32, backend: Emily.Backend)
    assert Nx.to_list(Nx.exp(Nx.add(t, 1))) |> length() == 3
    assert_raise RuntimeError, ~r/no native sinh: sinh\(f32\[3\]\).*:raise/, fn -> Nx.sinh(t) end
    assert [{_, _, %{op: :sinh, kind: :error}}] = Emily.TelemetryLog.flush()
  end

  test "an unknown policy is told" do
    Application.put_env(:emily, :fallback, :loud)
    assert_raise ArgumentError, ~r/:silent, :warn, :raise, got: :loud/, fn -> sinh(16) end
  end

  test "a result is on the operands' backend, with the template's names" do
    t = Nx.iota({2, 3}, names: [:x, :y], type: :f32, backend: {Emily.Backend, device: :cpu})
    result = Nx.reverse(t)
    assert %Nx.Tensor{data: %Emily.Backend{device: :cpu}, names: [:x, :y]} = result
  end

  test "a reduction's function may capture a tensor of ours, and gives one" do
    t = Nx.iota({4}, type: :s32, backend: Emily.Backend)
    step = Nx.tensor(10, backend: Emily.Backend)
    reduced = Nx.reduce(t, 0, fn x, acc -> x |> Nx.add(acc) |> Nx.add(step) end)
    assert Nx.to_number(reduced) == 46
    windows = Nx.window_reduce(t, 0, {2}, fn x, acc -> x |> Nx.add(acc) |> Nx.add(step) end)
    assert Nx.to_list(windows) == [21, 23, 25]
  end

  describe "a template that is a container" do
    @template Nx.template({2}, :s32, names: [:x])

    defp halves(t), do: {Nx.quotient(t, 2), Nx.remainder(t, 2)}

    test "is filled in its order, nested as it is" do
      t = Nx.tensor([7, 4], backend: {Emily.Backend, device: :cpu})
      wide = Nx.template({2}, :f32)

      {%{low: low, high: {high}}, same} =
        Emily.Fallback.run(:parts, {%{low: @template, high: {@template}}, wide}, [t], fn [t] ->
          assert %Nx.BinaryBackend{} = t.data
          {high, low} = halves(t)
          {%{high: {high}, low: low}, Nx.as_type(t, :f32)}
        end)

      for result <- [low, high, same], do: assert(%Emily.Backend{device: :cpu} = result.data)
      assert {high.names, low.names, same.names} == {[:x], [:x], [nil]}
      assert {Nx.to_list(high), Nx.to_list(low)} == {[3, 2], [1, 0]}
      assert {same.type, Nx.to_list(same)} == {{:f, 32}, [7.0, 4.0]}
    end

    test "is told of by policy and telemetry as any other" do
      Emily.TelemetryLog.attach([[:emily, :fallback, :stop]])
      t = Nx.tensor([7, 4], backend: Emily.Backend)

      run = fn ->
        Emily.Fallback.run(:parts, {@template, @template}, [t], fn [t] -> halves(t) end)
      end

      assert {%Nx.Tensor{}, %Nx.Tensor{}} = run.()
      assert [{_, _, %{op: :parts, input_shapes: [{2}]}}] = Emily.TelemetryLog.flush()
      Application.put_env(:emily, :fallback, :raise)
      assert_raise RuntimeError, ~r/no native parts: parts\(s32\[2\]\)/, run
    end

    test "is what a block of several results has, called and compiled" do
      struct = %URI{path: "an unknown block"}

      parts = fn t ->
        Nx.block(struct, [t], {@template, Nx.template({2}, :s32)}, fn ^struct, t -> halves(t) end)
      end

      t = Nx.tensor([7, 4], backend: Emily.Backend)

      for call <- [parts, Nx.Defn.jit(parts, compiler: Emily.Compiler)] do
        assert {%{data: %Emily.Backend{}} = high, %{data: %Emily.Backend{}} = low} = call.(t)
        assert {Nx.to_list(high), Nx.to_list(low)} == {[3, 2], [1, 0]}
      end
    end
  end

  test "the default backend of the caller is as it was" do
    Nx.with_default_backend({Emily.Backend, device: :cpu}, fn ->
      sinh(3)
      assert Nx.default_backend() == {Emily.Backend, device: :cpu}

      assert_raise RuntimeError, "mine", fn ->
        Nx.reduce(Nx.iota({2}), 0, fn _x, _acc -> raise "mine" end)
      end

      assert Nx.default_backend() == {Emily.Backend, device: :cpu}
    end)
  end

  test "the list of fallbacks and the callbacks of Nx agree" do
    names = Nx.Backend.behaviour_info(:callbacks) |> Keyword.keys()
    assert Emily.Backend.fallbacks() -- names == []
    assert length(names) - length(Emily.Backend.fallbacks()) >= 21
  end
end
