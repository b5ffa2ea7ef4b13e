# Operations beside NumPy, JAX, PyTorch and MLX, in one run: a row of JSON for each, with its bar.
#
#     MIX_ENV=prod mix run bench/ops.exs PYTHON ROUNDS
#
# `emily` is one call of Nx's that is awaited, `compiled` the same function by Emily.Compiler; peers.py has the same
# inputs. JAX is jitted, so operands that it casts first are cast in its call as well. The bar is about the peers
# named in the case, or about all.

Code.require_file("turns.exs", __DIR__)

defmodule Emily.Bench.Ops do
  alias Emily.Bench.{Peers, Turns}

  # Sums of the same numbers in 16 bits agree in four digits.
  @agreement 1.0e-3
  @sampled_ns 150_000_000
  @wide 4_194_304

  def main([python, rounds]) do
    rounds = String.to_integer(rounds)
    port = Peers.open(python, "ops", "-")
    for one <- cases(), do: one |> row(port, rounds) |> Turns.print()
    Port.close(port)
    for row <- own(rounds), do: Turns.print(row)
  end

  defp row(one, port, rounds) do
    ours = for way <- one.ways, do: ours(one, way)
    peers = Peers.ways(port, one.name)
    Turns.agree!(one.title, ours ++ peers, @agreement)
    medians = Turns.medians(ours ++ peers, rounds)
    judged = if one.against, do: Enum.filter(peers, &(elem(&1, 0) in one.against)), else: peers
    ratio = Turns.fastest(medians, ours) / Turns.fastest(medians, judged)
    %{name: one.title, by: medians, ratio: ratio, bar: one.bar}
  end

  defp ours(one, way) do
    inputs = Enum.map(one.inputs.(), &Emily.eval(Nx.backend_copy(&1, Emily.Backend)))

    fun =
      case way do
        "emily" -> one.fun
        "compiled" -> Nx.Defn.compile(one.fun, inputs, compiler: Emily.Compiler)
      end

    call = fn -> Emily.eval(apply(fun, inputs)) end
    {way, fn -> Turns.time(call, @sampled_ns) end, magnitude(call.())}
  end

  # In f64 it would be the same to the digits that are compared, and that is not turned on here.
  defp magnitude(tensor),
    do: tensor |> Nx.as_type(:f32) |> Nx.abs() |> Nx.mean() |> Nx.to_number()

  @xla ["jax"]

  defp cases do
    wide = fn -> [wave({@wide})] end
    positive = fn -> [Nx.add(wave({@wide}), 1.5)] end
    two = fn -> [wave({@wide}), wave({@wide}, 73)] end
    compiled = ["emily", "compiled"]

    [
      one("exp", "exp of 4M", wide, &Nx.exp/1, 1.0, @xla),
      one("log", "log of 4M", positive, &Nx.log/1, 1.0, @xla),
      one("tanh", "tanh of 4M", wide, &Nx.tanh/1, 1.0, @xla),
      one("sigmoid", "sigmoid of 4M", wide, &Nx.sigmoid/1, 1.0, @xla),
      one("sin", "sin of 4M", wide, &Nx.sin/1, 1.0, @xla),
      one("pow", "pow of 4M", fn -> positive.() ++ [wave({@wide}, 73)] end, &Nx.pow/2, 1.0, @xla),
      one("add", "add of 4M", two, &Nx.add/2, 1.0, @xla),
      one("erf", "erf of 4M", wide, &Nx.erf/1, 1.1, @xla),
      one("gelu", "gelu of 4M", wide, &gelu/1, 1.2, @xla, compiled),
      one("chain", "tanh(x/2 + 0.1)·x + exp(−x²) of 4M", wide, &chain/1, 1.2, @xla, compiled),
      one("softmax", "softmax of 1024²", matrix({1024, 1024}), &Emily.Fast.softmax/1, 1.0, @xla),
      one("sum", "sum of 4M", wide, &Nx.sum/1, 1.0, @xla),
      one("layer_norm", "layer_norm of 4096 × 1024", &norm_inputs/0, &layer_norm/3, 0.8, @xla),
      one("cumsum", "cumulative sum of 4096 × 1024", matrix({4096, 1024}), &cumsum/1, 0.2, @xla),
      one("sort", "sort of 1M", &mixed/0, &Nx.sort/1, 0.1, @xla),
      one("argsort", "stable argsort of 1M", &mixed/0, &Nx.argsort(&1, stable: true), 0.1, @xla),
      one("gather", "65,536 rows of 384", &rows/0, &Nx.take(&1, &2), 0.7, @xla)
    ] ++
      for size <- [256, 512, 1024, 2048] do
        inputs = fn -> [wave({size, size}), wave({size, size}, 73)] end
        one("matmul_#{size}", "matmul of #{size}³", inputs, &Nx.dot/2, 1.1)
      end ++
      [
        one("matmuls", "96 products of 128×64×128", &batches/0, &batched/2, 0.7),
        one("matmul_bf16", "matmul of 1024³, bf16", narrow(:bf16), &Nx.dot/2, 1.0),
        one("matmul_f16", "matmul of 1024³, f16", narrow(:f16), &Nx.dot/2, 1.2),
        one("conv", "conv 8×32×64×64, 3×3, 32", &images/0, &conv/2, 0.8, @xla),
        one("attention", "attention 8×12×128×64", &heads/0, &attention/3, 1.0, @xla),
        one(
          "max_pool",
          "max pool 2×2 of 8×32×64×64",
          fn -> tl(Enum.reverse(images())) end,
          &pool/1,
          1.0,
          @xla
        ),
        one("from_binary", "from_binary of 4 MB", fn -> [] end, from_binary(), 1.3)
      ]
  end

  defp one(name, title, inputs, fun, bar, against \\ nil, ways \\ ["emily"]) do
    %{name: name, title: title, inputs: inputs, fun: fun, bar: bar, against: against, ways: ways}
  end

  defp wave(shape, step \\ 37) do
    remainders = shape |> Nx.iota(type: :s64) |> Nx.multiply(step) |> Nx.remainder(1000)
    remainders |> Nx.as_type(:f32) |> Nx.divide(500) |> Nx.subtract(1)
  end

  defp scattered(count, below),
    do: {count} |> Nx.iota(type: :s64) |> Nx.multiply(7919) |> Nx.remainder(below)

  defp matrix(shape), do: fn -> [wave(shape)] end
  defp mixed, do: [Nx.as_type(scattered(1_048_576, 1_048_573), :f32)]
  defp rows, do: [wave({65_536, 384}), scattered(65_536, 65_521)]
  defp batches, do: [wave({96, 128, 64}), wave({96, 64, 128}, 73)]
  defp images, do: [wave({8, 32, 64, 64}), wave({32, 32, 3, 3}, 73)]
  defp heads, do: for(step <- [37, 73, 91], do: wave({8, 12, 128, 64}, step))
  defp norm_inputs, do: [wave({4096, 1024}), wave({1024}), wave({1024}, 73)]

  defp narrow(type) do
    fn -> for step <- [37, 73], do: {1024, 1024} |> wave(step) |> Nx.as_type(type) end
  end

  defp gelu(x), do: Nx.divide(Nx.multiply(x, Nx.add(1, Nx.erf(Nx.divide(x, :math.sqrt(2))))), 2)

  defp chain(x) do
    tanh = Nx.tanh(Nx.add(Nx.divide(x, 2), 0.1))
    Nx.add(Nx.multiply(tanh, x), Nx.exp(Nx.negate(Nx.multiply(x, x))))
  end

  defp layer_norm(x, weight, bias), do: Emily.Fast.layer_norm(x, weight, bias, eps: 1.0e-5)
  defp cumsum(x), do: Nx.cumulative_sum(x, axis: 1)
  defp batched(left, right), do: Nx.dot(left, [2], [0], right, [1], [0])
  defp conv(x, kernel), do: Nx.conv(x, kernel, padding: :same)
  defp attention(q, k, v), do: Emily.Fast.scaled_dot_product_attention(q, k, v)
  defp pool(x), do: Nx.window_max(x, {1, 1, 2, 2}, strides: [1, 1, 2, 2])

  defp from_binary do
    binary = Nx.to_binary(wave({1_048_576}))
    fn -> Nx.from_binary(binary, :f32) end
  end

  # What stands by itself; calls beside Nx's own share are bench.exs's.
  defp own(rounds) do
    inputs = [Emily.eval(wave({16})), Emily.eval(wave({4, 4}))]
    compiled = Nx.Defn.compile(&mixed_chain/2, inputs, compiler: Emily.Compiler)
    mixed = fn -> compiled |> apply(inputs) |> Nx.to_binary() end
    megabytes = Emily.eval(wave({1_048_576}))

    [
      at_most("150 mixed ops, compiled, and a read, bar 30 µs", mixed, 30_000, rounds),
      at_most("to_binary of 4 MB, bar 30 µs", fn -> Nx.to_binary(megabytes) end, 30_000, rounds)
    ]
  end

  # Thirty times five operations.
  defp mixed_chain(one, matrix) do
    Enum.reduce(1..30, one, fn _, x ->
      row = x |> Nx.reshape({4, 4}) |> Nx.transpose() |> Nx.multiply(matrix) |> Nx.reshape({16})
      Nx.max(row, one)
    end)
  end

  defp at_most(title, call, ns, rounds) do
    # Calls of microseconds are timed a thousand at a time.
    many = fn -> Enum.each(1..1000, fn _ -> call.() end) end
    ways = [{"emily", fn -> Turns.time(many, @sampled_ns) / 1000 end, nil}]
    medians = Turns.medians(ways, rounds)
    %{name: title, by: medians, ratio: medians["emily"] / ns, bar: 1.0}
  end
end

Nx.global_default_backend(Emily.Backend)
Emily.Bench.Ops.main(System.argv())
