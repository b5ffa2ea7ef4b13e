defmodule Emily.Backend.Conv do
  @moduledoc false
  # Convolutions. Nx's options have the attributes' names, but for the padding, and are all given.

  require Emily.Debug

  alias Emily.Backend.Call

  def conv(out, tensor, kernel, opts) do
    {padding, opts} = Keyword.pop!(opts, :padding)
    {low, high} = Enum.unzip(padding)
    attrs = opts |> Map.new() |> Map.merge(%{low: low, high: high})
    Emily.Debug.finite_checked(Call.run(:conv, out, [tensor, kernel], attrs), :conv)
  end
end
