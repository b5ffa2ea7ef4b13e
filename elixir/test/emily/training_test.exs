defmodule Emily.TrainingTest do
  @moduledoc """
  Training curves: the loss at each step, beside `Nx.BinaryBackend`'s in `f64`.

  How near is derived, not chosen. Rounding is modelled as noise (Monte Carlo arithmetic): twins of the
  run, in `f64`, have each parameter moved before each step by a random part of what one rounding in the
  judged type may move it, so that what amplifies rounding is allowed it. A step rounds at some sixteen
  places between a parameter and the loss, whose errors are independent and so add up to four times one's.
  """

  use ExUnit.Case, async: false

  alias Emily.{Defaults, Networks}

  @emily {Emily.Backend, device: :cpu, f64: true}
  @size 6
  @classes 3
  @batch 8
  @steps 60
  @rate 0.2
  @twins 4
  @chain 4
  @eps %{f64: 2.0 ** -52, f32: 2.0 ** -23, bf16: 2.0 ** -7}

  for network <- [:perceptron, :convolutional, :transformer] do
    describe "a #{network} network" do
      @describetag timeout: 180_000

      test "learns as on Nx.BinaryBackend, step by step" do
        network = unquote(network)
        reference = curve(network, :f64, Nx.BinaryBackend, Nx.Defn.Evaluator)
        assert List.last(reference) < 0.5 * hd(reference)

        for {type, _} <- @eps, compiler <- [Nx.Defn.Evaluator, Emily.Compiler] do
          found = curve(network, type, @emily, compiler)
          wide = widths(network, type, reference)

          apart =
            for {{wanted, found, wide}, step} <-
                  Enum.with_index(Enum.zip([reference, found, wide])),
                not (abs(wanted - found) <= wide),
                do: {step, wanted, found, wide}

          assert apart == [], "#{type}, #{inspect(compiler)}"
        end
      end
    end
  end

  # How far rounding may lead the loss at each step: as far as in the twin that strays the most, up to
  # there, and a rounding of the loss itself.
  defp widths(network, type, reference) do
    eps = Map.fetch!(@eps, type)
    still = curve(network, :f64, @emily, Emily.Compiler)

    1..@twins
    |> Enum.map(fn seed ->
      twin = curve(network, :f64, @emily, Emily.Compiler, noise(eps, seed))
      Enum.zip_with(twin, still, &abs(&1 - &2))
    end)
    |> Enum.zip_with(&Enum.max/1)
    |> Enum.scan(&max/2)
    |> Enum.zip_with(reference, &(@chain * (&1 + eps * &2)))
  end

  # Factors of each parameter at each step.
  defp noise(eps, seed) do
    fn step, params ->
      params
      |> Tuple.to_list()
      |> Enum.with_index(fn param, i ->
        moves = uniform(Nx.shape(param), seed * 10_000 + step * 100 + i)
        Nx.multiply(param, Nx.add(1.0, Nx.multiply(eps, moves)))
      end)
      |> List.to_tuple()
    end
  end

  defp curve(network, type, backend, compiler, noise \\ fn _step, params -> params end) do
    Defaults.set(backend)
    {params, images, labels} = start(network)
    kept = if type == :f64, do: :f64, else: :f32
    [images, labels] = Enum.map([images, labels], &Nx.as_type(&1, kept))
    params = params |> Enum.map(&Nx.as_type(&1, kept)) |> List.to_tuple()
    options = [network: network, type: type, rate: @rate]
    step = Nx.Defn.jit(&Networks.step(&1, &2, &3, options), compiler: compiler)

    {losses, _params} =
      Enum.map_reduce(1..@steps, params, fn number, params ->
        {loss, params} = step.(noise.(number, params), images, labels)
        {Nx.to_number(loss), params}
      end)

    losses
  end

  # The same on every backend, from integers. A label is the brightest third of its image.
  defp start(network) do
    images = uniform({@batch, @size, @size}, 1)
    thirds = Nx.reshape(images, {@batch, @classes, :auto})
    class = thirds |> Nx.sum(axes: [2]) |> Nx.argmax(axis: 1, keep_axis: true)
    labels = Nx.equal(class, Nx.iota({1, @classes}))

    params =
      network
      |> Networks.shapes(@size, @classes)
      |> Enum.with_index(2)
      |> Enum.map(fn {shape, seed} -> Nx.multiply(uniform(shape, seed), 0.5) end)

    {params, images, labels}
  end

  # Between -1 and 1.
  defp uniform(shape, seed) do
    :rand.seed(:exsss, seed)
    numbers = for _ <- 1..Tuple.product(shape), do: 2 * :rand.uniform() - 1
    numbers |> Nx.tensor(type: :f64) |> Nx.reshape(shape)
  end
end
