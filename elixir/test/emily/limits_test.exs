defmodule Emily.LimitsTest do
  @moduledoc """
  A VM that the system gives little memory is refused what does not fit, and lives.
  """

  use ExUnit.Case, async: false

  # `ulimit -v` is that of Linux.
  @moduletag skip: :os.type() != {:unix, :linux} and "the system does not limit addresses"

  @prelude """
  {:ok, _apps} = Application.ensure_all_started(:emily)
  alias Emily.Native
  {:ok, worker} = Native.start_worker(:cpu)
  """

  @goes_on """
  {:ok, [few]} = Native.iota(worker, [], %{dtype: :u8, shape: {3}})
  {:ok, <<0, 1, 2>>} = Native.read(few)
  IO.puts("lives")
  """

  # Takes all there is, by uploads and by results, twice.
  @fill """
  size = 32 * 1024 * 1024
  bytes = :binary.copy(<<1>>, size)
  upload = fn -> Native.from_binary(worker, :u8, {size}, bytes) end

  compute = fn ->
    with {:ok, [tensor]} <- Native.iota(worker, [], %{dtype: :u8, shape: {size}}),
         :ok <- Native.eval(tensor),
         do: {:ok, tensor}
  end

  fill = fn fill, take, held ->
    case take.() do
      {:ok, tensor} -> fill.(fill, take, [tensor | held])
      {:error, error} -> {held, error}
    end
  end

  for take <- [upload, compute, upload, compute] do
    {held, %{kind: :memory}} = fill.(fill, take, [])
    true = length(held) > 4
    {:ok, %{active: active, limit: limit}} = Native.memory_stats()
    true = active <= limit
    Enum.each(held, &Native.release/1)
  end
  """

  # A result that is more than the limit, and a small one that needs 3.4 GiB on the way: the image unfolded.
  @too_much """
  {:ok, %{limit: limit}} = Native.memory_stats()
  {:error, %{kind: :memory}} = Native.iota(worker, [], %{dtype: :u8, shape: {limit + 1}})
  {:ok, [image]} = Native.iota(worker, [], %{dtype: :f32, shape: {1, 1, 400, 400}})
  {:ok, [kernel]} = Native.iota(worker, [], %{dtype: :f32, shape: {1, 1, 100, 100}})

  {:error, %{kind: :memory}} =
    with {:ok, [result]} <- Native.conv(worker, [image, kernel], %{}), do: Native.eval(result)
  """

  # What it printed, and its status. Of the addresses the VM takes 2.3 GB by itself.
  defp run(work) do
    script = Enum.join([@prelude, work, @goes_on])
    paths = Enum.flat_map(:code.get_path(), &["-pa", to_string(&1)])
    limited = "ulimit -v 3000000 && exec elixir \"$@\""
    System.cmd("sh", ["-c", limited, "sh" | paths ++ ["-e", script]], stderr_to_stdout: true)
  end

  test "a VM of few addresses is full, and goes on" do
    assert {"lives\n", 0} = run(@fill)
  end

  test "a VM of few addresses is asked for too much, and goes on" do
    assert {"lives\n", 0} = run(@too_much)
  end
end
