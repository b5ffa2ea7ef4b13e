defmodule Emily.NifFuzz.Terms do
  @moduledoc """
  Terms for `Emily.NifFuzz`: such as a call takes, such as it nearly takes, and any. They are drawn
  from the process's random state and a pool of handles. None makes an atom.
  """

  alias Emily.Native.Ops

  @ops for op <- Ops.all(), do: Map.take(op, [:name, :operands, :open, :attrs])
  @by_name Map.new(@ops, &{&1.name, &1})
  @names Enum.map(@ops, & &1.name)
  @keys @ops |> Enum.flat_map(& &1.attrs) |> Enum.uniq()
  @dtypes ~w(u8 u16 u32 u64 s8 s16 s32 s64 f16 bf16 f32 f64 c64)a
  @words ~w(low high asc desc reduced complete none transpose conjugate mxfp4 mxfp8 nvfp4 nan infinity
            neg_infinity nil true false)a
  @odd [nil, true, false, :cpu, :gpu, :"", :ä, :日本, :"a b", :__struct__, __MODULE__]
  @longest String.to_atom(String.duplicate("x", 255))
  # A reference that another node made.
  @foreign <<131, 90, 0, 3, 119, 5, "a@b.c", 0, 0, 0, 1, 1::32, 2::32, 3::32>>

  def names, do: @names

  def one_of(list), do: Enum.random(list)

  @doc "True about once in `n` times."
  def chance?(n), do: :rand.uniform(n) == 1

  @doc "What a parameter of this kind takes; now and then something else."
  def argument(kind, pool) do
    case :rand.uniform(12) do
      1 -> any(pool)
      2 -> argument(one_of([:worker, :tensor, :ref, :dtype, :shape, :attrs, :size]), pool, :exact)
      _ -> argument(kind, pool, :exact)
    end
  end

  defp argument(:worker, pool, _), do: one_of(pool.workers)
  defp argument(:tensor, pool, _), do: one_of(pool.tensors)
  defp argument(:program, pool, _), do: one_of(pool.programs)
  defp argument(:written, pool, _), do: written(pool)
  defp argument(:request, pool, _), do: one_of(pool.requests)
  defp argument(:ref, _pool, _), do: make_ref()
  defp argument(:op, _pool, _), do: one_of(@names)
  defp argument(:dtype, _pool, _), do: one_of(@dtypes)
  defp argument(:device, _pool, _), do: one_of([:cpu, :cpu, :default, :gpu])
  defp argument(:bool, _pool, _), do: one_of([true, false])
  defp argument(:opts, _pool, _), do: one_of([[], [f64: true], [f64: false], [f64: 1]])
  defp argument(:timeout, _pool, _), do: one_of([0, 1, 10, 1000, :infinity])
  defp argument(:shape, _pool, _), do: sizes() |> one_of([&List.to_tuple/1, & &1]).()
  defp argument(:size, _pool, _), do: integer()
  defp argument(:bytes, _pool, _), do: :rand.bytes(one_of([0, 1, 2, 3, 4, 8, 12, 16, 24, 48, 64]))
  defp argument(:tensors, pool, _), do: tensors(:rand.uniform(4) - 1, pool)
  defp argument(:attrs, pool, _), do: attrs(@keys, pool)

  @doc "The operands and attributes of an operation, nearly."
  def call_of(name, pool) do
    op = Map.fetch!(@by_name, name)
    count = length(op.operands) + if(op.open, do: :rand.uniform(3) - 1, else: 0)
    count = if chance?(20), do: :rand.uniform(5) - 1, else: count
    keys = if chance?(20), do: @keys, else: op.attrs
    {tensors(count, pool), attrs(keys, pool)}
  end

  # A program, nearly. None loops: it might not end.
  defp written(pool) do
    parameters = for _ <- 1..:rand.uniform(2), do: {one_of([:s32, :f32]), one_of([{}, {3}])}
    constants = if chance?(3), do: [{:u8, {2}, :rand.bytes(one_of([2, 2, 2, 3]))}], else: []
    {parameters, constants, region(length(parameters ++ constants), 2, pool)}
  end

  defp region(first, depth, pool) do
    count = :rand.uniform(4) - 1

    nodes =
      for id <- first..(first + count - 1)//1 do
        case :rand.uniform(20) do
          1 -> any(pool)
          2 -> {[id], :while, [0], [id + 50], any(pool), region(id + 51, 0, pool)}
          n when n < 8 and depth > 0 -> choice(id, depth - 1, pool)
          _ -> {[id], one_of([:add, :exp, :sum, :negate]), %{}, operands(id)}
        end
      end

    {nodes, [one_of([0, max(first + count - 1, 0)])]}
  end

  defp choice(id, depth, pool) do
    [then, otherwise] = for place <- 1..2, do: region(id + 10 * place, depth, pool)
    {[id], :if, 0, then, otherwise}
  end

  defp operands(id), do: for(_ <- 1..:rand.uniform(2), do: :rand.uniform(max(id, 1)) - 1)

  defp tensors(count, pool) do
    tensors = for _ <- 1..count//1, do: argument(:tensor, pool)

    case :rand.uniform(100) do
      1 -> tensors ++ any(pool)
      2 -> List.duplicate(one_of(pool.tensors), :rand.uniform(400))
      _ -> tensors
    end
  end

  defp attrs([], pool), do: if(chance?(20), do: %{any(pool) => any(pool)}, else: %{})

  defp attrs(keys, pool) do
    attrs = for key <- Enum.take(keys, 12), not chance?(4), into: %{}, do: {key, value(key, pool)}
    if chance?(30), do: Map.put(attrs, any(pool), any(pool)), else: attrs
  end

  defp value(key, pool) when key in [:dtype, :index_dtype] do
    if chance?(20), do: any(pool), else: one_of(@dtypes)
  end

  defp value(:shape, _pool), do: List.to_tuple(sizes())
  defp value(:axis, _pool), do: one_of([0, 0, 1, 2, nil, -1])
  defp value(:axes, _pool), do: Enum.take_random(0..3, :rand.uniform(3) - 1)

  defp value(_key, pool) do
    case :rand.uniform(8) do
      1 -> any(pool)
      2 -> one_of(@words)
      3 -> integer()
      4 -> one_of([true, false])
      5 -> one_of([0, 1, 2, 3])
      6 -> for _ <- 1..:rand.uniform(3), do: one_of([0, 1, 1, 2, -1, -2])
      7 -> for _ <- 1..:rand.uniform(3), do: [one_of([0, 1, -1]), one_of([0, 1, 2])]
      8 -> sizes()
    end
  end

  defp sizes do
    for _ <- 1..(:rand.uniform(4) - 1)//1 do
      if chance?(30), do: integer(), else: one_of([0, 1, 1, 2, 2, 3, 3, 4, 5])
    end
  end

  defp integer do
    case :rand.uniform(6) do
      1 -> one_of([-1, 0, 1, 2])
      2 -> :rand.uniform(1000)
      3 -> Bitwise.bsl(1, one_of([7, 8, 15, 16, 31, 32, 33, 62, 63, 64])) - one_of([0, 1])
      4 -> -Bitwise.bsl(1, one_of([7, 8, 15, 16, 31, 32, 33, 62, 63, 64]))
      5 -> :rand.uniform(1_000_000_000)
      6 -> Bitwise.bsl(:rand.uniform(1000), 100 * :rand.uniform(20)) * one_of([1, -1])
    end
  end

  @doc "Any term."
  def any(pool, depth \\ 3)
  def any(pool, 0), do: leaf(pool)

  def any(pool, depth) do
    case :rand.uniform(12) do
      1 -> for _ <- 1..(:rand.uniform(4) - 1)//1, do: any(pool, depth - 1)
      2 -> [any(pool, depth - 1) | leaf(pool)]
      3 -> List.to_tuple(for _ <- 1..(:rand.uniform(4) - 1)//1, do: any(pool, depth - 1))
      4 -> %{any(pool, depth - 1) => any(pool, depth - 1)}
      5 -> for _ <- 1..:rand.uniform(300), do: leaf(pool)
      6 -> one_of([Tuple.duplicate(1, 70), List.duplicate(1, 1000), Map.new(1..70, &{&1, &1})])
      7 -> deep(:rand.uniform(one_of([10, 100, 10_000])), leaf(pool))
      _ -> leaf(pool)
    end
  end

  defp deep(levels, term) do
    wrap = one_of([&[&1], &{&1}, &%{a: &1}, &[1 | &1]])
    Enum.reduce(1..levels, term, fn _, term -> wrap.(term) end)
  end

  defp leaf(pool) do
    case :rand.uniform(16) do
      1 -> one_of(@odd)
      2 -> one_of(@names)
      3 -> one_of(@dtypes)
      4 -> one_of(@words)
      5 -> one_of(@keys)
      6 -> @longest
      7 -> integer()
      8 -> one_of([0.0, -0.0, 1.5, -1.0e308, 5.0e-324, 1.0e16])
      9 -> bits()
      10 -> one_of(pool.workers)
      11 -> one_of(pool.tensors)
      12 -> one_of(pool.requests)
      13 -> one_of([make_ref(), :erlang.binary_to_term(@foreign)])
      14 -> one_of([self(), hd(Port.list()), ~D[2020-01-01], 1..3])
      15 -> one_of([&Enum.map/2, fn -> pool end])
      16 -> one_of([[], {}, %{}, "", ~c"text"])
    end
  end

  defp bits do
    bytes = :rand.bytes(:rand.uniform(300))

    case :rand.uniform(5) do
      1 -> bytes
      2 -> binary_part(bytes, div(byte_size(bytes), 3), div(byte_size(bytes), 2))
      3 -> <<bytes::binary, 5::3>>
      4 -> one_of(["f32", "axes", "日本", "nan", String.duplicate("a", 400)])
      5 -> <<1::size(:rand.uniform(7))>>
    end
  end
end
