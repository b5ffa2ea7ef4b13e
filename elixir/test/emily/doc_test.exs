defmodule Emily.DocTest do
  use ExUnit.Case, async: false

  doctest Emily
  doctest Emily.Backend
  doctest Emily.Case
  doctest Emily.Compiler
  doctest Emily.Doctor
  doctest Emily.Error
  doctest Emily.Fast
  doctest Emily.Memory
  doctest Emily.MlxStream.Default
  doctest Emily.Native
  doctest Emily.Native.Async
  # Files need Safetensors, which is there where models are.
  doctest Emily.Quantization, except: [save!: 2, load!: 1]
  doctest Emily.Quantization.Matrix
  doctest Emily.Stream
  doctest Emily.Telemetry

  # What it does is what Emily.Native waits for, and is shown in its module's documentation.
  @without_examples [Emily.Native.Async]

  test "every public function has documentation with an example, or is a behaviour's" do
    missing =
      for {module, name, arity, doc} <- functions(),
          not documented?(module, doc),
          do: {module, name, arity}

    assert missing == []
  end

  test "every public function has a spec, or is a behaviour's" do
    missing =
      for {module, name, arity, _doc} <- functions(),
          {name, arity} not in specs(module),
          do: {module, name, arity}

    assert missing == []
  end

  # Those that the documentation lists: of modules and with a doc that is not hidden.
  defp functions do
    functions =
      for module <- Application.spec(:emily, :modules),
          documented?(module),
          Path.relative_to_cwd(module.module_info(:compile)[:source]) =~ ~r"^lib/",
          {:docs_v1, _, _, _, _, _, docs} = Code.fetch_docs(module),
          {{:function, name, arity}, _, _, doc, _} <- docs,
          not (doc == :hidden or name == :child_spec or callback?(module, name, arity)),
          do: {module, name, arity, doc}

    assert functions |> Enum.uniq_by(&elem(&1, 0)) |> length() > 8
    functions
  end

  defp specs(module) do
    {:ok, specs} = Code.Typespec.fetch_specs(module)
    Enum.map(specs, fn {name_arity, _spec} -> name_arity end)
  end

  defp documented?(module, %{"en" => doc}), do: module in @without_examples or doc =~ "iex>"
  defp documented?(_module, :none), do: false

  defp documented?(module) do
    match?({:docs_v1, _, _, _, %{"en" => _}, _, _}, Code.fetch_docs(module))
  end

  defp callback?(module, name, arity) do
    module.module_info(:attributes)
    |> Keyword.get_values(:behaviour)
    |> List.flatten()
    |> Enum.any?(&({name, arity} in &1.behaviour_info(:callbacks)))
  end
end
