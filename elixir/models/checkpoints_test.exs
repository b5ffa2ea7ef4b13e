defmodule Emily.Models.CheckpointsTest do
  @moduledoc """
  Training that is interrupted ends where it would have ended, to the bit.
  """

  use ExUnit.Case, async: false

  alias Emily.Models.Checkpoints
  alias Emily.TestNode

  @moduletag :capture_log
  @moduletag :tmp_dir

  @steps 6

  setup do
    Emily.Defaults.native_only()
  end

  test "steps before and after a checkpoint are as steps without one", %{tmp_dir: folder} do
    file = Path.join(folder, "half.ckpt")
    {first, second} = Enum.split(batches(), div(@steps, 2))

    whole = Checkpoints.train(first ++ second, steps: @steps)
    half = Checkpoints.train(first, steps: @steps, to: file)
    assert length(half) == length(whole)
    refute Checkpoints.train(second, steps: @steps) == whole

    # In a VM that knows nothing of this one's.
    peer = TestNode.start([], fallback: :raise)
    resumed = [second, [steps: @steps, from: file]]
    assert :peer.call(peer, Checkpoints, :train, resumed, 60_000) == whole
    :peer.stop(peer)
  end

  # On Nx.BinaryBackend: they travel.
  defp batches do
    for step <- 1..@steps do
      :rand.seed(:exsss, step)
      pixels = for _ <- 1..(8 * 28 * 28), into: <<>>, do: <<:rand.uniform()::float-32-native>>
      images = pixels |> Nx.from_binary(:f32, backend: Nx.BinaryBackend)
      labels = Nx.tensor(for(_ <- 1..8, do: [:rand.uniform(10) - 1]), backend: Nx.BinaryBackend)
      {Nx.reshape(images, {8, 28, 28, 1}), labels}
    end
  end
end
