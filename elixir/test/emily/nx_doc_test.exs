defmodule Emily.NxDocTest do
  # Nx's own documentation, on Emily.
  use ExUnit.Case, async: false

  alias Emily.Examples

  @modules [Nx, Nx.LinAlg, Nx.Random, Nx.Constants]

  # Examples of types that MLX does not have are refused, and the others of their function still run.
  @refused %{
    "Nx.bit_size/1" => ["u2"],
    "Nx.tensor/2" => ["f8", "f8_e4m3fn"],
    "Nx.Constants.e/2" => ["f8"],
    "Nx.Constants.epsilon/2" => ["f8"],
    "Nx.Constants.euler_gamma/2" => ["f8"],
    "Nx.Constants.i/2" => ["c128"],
    "Nx.Constants.infinity/2" => ["f8"],
    "Nx.Constants.nan/2" => ["f8"],
    "Nx.Constants.neg_infinity/2" => ["f8"],
    "Nx.Constants.pi/2" => ["f8"],
    "Nx.Constants.smallest_positive_normal/2" => ["f8"]
  }

  # What else is left out, and why.
  @except %{
    "Nx.LinAlg.eigh/2" => "shows eigenvectors, whose signs are open",
    "Nx.LinAlg.least_squares/3" =>
      "shows the rounding of Nx.BinaryBackend in the place of a zero",
    "Nx.LinAlg.matrix_power/2" => "shows the error of Nx's own elimination, in the sixth digit",
    "Nx.LinAlg.pinv/2" => "shows the error of Nx.BinaryBackend's iteration, in the fifth digit"
  }

  setup context do
    Emily.Defaults.set({Emily.Backend, device: :cpu, f64: true}, context[:defn] || [])
    Application.put_env(:emily, :add_backend_on_inspect, false)
    on_exit(fn -> Application.delete_env(:emily, :add_backend_on_inspect) end)
  end

  for module <- @modules, {{name, arity}, examples} <- Examples.of(module) do
    function = "#{inspect(module)}.#{name}/#{arity}"

    for {how, options} <- [eager: [], compiled: [compiler: Emily.Compiler]],
        not is_map_key(@except, function) do
      @tag defn: options
      test "#{function} #{how}" do
        assert Examples.run(unquote(examples)) == {:ok, Map.get(@refused, unquote(function), [])}
      end
    end
  end
end
