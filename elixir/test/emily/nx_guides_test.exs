defmodule Emily.NxGuidesTest do
  # guides/backend_documentation: what these pages say of Nx's functions beside what they are generated from.
  use ExUnit.Case, async: true

  @folder Path.expand("../../guides/backend_documentation", __DIR__)
  @nx File.read!(Path.join(@folder, "nx.md"))
  @lin_alg File.read!(Path.join(@folder, "nx_lin_alg.md"))

  test "the functions in their tables are Nx's" do
    for {page, module, least} <- [{@nx, Nx, 100}, {@lin_alg, Nx.LinAlg, 8}] do
      names = Regex.scan(~r"`#{inspect(module)}\.([a-z]\w*)`", page, capture: :all_but_first)
      exported = Enum.map(module.__info__(:functions), fn {name, _arity} -> to_string(name) end)
      assert length(names) >= least
      assert List.flatten(names) -- exported == []
    end
  end

  test "what is said to run on Nx.BinaryBackend is all that does" do
    [_before, section] = String.split(@nx, "## What runs on `Nx.BinaryBackend`\n")
    [sentence | _rest] = String.split(section, ":", parts: 2)
    named = Regex.scan(~r"`Nx\.(\w+)/\d`", sentence, capture: :all_but_first)
    assert Enum.sort(List.flatten(named)) == Enum.map(Emily.Backend.fallbacks(), &to_string/1)
  end

  test "what is said to be refused is" do
    t = Nx.tensor([1.0], backend: Emily.Backend)

    for call <- [
          fn -> Nx.to_pointer(t) end,
          fn -> Nx.from_pointer(Emily.Backend, 0, {:f, 32}, {1}) end,
          fn -> Nx.as_type(t, :c128) end,
          fn -> Nx.as_type(t, :f8) end,
          fn -> Nx.as_type(t, :f8_e4m3fn) end
        ] do
      assert_raise ArgumentError, call
    end
  end

  test "a matrix without an answer has none where the page says so" do
    singular = Nx.tensor([[1.0, 1.0], [1.0, 1.0]], backend: Emily.Backend)
    ones = Nx.tensor([1.0, 2.0], backend: Emily.Backend)

    for call <- [
          &Nx.LinAlg.solve(&1, ones),
          &Nx.LinAlg.triangular_solve(Nx.multiply(&1, 0), ones),
          &Nx.LinAlg.cholesky(Nx.negate(&1))
        ] do
      assert_raise ArgumentError, fn -> singular |> call.() |> Nx.to_binary() end
    end

    assert singular |> Nx.LinAlg.invert() |> Nx.is_nan() |> Nx.all() |> Nx.to_number() == 1
  end
end
