defmodule Emily.TestServings do
  @moduledoc """
  Servings that a test may also start on another node, where functions of its own file are unknown.
  """

  import Nx.Defn

  # Nx 0.13 calls it `hook`, later ones `io_call`.
  @hook if {:io_call, 2} in Nx.Defn.Kernel.__info__(:functions), do: :io_call, else: :hook

  @doc "Names a tensor for the `:hooks` of a compiler or a serving."
  deftransform hooked(tensor, name), do: apply(Nx.Defn.Kernel, @hook, [tensor, name])

  defn double_with_hook(t), do: t |> Nx.multiply(2) |> hooked(:doubled) |> Nx.add(1)

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
