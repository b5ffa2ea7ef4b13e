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
  def settles_at?(bytes), do: Emily.Eventually.eventually(fn -> collected() == bytes end, 200)

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
