defmodule Emily.SchedulerTest do
  @moduledoc """
  No call keeps a scheduler for long, whatever it is given and whatever ends with it.

  The VM itself reports processes that keep one for 5 ms. On a busy machine it also reports those
  that had to wait in the middle, so a call is at fault if it is reported every time it is tried.
  """

  use ExUnit.Case, async: false

  alias Emily.Native
  alias Emily.Native.NIF

  @tries 5
  @long 5
  @large 300_000_000
  @many 2_000_000

  setup do
    {:ok, worker} = Native.start_worker(:cpu)
    {:ok, small} = Native.from_binary(worker, :u8, {1}, <<1>>)
    on_exit(fn -> :persistent_term.erase(__MODULE__) end)
    %{worker: worker, small: small}
  end

  defp large(worker) do
    {:ok, [tensor]} = Native.iota(worker, [], %{dtype: :u8, shape: {@large}})
    :ok = Native.eval(tensor)
    tensor
  end

  # A program that gives twice its operand, so many times.
  defp twice(count) do
    program = {[{:u8, {1}}], [], {[{[1], :add, %{}, [0, 0]}], List.duplicate(1, count)}}
    {:ok, program} = Native.compile_program(program)
    program
  end

  # Whether a process that prepares something is reported every time that it goes on to call `fun`.
  defp long?(prepare, fun) do
    Enum.all?(1..@tries, fn _try ->
      test = self()

      {pid, ref} =
        spawn_monitor(fn ->
          given = prepare.()
          send(test, :ready)
          receive do: (:go -> :ok)
          fun.(given)
          send(test, :done)
          receive do: (:end -> :ok)
        end)

      receive do: (:ready -> :ok)
      Process.sleep(@long)
      :erlang.system_monitor(self(), [{:long_schedule, @long}])
      send(pid, :go)

      receive do
        :done -> :ok
        {:DOWN, ^ref, _, _, _} -> send(test, :ended)
      end

      Process.sleep(@long)
      :erlang.system_monitor(:undefined)
      Process.exit(pid, :kill)
      reported?(pid)
    end)
  end

  defp reported?(pid) do
    receive do
      {:monitor, ^pid, :long_schedule, _info} -> true
      {:monitor, _other, :long_schedule, _info} -> reported?(pid)
    after
      0 -> false
    end
  end

  # As above, of a call with a term that is too large to be copied or collected in between.
  defp long_with?(term, fun) do
    :persistent_term.put(__MODULE__, term)
    long?(fn -> :persistent_term.get(__MODULE__) end, fun)
  end

  test "the check sees a call that takes long" do
    list = Enum.to_list(1..@many)
    assert long_with?(list, fn list -> for _ <- 1..20, do: :erlang.list_to_tuple(list) end)
  end

  describe "large tensors are freed elsewhere:" do
    test "released", %{worker: worker} do
      refute long?(fn -> large(worker) end, &Native.release/1)
    end

    test "garbage", %{worker: worker} do
      refute long?(
               fn -> Process.put(:tensor, large(worker)) end,
               fn _given ->
                 Process.delete(:tensor)
                 :erlang.garbage_collect()
               end
             )
    end

    test "of a process that ends", %{worker: worker} do
      refute long?(fn -> large(worker) end, fn _tensor -> exit(:normal) end)
    end

    test "as binaries", %{worker: worker} do
      prepare = fn ->
        tensor = large(worker)
        {:ok, binary} = Native.read(tensor)
        Native.release(tensor)
        Process.put(:binary, binary)
        :ok
      end

      refute long?(prepare, fn _given ->
               Process.delete(:binary)
               :erlang.garbage_collect()
             end)
    end

    test "and the figures count them no more", %{worker: worker} do
      {:ok, %{active: before}} = Native.memory_stats()

      for _ <- 1..3 do
        tensor = large(worker)
        {:ok, %{active: active}} = Native.memory_stats()
        assert active - before > @large - 1_000_000
        Native.release(tensor)
        {:ok, %{active: active}} = Native.memory_stats()
        assert active - before < 1_000_000
      end
    end

    test "and what comes next has their room", %{worker: worker} do
      # What other tests left would make room as well.
      for pid <- Process.list(), do: :erlang.garbage_collect(pid)
      {:ok, %{active: active}} = Native.memory_stats()
      {:ok, limit} = Native.set_memory_limit(active + 3 * @large + 100_000_000)
      on_exit(fn -> Native.set_memory_limit(limit) end)

      for _ <- 1..5 do
        tensor = large(worker)
        {:ok, %{active: active}} = Native.memory_stats()
        full = Native.set_memory_limit(active)
        # More than what is this process's garbage, which is collected for it.
        more = <<0::80_000_000>>
        assert {:error, %{kind: :memory}} = Native.from_binary(worker, :u8, {10_000_000}, more)
        Native.release(tensor)
        assert {:ok, _small} = Native.from_binary(worker, :u8, {1000}, <<0::8000>>)
        assert {:ok, limit} = full
        assert {:ok, _full} = Native.set_memory_limit(limit)
      end
    end
  end

  describe "too much is refused at once:" do
    for {name, many} <- [list: quote(do: & &1), tuple: quote(do: &List.to_tuple/1)] do
      test "an attribute of many entries, a #{name}", %{worker: worker, small: small} do
        many = unquote(many).(Enum.to_list(0..@many))
        refute long_with?(many, &Native.transpose(worker, [small], %{axes: &1}))
        assert {:error, error} = Native.transpose(worker, [small], %{axes: many})
        assert error.message =~ "more than 64 entries"
      end

      test "a shape of many dimensions, a #{name}", %{worker: worker} do
        many = unquote(many).(Enum.to_list(0..@many))
        refute long_with?(many, &Native.from_binary(worker, :u8, &1, <<>>))
        assert {:error, error} = Native.from_binary(worker, :u8, many, <<>>)
        assert error.message =~ "more than 64 entries"
      end
    end

    test "many operands", %{worker: worker, small: small} do
      many = List.duplicate(small, 100_000)
      refute long_with?(many, &Native.concatenate(worker, &1, %{axis: 0}))
      assert {:ok, [all]} = Native.concatenate(worker, many, %{axis: 0})
      assert Native.type(all) == {:u8, {100_000}}
      assert_raise ArgumentError, fn -> NIF.apply_op(worker, :concatenate, %{axis: 0}, many) end
    end

    test "as many operands as the library takes there are read there, and one more is not", %{
      worker: worker,
      small: small
    } do
      few = List.duplicate(small, 256)
      assert {:ok, [_all]} = NIF.apply_op(worker, :concatenate, %{axis: 0}, few)
      more = [small | few]
      assert_raise ArgumentError, fn -> NIF.apply_op(worker, :concatenate, %{axis: 0}, more) end

      for operands <- [few, more] do
        assert {:ok, [all]} = Native.concatenate(worker, operands, %{axis: 0})
        assert Native.type(all) == {:u8, {length(operands)}}
      end
    end

    test "a program of as many results as operands is run there, and of one more is not", %{
      worker: worker,
      small: small
    } do
      for {count, few?} <- [{256, true}, {257, false}] do
        program = twice(count)
        assert match?({:ok, _results}, NIF.run_program(worker, program, [small])) == few?
        assert {:ok, results} = Native.run_program(worker, program, [small])
        assert Enum.map(results, &Native.read/1) == List.duplicate({:ok, <<2>>}, count)
      end
    end

    test "a program of many results", %{worker: worker, small: small} do
      program = twice(60_000)
      refute long?(fn -> program end, &Native.run_program(worker, &1, [small]))
    end

    test "many operands that are none", %{worker: worker, small: small} do
      none = Enum.to_list(0..@many)
      refute long_with?(none, &catch_error(Native.concatenate(worker, &1, %{axis: 0})))
      refute long_with?(none, &catch_error(NIF.apply_op(worker, :concatenate, %{axis: 0}, &1)))
      improper = List.duplicate(small, 100_000) ++ small
      refute long_with?(improper, &catch_error(Native.concatenate(worker, &1, %{axis: 0})))
    end

    test "whatever is no attribute, or no name", %{worker: worker, small: small} do
      list = Enum.to_list(0..@many)
      text = :binary.copy("text", 10_000_000)

      constant = fn value ->
        attrs = %{value: value, dtype: :f32, shape: {}}
        {:error, error} = NIF.apply_op(worker, :constant, attrs, [])
        assert byte_size(error.message) < 1000
      end

      for term <- [
            list,
            List.to_tuple(list),
            Map.new(list, &{&1, &1}),
            Enum.reduce(1..@many, [], fn _, inner -> [inner] end),
            Enum.reduce(1..@many, %{}, fn _, inner -> %{a: inner} end),
            text,
            <<text::binary, 255>>,
            <<text::binary, 1::1>>,
            Bitwise.bsl(1, 10_000_000),
            fn -> text end
          ] do
        refute long_with?(term, &NIF.apply_op(worker, :sum, &1, [small]))
        refute long_with?(term, &NIF.apply_op(worker, :sum, %{axes: &1}, [small]))
        refute long_with?(term, &NIF.apply_op(worker, :sum, %{axes: [&1]}, [small]))
        refute long_with?(term, &NIF.apply_op(worker, :sum, %{keep_axes: &1}, [small]))
        refute long_with?(term, &NIF.apply_op(worker, :sum, %{&1 => 1}, [small]))
        refute long_with?(term, &NIF.apply_op(worker, &1, %{}, [small]))
        refute long_with?(term, &NIF.apply_op(worker, :as_type, %{dtype: &1}, [small]))
        refute long_with?(term, &constant.(&1))
        refute long_with?(term, &constant.([1, 2, &1]))
        refute long_with?(term, &NIF.from_binary(worker, &1, {}, <<1>>))
        refute long_with?(term, &NIF.from_binary(worker, :u8, &1, <<1>>))
        refute long_with?(term, &NIF.from_binary(worker, :u8, {&1}, <<1>>))
      end
    end
  end

  # The only scheduler for what waits on the system opens a pipe that nobody writes to; whatever is answered
  # meanwhile ran elsewhere. No code can be loaded then, so that this is compiled.
  @probes """
  {:ok, _apps} = Application.ensure_all_started(:emily)

  defmodule Probes do
    alias Emily.Native.NIF

    def run(pipe) do
      ask(:opened, fn -> :file.open(pipe, [:read, :raw]) end)
      receive do: (:never -> :ok), after: (100 -> :ok)
      ask(:gpu, fn -> NIF.gpu_available() end)
      ask(:default, fn -> NIF.start_worker(:default, false) end)
      ask(:worker, fn -> NIF.start_worker(:gpu, false) end)
      ask(:version, fn -> NIF.mlx_version() end)
      receive do: ({:version, _version} -> :ok)
      receive do: (:never -> :ok), after: (200 -> :ok)
      {:messages, early} = :erlang.process_info(self(), :messages)
      :erlang.open_port({:spawn, ~c"sh -c ': > " ++ pipe ++ ~c"'"}, [])
      receive do: ({:opened, {:ok, _file}} -> :ok)
      receive do: ({:default, {:ok, _worker}} -> :ok)
      receive do: ({:gpu, gpu} -> true = is_boolean(gpu))
      receive do: ({:worker, _result} -> :ok)
      [] = early
    end

    defp ask(name, fun) do
      script = self()
      spawn(fn -> send(script, {name, fun.()}) end)
    end
  end

  Probes.run(String.to_charlist(hd(System.argv())))
  """

  test "a GPU is looked for where calls may wait" do
    pipe = Path.join(System.tmp_dir!(), "emily-pipe-#{System.pid()}")
    {_out, 0} = System.cmd("mkfifo", [pipe])
    on_exit(fn -> File.rm!(pipe) end)
    paths = Enum.flat_map(:code.get_path(), &["-pa", to_string(&1)])
    args = ["--erl", "+SDio 1"] ++ paths ++ ["-e", @probes, pipe]
    assert {"", 0} = System.cmd("elixir", args, stderr_to_stdout: true)
  end
end
