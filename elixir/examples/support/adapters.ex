defmodule Example.Adapters do
  @moduledoc """
  Low-rank adapters (LoRA, https://arxiv.org/abs/2106.09685): beside a dense layer's kernel `W` a product
  of two thin matrices, `x·W + s·(x·A)·B`, of which only `A` and `B` are trained.
  """

  @suffix ".adapter"

  @doc """
  The model with an adapter of rank `rank` beside each dense layer whose name ends in one of `names`.

  `A`, of `{in, rank}`, starts at random and `B`, of `{rank, out}`, at 0, so that the model answers as
  before. `scale` is the `s` that what they add is multiplied by.
  """
  @spec add(Axon.t(), [String.t()], pos_integer(), float()) :: Axon.t()
  def add(model, names, rank, scale) do
    adapted? = fn node -> node.op == :dense and String.ends_with?(name(node), names) end

    if not Axon.reduce_nodes(model, false, &(&2 or adapted?.(&1))) do
      raise ArgumentError,
            "Example.Adapters.add/4: no dense layer's name ends in one of #{inspect(names)}; " <>
              "the names are the keys of its parameters"
    end

    Axon.rewrite_nodes(model, &if(adapted?.(&1), do: adapter(&1, rank, scale), else: :skip))
  end

  # That of a layer that was given one.
  defp name(node), do: node.name.(node.op, %{})

  defp adapter(node, rank, scale) do
    %{template: kernel} = Enum.find(node.parameters, &(&1.name == "kernel"))
    shape = fn input -> Nx.shape(kernel.(Nx.template(input, :f32))) end
    down = Axon.param("a", &put_elem(shape.(&1), 1, rank), initializer: :lecun_normal)
    up = Axon.param("b", &put_elem(shape.(&1), 0, rank), initializer: :zeros)
    product = fn x, a, b, _opts -> x |> Nx.dot([-1], a, [0]) |> product(b, scale) end

    fn [input], output ->
      product |> Axon.layer([input, down, up], name: name(node) <> @suffix) |> Axon.add(output)
    end
  end

  defp product(a, b, scale), do: Nx.multiply(Nx.dot(a, [-1], b, [0]), scale)

  @doc """
  The model as `Axon.Loop` trains it where the parameters of `base` are frozen: they are neither among
  what is differentiated nor in the optimiser's state. What it computes is as in inference, without
  dropout.

  `Axon.Loop` takes what is frozen from the function that starts the parameters: a state that was frozen
  before is thawed by it.
  """
  @spec frozen(Axon.t(), Axon.ModelState.t(), integer()) :: {function(), function()}
  def frozen(model, base, seed) do
    {init, predict} = Axon.build(model, seed: seed)
    base? = fn [layer | _] -> is_map_key(base.data, layer) end

    {fn inputs, state -> inputs |> init.(state) |> Axon.ModelState.freeze(base?) end,
     fn state, inputs -> %{prediction: predict.(state, inputs), state: %{}} end}
  end

  @doc "The parameters `base` with the trained adapters in its kernels: `W + s·A·B`."
  @spec merge(Axon.ModelState.t(), Axon.ModelState.t(), float()) :: Axon.ModelState.t()
  def merge(base, trained, scale) do
    for {name, %{"a" => a, "b" => b}} <- trained.data, reduce: base do
      base ->
        layer = String.replace_suffix(name, @suffix, "")
        update_in(base.data[layer]["kernel"], &Nx.add(&1, product(a, b, scale)))
    end
  end
end
