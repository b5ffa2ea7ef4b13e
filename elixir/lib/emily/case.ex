defmodule Emily.Case do
  @moduledoc """
  A wrong number, written down so that it can be judged.

  `record/3` runs a function and writes each operation that it called, with its operands to the bit,
  as a case of the conformance suite. In a checkout of Emily,

      cargo xtask conformance --case emily_cases/remainder.toml

  replays it on every layer against the reference, which says which layer is wrong, and by how much.
  Such a file is what a bug report needs.
  """

  alias Emily.{Backend, Native, Reply}
  alias Nx.Tensor, as: T

  @calls {__MODULE__, :calls}
  @most 65_536
  # Of a result: what the reference computes, in oracle/src/lib.rs.
  @most_given 67_108_864

  @doc """
  Runs `fun` with `args` and writes what it called; gives the files, one per operation.

  Tensors among the arguments, also within lists, tuples, maps and structs, are copied to `Emily.Backend`
  unless they are there. An error that `fun` raises is what the last case is about, and is not raised again,
  unless nothing was called before; where it throws or exits, nothing is written. What it calls in other
  processes is not recorded, nor is a function that `Emily.Compiler` compiled before: compile it within `fun`.

  A file is named after its operation, with a number where one of that name is there: what was
  recorded before stays.

  ## Options

    * `:to` - the folder to write to, made if it is missing. Defaults to `"emily_cases"`.
    * `:why` - what looks wrong, for whoever reads the case.

  Raises `ArgumentError` where nothing was called on Emily, for an operand of more than #{@most}
  elements or a result of more than #{@most_given}, and where `fun` itself records.

  ## Examples

      iex> folder = Path.join(System.tmp_dir!(), "emily_cases")
      iex> t = Nx.tensor([5.5, -5.5], backend: Emily.Backend)
      iex> [file] = Emily.Case.record(&Nx.remainder/2, [t, 2], to: folder)
      iex> File.read!(file) =~ "remainder"
      true

  """
  @spec record(fun(), [term()], keyword()) :: [Path.t()]
  def record(fun, args, opts \\ []) when is_function(fun) and is_list(args) do
    opts = Keyword.validate!(opts, to: "emily_cases", why: "recorded by Emily.Case.record/3")

    calls =
      fun
      |> calls(Enum.map(args, &to_emily/1))
      |> Enum.map(fn {op, attrs, refs, results} ->
        Enum.each(results, &small!(&1, "a result", @most_given))
        {op, fields(attrs, refs)}
      end)
      |> Enum.uniq()

    if calls == [] do
      raise ArgumentError,
            "Emily.Case.record: the function called no operation of Emily.Backend; " <>
              "pass it tensors, or make them with backend: Emily.Backend"
    end

    File.mkdir_p!(opts[:to])
    names = calls |> Enum.map(&elem(&1, 0)) |> Enum.uniq()

    for name <- names do
      cases = for {^name, fields} <- calls, do: fields
      create(opts[:to], name, &text(name, cases, opts[:why], &1))
    end
  end

  # With the number of the file in its name and in its cases', but for the first.
  defp create(folder, name, text, number \\ 1) do
    suffix = if number == 1, do: "", else: "_#{number}"
    file = Path.join(folder, "#{name}#{suffix}.toml")

    case File.write(file, text.(suffix), [:exclusive]) do
      :ok -> file
      {:error, :eexist} -> create(folder, name, text, number + 1)
      {:error, reason} -> raise File.Error, reason: reason, action: "write to file", path: file
    end
  end

  @doc false
  def recording?, do: Process.get(@calls) != nil

  @doc false
  # What `fun` gives, which the backend calls an operation with; noted before, as it may raise.
  def noted(op, attrs, refs, fun) do
    case Process.get(@calls) do
      nil ->
        fun.()

      calls ->
        Process.put(@calls, [{op, attrs, refs, []} | calls])
        results = fun.()
        Process.put(@calls, [{op, attrs, refs, Enum.map(results, &Native.type/1)} | calls])
        results
    end
  end

  defp to_emily(%T{data: %Backend{}} = tensor), do: tensor
  defp to_emily(%T{} = tensor), do: Nx.backend_copy(tensor, Backend)
  defp to_emily([head | tail]), do: [to_emily(head) | to_emily(tail)]

  defp to_emily(tuple) when is_tuple(tuple) do
    tuple |> Tuple.to_list() |> to_emily() |> List.to_tuple()
  end

  defp to_emily(%_struct{} = struct) do
    struct!(struct, struct |> Map.from_struct() |> to_emily())
  end

  defp to_emily(map) when is_map(map),
    do: Map.new(map, fn {key, value} -> {key, to_emily(value)} end)

  defp to_emily(other), do: other

  defp calls(fun, args) do
    if Process.get(@calls) do
      raise ArgumentError,
            "Emily.Case.record: this process is already recording; record once, outside"
    end

    Process.put(@calls, [])

    try do
      try do
        apply(fun, args)
      rescue
        error -> if Process.get(@calls) == [], do: reraise(error, __STACKTRACE__)
      end

      @calls |> Process.get() |> Enum.reverse()
    after
      Process.delete(@calls)
    end
  end

  # A case's fields but for its name.
  defp fields(attrs, refs) do
    attrs = for {name, value} <- Enum.sort(attrs), value != nil, do: "#{name} = #{toml(value)}"
    operands = Enum.map(refs, &inspect(literal(&1), printable_limit: :infinity))

    [
      if(attrs != [], do: "attrs = { #{Enum.join(attrs, ", ")} }\n", else: ""),
      if(operands != [], do: "in = [#{Enum.join(operands, ", ")}]\n", else: "")
    ]
  end

  defp text(name, cases, why, suffix) do
    date = Date.utc_today()
    day = date |> Date.to_iso8601() |> String.replace("-", "_")

    cases =
      for {fields, number} <- Enum.with_index(cases, 1) do
        case_name = "recorded_#{day}#{suffix}_#{number}"
        ["\n[[case]]\nname = \"#{case_name}\"\nwhy = #{quoted(why)}\n" | fields]
      end

    ["op = \"#{name}\"\ndoc = \"Calls recorded on #{date}.\"\n" | cases]
  end

  # A string as TOML writes it, whose escapes are not Elixir's.
  defp quoted(text) do
    escaped =
      Regex.replace(~r/["\\\x00-\x1F\x7F]/, text, fn
        <<char>> when char in ~c(\"\\) -> <<?\\, char>>
        <<char>> -> "\\u" <> String.pad_leading(Integer.to_string(char, 16), 4, "0")
      end)

    ~s("#{escaped}")
  end

  defp literal(ref) do
    {dtype, shape} = Native.type(ref)
    small!({dtype, shape}, "an operand", @most)
    bytes = ref |> Native.read() |> Reply.ok!()
    dims = shape |> Tuple.to_list() |> Enum.join(",")
    Enum.join(["#{dtype}[#{dims}]" | elements(dtype, bytes)], " ")
  end

  defp small!({_dtype, shape}, what, most) do
    if Tuple.product(shape) > most do
      raise ArgumentError,
            "Emily.Case.record: #{what} of #{inspect(shape)} is over #{most} elements; " <>
              "pass a part of it that shows the same"
    end
  end

  # A complex number is its parts.
  defp elements(:c64, bytes) do
    for <<re::binary-4, im::binary-4 <- bytes>>, do: "(#{bits(re)},#{bits(im)})"
  end

  defp elements(dtype, bytes) do
    size = dtype |> Backend.Type.from_dtype() |> elem(1)
    for <<element::binary-size(div(size, 8)) <- bytes>>, do: bits(element)
  end

  # Most significant digit first; the bytes are little-endian.
  defp bits(element) do
    size = 8 * byte_size(element)
    <<bits::little-size(size)>> = element
    "#" <> Base.encode16(<<bits::size(size)>>, case: :lower)
  end

  defp toml(value) when is_boolean(value) or is_float(value), do: to_string(value)
  # TOML's integers end at 2^63; an attribute counts modulo 2^64.
  defp toml(value) when is_integer(value) and value > 0x7FFF_FFFF_FFFF_FFFF,
    do: to_string(value - 0x1_0000_0000_0000_0000)

  defp toml(value) when is_integer(value), do: to_string(value)
  defp toml(:infinity), do: ~s("inf")
  defp toml(:neg_infinity), do: ~s("-inf")
  defp toml(value) when is_atom(value), do: inspect(to_string(value))
  defp toml(value) when is_tuple(value), do: value |> Tuple.to_list() |> toml()
  defp toml(values) when is_list(values), do: "[#{Enum.map_join(values, ", ", &toml/1)}]"
end
