defmodule Emily.Models.Checkpoints do
  @moduledoc """
  Training that ends with a checkpoint and goes on from one, also in another VM.
  """

  alias Axon.Loop
  alias Emily.Models.Training

  @typedoc "A loop's step state, tensor by tensor, as what is equal in another VM too."
  @type bytes :: [{Nx.Type.t(), tuple(), binary()}]

  @doc """
  Trains a network with dropout on the batches, and gives all of the loop's state: parameters, dropout's
  key, the optimiser's moments and counts, the loss.

  ## Options

    * `:steps` - over how many steps, in all runs together, the learning rate decays
    * `:from` - the checkpoint to go on from
    * `:to` - where to leave one

  """
  @spec train([{Nx.Tensor.t(), Nx.Tensor.t()}], keyword()) :: bytes()
  def train(batches, opts) do
    Nx.with_default_backend({Emily.Backend, device: :cpu}, fn ->
      network()
      |> Training.loop(1.0e-2, opts[:steps])
      |> resume(opts[:from])
      |> checkpoint(opts[:to])
      |> Map.put(:output_transform, &bytes/1)
      |> Loop.run(batches, Axon.ModelState.empty(), compiler: Emily.Compiler)
    end)
  end

  defp network do
    Axon.input("image", shape: {nil, 28, 28, 1})
    |> Axon.conv(4, kernel_size: 5, strides: 4, activation: :relu)
    |> Axon.batch_norm()
    |> Axon.flatten()
    |> Axon.dropout(rate: 0.5, seed: 5)
    |> Axon.dense(10)
  end

  # The loop writes down its epoch before it counts it.
  defp resume(loop, nil), do: loop

  defp resume(loop, file) do
    state = file |> File.read!() |> Loop.deserialize_state()
    Loop.from_state(loop, %{state | epoch: state.epoch + 1, iteration: 0})
  end

  defp checkpoint(loop, nil), do: loop

  defp checkpoint(loop, file) do
    Loop.checkpoint(loop,
      path: Path.dirname(file),
      file_pattern: fn _state -> Path.basename(file) end
    )
  end

  defp bytes(state) do
    for tensor <- Nx.Defn.Composite.flatten_list([state.step_state]) do
      {Nx.type(tensor), Nx.shape(tensor), Nx.to_binary(tensor)}
    end
  end
end
