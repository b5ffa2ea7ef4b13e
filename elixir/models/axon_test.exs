defmodule Emily.Models.AxonTest do
  @moduledoc """
  What Axon trains with runs under `Emily.Compiler`, natively.
  """

  use ExUnit.Case, async: false

  @moduletag :capture_log

  @default [:emily, :block, :fallback]

  setup do
    :telemetry.attach(__MODULE__, @default, &__MODULE__.note/4, self())
    on_exit(fn -> :telemetry.detach(__MODULE__) end)
    Emily.Defaults.native_only()
    Emily.Defaults.set({Emily.Backend, device: :cpu}, compiler: Emily.Compiler)
  end

  @doc false
  def note(_event, _measurements, metadata, pid), do: send(pid, {:not_native, metadata.block})

  # Axon hands each of its own options on to the compiler.
  test "a model is built with any option of Axon's" do
    model = Axon.input("x", shape: {nil, 3}) |> Axon.dense(2) |> Axon.dropout(rate: 0.5, seed: 1)

    options = [
      mode: :train,
      seed: 7,
      debug: true,
      print_values: false,
      raise_on_none: true,
      global_layer_options: []
    ]

    {init, predict} = Axon.build(model, [compiler: Emily.Compiler] ++ options)
    x = Nx.tensor([[1.0, 2.0, 3.0]])
    state = init.(x, Axon.ModelState.empty())
    assert %{prediction: %Nx.Tensor{data: %Emily.Backend{}}} = predict.(state, x)
  end

  # Not here, since they train on no backend: `bilinear` on a batch, `instance_norm`, and `batch_norm` in
  # mixed precision.
  for kind <- [:conv, :pool, :norm, :dropout, :resize, :recurrent] do
    test "a network with each #{kind} layer of Axon's is trained natively" do
      for {name, model, input} <- networks(unquote(kind)) do
        scores = model |> Axon.flatten() |> Axon.dense(3, activation: :softmax)
        assert moves?(scores, input), name
      end

      refute_received {:not_native, _block}
    end
  end

  @activations ~w(celu elu gelu hard_sigmoid hard_silu hard_tanh leaky_relu log_sigmoid log_softmax mish
                  relu relu6 selu sigmoid silu softmax softplus softsign tanh)a

  test "a network with each activation of Axon's is trained natively" do
    for activation <- @activations do
      hidden = Axon.dense(rows(), 6, activation: activation)
      assert moves?(Axon.dense(hidden, 3, activation: :softmax), {4, 5}), "#{activation}"
    end

    refute_received {:not_native, _block}
  end

  @losses ~w(binary_cross_entropy categorical_cross_entropy categorical_hinge huber kl_divergence log_cosh
             mean_absolute_error mean_squared_error poisson soft_margin)a

  test "a network is trained natively by each loss of Axon's" do
    for loss <- @losses do
      assert moves?(Axon.dense(rows(), 3, activation: :softmax), {4, 5}, loss), "#{loss}"
    end

    refute_received {:not_native, _block}
  end

  defp networks(:conv) do
    [
      {"conv", Axon.conv(images(), 2, kernel_size: 3, strides: 2), {4, 6, 6, 2}},
      {"depthwise_conv", Axon.depthwise_conv(images(), 2, kernel_size: 3), {4, 6, 6, 2}},
      {"separable_conv2d", Axon.separable_conv2d(images(), 2, kernel_size: 3), {4, 6, 6, 2}},
      {"conv_transpose", Axon.conv_transpose(images(), 2, kernel_size: 3), {4, 6, 6, 2}}
    ]
  end

  defp networks(:pool) do
    [
      {"max_pool", Axon.max_pool(convolved(), kernel_size: 3, strides: 2), {4, 6, 6, 2}},
      {"avg_pool", Axon.avg_pool(convolved(), kernel_size: 2), {4, 6, 6, 2}},
      {"lp_pool", Axon.lp_pool(convolved(), kernel_size: 2, norm: 2), {4, 6, 6, 2}},
      {"adaptive_max_pool", Axon.adaptive_max_pool(convolved(), output_size: {4, 4}),
       {4, 6, 6, 2}},
      {"global_avg_pool", Axon.global_avg_pool(convolved()), {4, 6, 6, 2}}
    ]
  end

  defp networks(:norm) do
    [
      {"batch_norm", Axon.batch_norm(convolved()), {4, 6, 6, 2}},
      {"layer_norm", Axon.layer_norm(convolved()), {4, 6, 6, 2}},
      {"group_norm", Axon.group_norm(convolved(), 2), {4, 6, 6, 2}}
    ]
  end

  defp networks(:dropout) do
    for name <- [:dropout, :spatial_dropout, :alpha_dropout, :feature_alpha_dropout] do
      {"#{name}", apply(Axon, name, [convolved(), [rate: 0.1, seed: 1]]), {4, 6, 6, 2}}
    end
  end

  defp networks(:resize) do
    for method <- [:nearest, :bilinear, :bicubic, :lanczos3] do
      {"#{method}", Axon.resize(convolved(), {5, 7}, method: method), {4, 6, 6, 2}}
    end
  end

  defp networks(:recurrent) do
    for name <- [:lstm, :gru], unroll <- [:dynamic, :static] do
      sequence = Axon.input("x", shape: {nil, 5, 4})
      {states, _last} = apply(Axon, name, [sequence, 3, [unroll: unroll]])
      {"#{name}, #{unroll}", states, {4, 5, 4}}
    end
  end

  defp rows, do: Axon.input("x", shape: {nil, 5})
  defp images, do: Axon.input("x", shape: {nil, 6, 6, 2})
  defp convolved, do: Axon.conv(images(), 4, kernel_size: 1)

  # Whether a step moves a parameter, and none to where it is no number.
  defp moves?(model, shape, loss \\ :categorical_cross_entropy) do
    {input, _key} = Nx.Random.uniform(Nx.Random.key(1), shape: shape)
    labels = Nx.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]])
    loss = &apply(Axon.Losses, loss, [&1, &2, [reduction: :mean]])
    {init, _predict} = Axon.build(model, seed: 1)
    start = init.(input, Axon.ModelState.empty())

    trained =
      model
      |> Axon.Loop.trainer(loss, Polaris.Optimizers.sgd(learning_rate: 0.1), log: 0)
      |> Axon.Loop.run([{input, labels}], start)

    [before, later] = for state <- [start, trained], do: parameters(state)
    before != later and Enum.all?(List.flatten(later), &is_number/1)
  end

  defp parameters(state) do
    [Axon.ModelState.trainable_parameters(state)]
    |> Nx.Defn.Composite.flatten_list()
    |> Enum.map(&Nx.to_flat_list/1)
  end
end
