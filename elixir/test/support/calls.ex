defmodule Emily.TestCalls do
  @moduledoc """
  Calls that a test makes in another VM.
  """

  @doc "Calls a function, of Nx unless another module is given, with Emily's tensors of these lists; its result stays where it is."
  def apply_to_lists(module \\ Nx, function, lists) do
    apply(module, function, Enum.map(lists, &Nx.tensor(&1, backend: Emily.Backend)))
    :done
  end
end
