defmodule Emily.Eventually do
  @moduledoc """
  Waits for what other threads and processes do in their own time.
  """

  @doc "Whether a function is true at last: it is asked every 20 ms, so many times more."
  @spec eventually((-> boolean()), non_neg_integer()) :: boolean()
  def eventually(fun, left \\ 100) do
    cond do
      fun.() -> true
      left == 0 -> false
      true -> Process.sleep(20) && eventually(fun, left - 1)
    end
  end
end
