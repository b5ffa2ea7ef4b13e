defmodule Emily.Soak.QuantizedMemoryTest do
  use ExUnit.Case, async: false

  alias Emily.{Quantization, Soak}
  alias Emily.Soak.{Network, Tally}

  @moduletag timeout: :infinity

  @tag soak: "quantized_memory"
  test "packing weights and multiplying with them leaves nothing" do
    Soak.run(:quantized_memory, &start/0, &turn/2, iterations: 5_000)
  end

  defp start do
    backend = Soak.backend()
    matrix = Network.random({128, 128}, 1.0, 1, backend)
    rows = Network.random({8, 128}, 1.0, 2, backend)
    {matrix, rows, matrix |> product(rows) |> :binary.copy()}
  end

  defp product(matrix, rows) do
    {packed, scales, biases} = Quantization.quantize(matrix)
    rows |> Quantization.quantized_matmul(packed, scales, biases) |> Nx.to_binary()
  end

  defp turn({matrix, rows, want} = state, tally) do
    with {:ok, bits} <- Tally.ask(tally, fn -> product(matrix, rows) end),
         do: Tally.same(tally, "a product", bits, want)

    state
  end
end
