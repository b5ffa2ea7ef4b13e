defmodule Emily.TestCalls do
  @moduledoc """
  Calls that a test makes in another VM.
  """

  @doc """
  Calls a function, of Nx unless another module is given, with Emily's tensors of these lists, or of lists
  with their type, `nil` for `nil` and the options, if any; its result stays where it is.
  """
  def apply_to_lists(module \\ Nx, function, lists, opts \\ []) do
    args = Enum.map(lists, &tensor/1)
    apply(module, function, if(opts == [], do: args, else: args ++ [opts]))
    :done
  end

  defp tensor(nil), do: nil
  defp tensor({list, type}), do: Nx.tensor(list, type: type, backend: Emily.Backend)
  defp tensor(list), do: Nx.tensor(list, backend: Emily.Backend)
end
