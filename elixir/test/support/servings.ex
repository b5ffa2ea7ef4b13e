defmodule Emily.TestServings do
  @moduledoc """
  Servings that a test may also start on another node, where functions of its own file are unknown.
  """

  import Nx.Defn

  defn double_with_hook(t), do: t |> Nx.multiply(2) |> io_call(:doubled) |> Nx.add(1)

  @doc "Doubles and adds one, under Emily.Compiler."
  def double(opts \\ []) do
    Nx.Serving.jit(&double_with_hook/1, [compiler: Emily.Compiler] ++ opts)
    |> Nx.Serving.distributed_postprocessing(&Nx.backend_copy/1)
  end

  @doc "As `double/0`, from a tensor; batches, which hold functions, are made where it runs."
  def double_of_tensor do
    Nx.Serving.client_preprocessing(double(), &{Nx.Batch.stack([&1]), :none})
  end

  @doc "A process that keeps a serving after its starter has gone."
  def start_unlinked(name) do
    {:ok, pid} = Nx.Serving.start_link(serving: double_of_tensor(), name: name, batch_size: 4)
    Process.unlink(pid)
    pid
  end
end
