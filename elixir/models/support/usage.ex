defmodule Emily.Models.Usage do
  @moduledoc """
  Memory in use, for tests of what stays and of what is needed on the way.
  """

  @doc "Bytes in use once what processes left behind is collected."
  @spec settled() :: non_neg_integer()
  def settled do
    active = collected()
    Process.sleep(20)
    if collected() == active, do: active, else: settled()
  end

  @doc "Whether so many bytes are in use at last: tensors are freed when their process is collected."
  @spec settles_at?(non_neg_integer()) :: boolean()
  def settles_at?(bytes), do: eventually(fn -> collected() == bytes end)

  @doc "Whether a function is true within some seconds."
  @spec eventually((-> boolean()), non_neg_integer()) :: boolean()
  def eventually(fun, left \\ 200) do
    cond do
      fun.() -> true
      left == 0 -> false
      true -> Process.sleep(20) && eventually(fun, left - 1)
    end
  end

  @doc "The most bytes that a function had in use beyond what there was."
  @spec peak((-> any())) :: non_neg_integer()
  def peak(fun) do
    before = settled()
    Emily.Memory.reset_peak()
    fun.()
    Emily.Memory.stats().peak - before
  end

  defp collected do
    Enum.each(Process.list(), &:erlang.garbage_collect/1)
    Emily.Memory.stats().active
  end
end
