defmodule Emily.Native.Examples do
  @moduledoc false
  # An example of each operation, for its documentation. Most tensors in them are u8, whose bytes
  # are its elements.

  @examples %{
    add: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 255>>)
    iex> {:ok, [sum]} = Emily.Native.add(worker, [t, t])
    iex> Emily.Native.read(sum)
    {:ok, <<2, 254>>}
    """,
    divide: """
    iex> {:ok, one} = Emily.Native.from_binary(worker, :u8, {}, <<1>>)
    iex> {:ok, two} = Emily.Native.from_binary(worker, :u8, {}, <<2>>)
    iex> {:ok, [half]} = Emily.Native.divide(worker, [one, two])
    iex> {:ok, <<0.5::float-32-little>>} = Emily.Native.read(half)
    """,
    remainder: """
    iex> {:ok, left} = Emily.Native.from_binary(worker, :s8, {2}, <<7, -7>>)
    iex> {:ok, right} = Emily.Native.from_binary(worker, :s8, {}, <<3>>)
    iex> {:ok, [remainder]} = Emily.Native.remainder(worker, [left, right])
    iex> {:ok, <<1::8, -1::signed-8>>} = Emily.Native.read(remainder)
    """,
    pow: """
    iex> {:ok, base} = Emily.Native.from_binary(worker, :u8, {2}, <<3, 2>>)
    iex> {:ok, exponent} = Emily.Native.from_binary(worker, :u8, {2}, <<4, 8>>)
    iex> {:ok, [power]} = Emily.Native.pow(worker, [base, exponent])
    iex> Emily.Native.read(power)
    {:ok, <<81, 0>>}
    """,
    round: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :f32, {}, <<2.5::float-32-little>>)
    iex> {:ok, [rounded]} = Emily.Native.round(worker, [t])
    iex> {:ok, <<3.0::float-32-little>>} = Emily.Native.read(rounded)
    """,
    exp: """
    iex> {:ok, zero} = Emily.Native.from_binary(worker, :f32, {}, <<0.0::float-32-little>>)
    iex> {:ok, [exp]} = Emily.Native.exp(worker, [zero])
    iex> {:ok, <<1.0::float-32-little>>} = Emily.Native.read(exp)
    """,
    erfc: """
    iex> {:ok, zero} = Emily.Native.from_binary(worker, :f32, {}, <<0.0::float-32-little>>)
    iex> {:ok, [erfc]} = Emily.Native.erfc(worker, [zero])
    iex> {:ok, <<1.0::float-32-little>>} = Emily.Native.read(erfc)
    """,
    equal: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
    iex> {:ok, two} = Emily.Native.from_binary(worker, :u8, {}, <<2>>)
    iex> {:ok, [equal]} = Emily.Native.equal(worker, [t, two])
    iex> Emily.Native.read(equal)
    {:ok, <<0, 1>>}
    """,
    as_type: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 255>>)
    iex> {:ok, [wide]} = Emily.Native.as_type(worker, [t], %{dtype: :u16})
    iex> {:ok, <<1::16-little, 255::16-little>>} = Emily.Native.read(wide)
    """,
    iota: """
    iex> {:ok, [t]} = Emily.Native.iota(worker, [], %{dtype: :u8, shape: {2, 3}, axis: 1})
    iex> Emily.Native.read(t)
    {:ok, <<0, 1, 2, 0, 1, 2>>}
    """,
    transpose: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2, 3}, <<1, 2, 3, 4, 5, 6>>)
    iex> {:ok, [transposed]} = Emily.Native.transpose(worker, [t], %{axes: [1, 0]})
    iex> Emily.Native.read(transposed)
    {:ok, <<1, 4, 2, 5, 3, 6>>}
    """,
    broadcast: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
    iex> {:ok, [wide]} = Emily.Native.broadcast(worker, [t], %{shape: {2, 3}, axes: [0]})
    iex> Emily.Native.read(wide)
    {:ok, <<1, 1, 1, 2, 2, 2>>}
    """,
    concatenate: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
    iex> {:ok, [joined]} = Emily.Native.concatenate(worker, [t, t], %{axis: 0})
    iex> Emily.Native.read(joined)
    {:ok, <<1, 2, 1, 2>>}
    """,
    select: """
    iex> {:ok, pred} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 0>>)
    iex> {:ok, yes} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
    iex> {:ok, no} = Emily.Native.from_binary(worker, :u8, {2}, <<3, 4>>)
    iex> {:ok, [selected]} = Emily.Native.select(worker, [pred, yes, no])
    iex> Emily.Native.read(selected)
    {:ok, <<1, 4>>}
    """,
    slice: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {4}, <<1, 2, 3, 4>>)
    iex> window = %{starts: [1], lengths: [3], strides: [2]}
    iex> {:ok, [slice]} = Emily.Native.slice(worker, [t], window)
    iex> Emily.Native.read(slice)
    {:ok, <<2, 4>>}
    """,
    sum: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2, 2}, <<1, 2, 3, 4>>)
    iex> {:ok, [sum]} = Emily.Native.sum(worker, [t], %{axes: [1], dtype: :u8})
    iex> Emily.Native.read(sum)
    {:ok, <<3, 7>>}
    """,
    argmax: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {3}, <<5, 9, 9>>)
    iex> {:ok, [first]} = Emily.Native.argmax(worker, [t], %{dtype: :u8})
    iex> {:ok, [last]} = Emily.Native.argmax(worker, [t], %{dtype: :u8, tie_break: :high})
    iex> {Emily.Native.read(first), Emily.Native.read(last)}
    {{:ok, <<1>>}, {:ok, <<2>>}}
    """,
    argsort: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {3}, <<7, 9, 8>>)
    iex> largest_first = %{axis: 0, direction: :desc, dtype: :u8}
    iex> {:ok, [order]} = Emily.Native.argsort(worker, [t], largest_first)
    iex> Emily.Native.read(order)
    {:ok, <<1, 2, 0>>}
    """,
    dot: """
    iex> {:ok, matrix} = Emily.Native.from_binary(worker, :u8, {2, 2}, <<1, 2, 3, 4>>)
    iex> {:ok, vector} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 10>>)
    iex> axes = %{contract_left: [1], contract_right: [0]}
    iex> {:ok, [product]} = Emily.Native.dot(worker, [matrix, vector], axes)
    iex> Emily.Native.read(product)
    {:ok, <<21, 43>>}
    """,
    gather: """
    iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2, 2}, <<1, 2, 3, 4>>)
    iex> {:ok, rows} = Emily.Native.from_binary(worker, :u8, {3, 1}, <<1, 0, 1>>)
    iex> {:ok, [gathered]} = Emily.Native.gather(worker, [t, rows], %{axes: [0]})
    iex> Emily.Native.read(gathered)
    {:ok, <<3, 4, 1, 2, 3, 4>>}
    """,
    qr: """
    iex> {:ok, [t]} = Emily.Native.iota(worker, [], %{dtype: :f32, shape: {3, 2}})
    iex> {:ok, [q, r]} = Emily.Native.qr(worker, [t], %{mode: :reduced})
    iex> {Emily.Native.type(q), Emily.Native.type(r)}
    {{:f32, {3, 2}}, {:f32, {2, 2}}}
    """
  }

  @worker "iex> {:ok, worker} = Emily.Native.start_worker(:cpu)\n"

  @doc "The operation's example, to follow its other documentation. Each operation has one."
  @spec of(atom()) :: String.t()
  def of(op) do
    code = @worker <> Map.fetch!(@examples, op)
    "\n## Examples\n\n" <> String.replace(code, ~r/^(?=.)/m, "    ")
  end
end
