defmodule Emily.Models.QuantizationMemoryTest do
  # Alone, as it counts what all processes' tensors take.
  use ExUnit.Case, async: false

  import Emily.Models.Quantised

  alias Emily.Quantization
  alias Emily.Quantization.Matrix

  # What an element takes, of a code and its share of scales and biases in f32.
  @codings [
    {[bits: 4], 4 / 8 + 8 / 64},
    {[group_size: 32, bits: 8], 8 / 8 + 8 / 32},
    {[mode: :mxfp4], 4 / 8 + 1 / 32},
    {[mode: :mxfp8], 8 / 8 + 1 / 32},
    {[mode: :nvfp4], 4 / 8 + 1 / 16}
  ]

  # On a busy machine; a quarter of a minute on a quiet one.
  @moduletag timeout: 300_000

  setup :only_native

  # What is in use, once that is level: buffers of processes that ended are freed on a thread of their own.
  defp active(before \\ nil) do
    case Emily.Memory.stats().active do
      ^before ->
        before

      now ->
        Process.sleep(500)
        active(now)
    end
  end

  # The bytes that a state is held in, in a process that ends with it, and those of its tensors.
  defp held(load) do
    before = active()

    Task.async(fn ->
      Nx.default_backend({Emily.Backend, device: :cpu})
      state = load.()
      Nx.Defn.Composite.reduce(state.data, :ok, fn tensor, :ok -> settled(tensor) end)
      :erlang.garbage_collect()
      {active() - before, bytes(state)}
    end)
    |> Task.await(:infinity)
  end

  # What an earlier test left may be computed meanwhile, and be held besides: then the least of three counts.
  defp least_held(load, tries \\ 3) do
    {held, bytes} = held(load)

    if held - bytes > bytes / 100 and tries > 1,
      do: min({held, bytes}, least_held(load, tries - 1)),
      else: {held, bytes}
  end

  defp settled(tensor) do
    Emily.eval(tensor)
    :ok
  end

  defp quantised(info, opts) do
    {_model, params} = Quantization.Axon.quantize(info.model, info.params, opts)
    params
  end

  # The sum that the formula gives: of what is quantised, and of the rest.
  defp expected(params, per_element) do
    elements = for {_path, m} <- matrices(params), do: Tuple.product(Matrix.shape(m))

    rest =
      for {_layer, parameters} <- params.data,
          {_name, %Nx.Tensor{} = tensor} <- parameters,
          do: Nx.byte_size(tensor)

    Enum.sum(elements) * per_element + Enum.sum(rest)
  end

  # An allocator rounds up, by far less than a hundredth.
  defp assert_shrinks(load, codings) do
    {held, bytes} = least_held(fn -> load.().params end)
    assert_in_delta held, bytes, bytes / 100

    for {opts, per_element} <- codings do
      {held, quantised} =
        least_held(fn ->
          params = quantised(load.(), opts)
          assert bytes(params) == expected(params, per_element)
          params
        end)

      assert_in_delta held, quantised, quantised / 100
      # Kernels and embeddings are nearly all of a model.
      assert_in_delta quantised / bytes, per_element / 4, 0.01
    end
  end

  @tag :minilm
  test "MiniLM takes what its codes, scales and biases do" do
    assert_shrinks(
      fn ->
        {:ok, info} = Bumblebee.load_model({:local, System.fetch_env!("EMILY_MINILM")})
        info
      end,
      @codings
    )
  end

  test "so does a model of GPT-2 small's shapes" do
    options = [
      architecture: :for_causal_language_modeling,
      num_blocks: 12,
      num_attention_heads: 12
    ]

    model = Bumblebee.Text.Gpt2 |> Bumblebee.configure(options) |> Bumblebee.build_model()
    state = Axon.trace_init(model, %{"input_ids" => Nx.template({1, 1}, :u32)})

    load = fn ->
      data = Nx.Defn.Composite.traverse(state.data, &Nx.iota(&1.shape, type: :f32))
      %{model: model, params: %{state | data: data}}
    end

    assert_shrinks(load, Enum.take(@codings, 1))
  end
end
