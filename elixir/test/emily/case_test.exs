defmodule Emily.CaseTest do
  use ExUnit.Case, async: true

  @moduletag :tmp_dir

  # The suite reads this file, in conformance/src/case/tests.rs.
  @recorded Path.expand("../../../conformance/src/case/recorded.toml", __DIR__)

  defp without_dates(text),
    do: String.replace(text, ~r/\d{4}([-_])\d\d[-_]\d\d/, "2026\\g{1}11\\g{1}27")

  test "a call is a case, with its operands to the bit", %{tmp_dir: folder} do
    floats = Nx.tensor([5.5, -0.0, :nan], backend: Emily.Backend)
    numbers = Nx.tensor([Complex.new(1, -2)], type: :c64, backend: Emily.Backend)

    two = Nx.tensor([2.0], backend: Emily.Backend)
    three = Nx.tensor(3, type: :u8, backend: Emily.Backend)

    record = fn ->
      Nx.remainder(floats, two)
      Nx.remainder(floats, three)
      Nx.sum(numbers, axes: [0], keep_axes: true)
    end

    [remainder, sum] = Emily.Case.record(record, [], to: folder, why: "it \"looks\" wrong")
    assert Enum.map([remainder, sum], &Path.basename/1) == ["remainder.toml", "sum.toml"]
    assert remainder |> File.read!() |> without_dates() == File.read!(@recorded)
    assert File.read!(sum) =~ "attrs = { axes = [0], dtype = \"c64\", keep_axes = true }"
    assert File.read!(sum) =~ ~s|in = ["c64[1] (#3f800000,#c0000000)"]|
  end

  test "what looks wrong is said in TOML's own escapes", %{tmp_dir: folder} do
    zero = Nx.tensor(0, backend: Emily.Backend)
    [file] = Emily.Case.record(&Nx.negate/1, [zero], to: folder, why: "use \#{x}\0 \"é\" \\")
    assert File.read!(file) =~ ~S(why = "use #{x}\u0000 \"é\" \\")
  end

  test "an error is recorded with the call that it is about", %{tmp_dir: folder} do
    zero = Nx.tensor(0, backend: Emily.Backend)
    [file] = Emily.Case.record(&Nx.to_number(Nx.quotient(&1, &2)), [zero, zero], to: folder)
    assert File.read!(file) =~ ~s(in = ["s32[] #00000000", "s32[] #00000000"])
  end

  test "an error before anything was called is raised", %{tmp_dir: folder} do
    tensor = Nx.tensor([1, 2], backend: Emily.Backend)

    assert_raise BadArityError, fn -> Emily.Case.record(&Nx.add/2, [tensor], to: folder) end

    assert_raise ArgumentError, ~r/cannot reshape/, fn ->
      Emily.Case.record(&Nx.reshape(&1, {7}), [tensor], to: folder)
    end
  end

  test "tensors of another backend are copied to Emily", %{tmp_dir: folder} do
    tensor = Nx.tensor([1, 2], type: :u8, backend: Nx.BinaryBackend)
    [file] = Emily.Case.record(&Nx.negate/1, [tensor], to: folder)
    assert File.read!(file) =~ ~s(in = ["u8[2] #01 #02"])
  end

  defmodule Pair do
    @moduledoc false
    defstruct [:left, :name]
  end

  test "so are those within lists, tuples, maps and structs", %{tmp_dir: folder} do
    tensor = Nx.tensor([1, 2], type: :u8, backend: Nx.BinaryBackend)

    for {arg, fun} <- [
          {[tensor, tensor], fn [left, right] -> Nx.add(left, right) end},
          {{1, tensor}, fn {1, right} -> Nx.add(right, right) end},
          {%{"a" => %{b: [tensor]}}, fn %{"a" => %{b: [t]}} -> Nx.add(t, t) end},
          {[t: {tensor, [axis: 0]}], fn [t: {t, [axis: 0]}] -> Nx.add(t, t) end},
          {%Pair{left: {tensor, 1}, name: "l"},
           fn %Pair{left: {t, 1}, name: "l"} -> Nx.add(t, t) end},
          {[tensor | :improper], fn [t | :improper] -> Nx.add(t, t) end}
        ] do
      [file] = Emily.Case.record(fun, [arg], to: folder)
      assert File.read!(file) =~ ~s(in = ["u8[2] #01 #02", "u8[2] #01 #02"])
    end

    # Nothing but tensors is changed.
    range = Date.range(~D[2026-01-01], ~D[2026-01-02])
    same = fn ^range, t -> Nx.negate(t) end
    assert [_file] = Emily.Case.record(same, [range, tensor], to: folder)
  end

  test "what is not on Emily, or too large, is told", %{tmp_dir: folder} do
    assert_raise ArgumentError, ~r/called no operation/, fn ->
      Emily.Case.record(fn -> 1 end, [], to: folder)
    end

    large = Nx.iota({65_537}, type: :u8, backend: Emily.Backend)

    assert_raise ArgumentError, ~r/over 65536 elements/, fn ->
      Emily.Case.record(&Nx.negate/1, [large], to: folder)
    end

    # The reference computes no more, and would take the right answer for a wrong one.
    one = Nx.tensor(1, type: :u8, backend: Emily.Backend)

    assert_raise ArgumentError, ~r/a result of \{67108865\} is over 67108864 elements/, fn ->
      Emily.Case.record(&Nx.broadcast(&1, {67_108_865}), [one], to: folder)
    end

    assert File.ls!(folder) == []
  end

  test "nothing is recorded afterwards, whatever way the function ends", %{tmp_dir: folder} do
    tensor = Nx.tensor([1], backend: Emily.Backend)
    record = &Emily.Case.record(fn -> Nx.negate(tensor) && &1.() end, [], to: folder)

    assert [_file] = record.(fn -> 1 end)
    assert Process.get({Emily.Case, :calls}) == nil
    assert [_file] = record.(fn -> raise "wrong" end)
    assert Process.get({Emily.Case, :calls}) == nil
    assert catch_throw(record.(fn -> throw(:out) end)) == :out
    assert Process.get({Emily.Case, :calls}) == nil
    assert catch_exit(record.(fn -> exit(:out) end)) == :out
    assert Process.get({Emily.Case, :calls}) == nil
  end

  test "a record within another is refused, and the other goes on", %{tmp_dir: folder} do
    tensor = Nx.tensor([1], backend: Emily.Backend)
    again = fn -> Emily.Case.record(&Nx.negate/1, [tensor], to: folder) end

    record = fn ->
      assert_raise ArgumentError, ~r/already recording/, again
      Nx.abs(tensor)
    end

    assert ["abs.toml"] =
             record |> Emily.Case.record([], to: folder) |> Enum.map(&Path.basename/1)
  end

  test "what was recorded stays: a later record is a file beside it", %{tmp_dir: folder} do
    record = fn element ->
      tensor = Nx.tensor([element], type: :u8, backend: Emily.Backend)
      [file] = Emily.Case.record(&Nx.negate/1, [tensor], to: folder)
      {Path.basename(file), File.read!(file)}
    end

    assert [{"negate.toml", first}, {"negate_2.toml", second}, {"negate_3.toml", third}] =
             Enum.map(1..3, record)

    assert File.read!(Path.join(folder, "negate.toml")) == first

    for {text, n} <- Enum.with_index([first, second, third], 1),
        do: assert(text =~ "u8[1] #0#{n}")

    names = for text <- [first, second, third], do: Regex.run(~r/^name = .*$/m, text)
    assert length(Enum.uniq(names)) == 3
  end
end
