defmodule Emily.Backend.Block do
  @moduledoc false
  # `Nx.block/4`: a native operation where the engine has one, else the block's default function,
  # which calls Nx and so comes back to this backend one operation at a time.

  import Emily.Backend.Fast, only: [is_fast: 1]

  alias Emily.Backend.{Call, Cumulative, Fast, FFT, Index, Quantized, Reduce, Sort, Unary}
  alias Emily.Compiler.Recorder
  alias Emily.{Placement, Quantization, Telemetry}
  alias Nx.Block
  alias Nx.Tensor, as: T

  @linalg [
    Block.LinAlg.Cholesky,
    Block.LinAlg.Determinant,
    Block.LinAlg.Eigh,
    Block.LinAlg.LU,
    Block.LinAlg.QR,
    Block.LinAlg.SVD,
    Block.LinAlg.Solve
  ]

  # What has an operation, whatever its operands are.
  @native [
    Block.Take,
    Block.TakeAlongAxis,
    Block.TopK,
    Block.LogicalNot,
    Block.Phase,
    Block.CumulativeSum,
    Block.CumulativeProduct,
    Block.CumulativeMax,
    Block.CumulativeMin,
    Block.RFFT,
    Block.IRFFT,
    Block.FFT2,
    Block.IFFT2,
    Quantization.Block
  ]

  def block(struct, out, args, default) do
    if native?(struct, args), do: native(struct, out, args), else: composed(struct, args, default)
  end

  @doc "Whether the engine has an operation for the block with these operands."
  # MLX decomposes real matrices only.
  def native?(%module{}, args) when module in @linalg do
    not Enum.any?(args, &Nx.Type.complex?(&1.type))
  end

  def native?(%Block.AllClose{rtol: rtol, atol: atol}, _args) do
    is_number(rtol) and is_number(atol)
  end

  def native?(%module{}, _args), do: module in @native or is_fast(module)

  @doc "Calls the operation that the engine has for the block."
  def native(%module{} = struct, out, args) when module in @linalg, do: linalg(struct, out, args)

  def native(%Block.Take{axis: axis}, out, [%T{} = tensor, indices]) do
    Index.take(out, tensor, indices, axis)
  end

  def native(%Block.TakeAlongAxis{axis: axis}, out, [%T{} = tensor, indices]) do
    Index.take_along_axis(out, tensor, indices, axis)
  end

  def native(%Block.TopK{k: k}, out, [%T{} = tensor]), do: Sort.top_k(out, tensor, k)
  def native(%Block.LogicalNot{}, out, [%T{} = tensor]), do: Unary.logical_not(out, tensor)
  def native(%Block.Phase{}, out, [%T{} = tensor]), do: Unary.phase(out, tensor)

  def native(%Block.AllClose{} = struct, out, [%T{} = left, right]) do
    Reduce.all_close(out, left, right, Map.from_struct(struct))
  end

  def native(%Block.CumulativeSum{} = scan, out, [%T{} = tensor]) do
    Cumulative.cumulative_sum(scan, out, tensor)
  end

  def native(%Block.CumulativeProduct{} = scan, out, [%T{} = tensor]) do
    Cumulative.cumulative_product(scan, out, tensor)
  end

  def native(%Block.CumulativeMax{} = scan, out, [%T{} = tensor]) do
    Cumulative.cumulative_max(scan, out, tensor)
  end

  def native(%Block.CumulativeMin{} = scan, out, [%T{} = tensor]) do
    Cumulative.cumulative_min(scan, out, tensor)
  end

  def native(%Block.RFFT{axis: axis, length: length}, out, [%T{} = tensor]) do
    FFT.fourier(:rfft, out, tensor, axis, length)
  end

  def native(%Block.IRFFT{axis: axis, length: length}, out, [%T{} = tensor]) do
    # What the block's default function gives, though Nx has the operand's type here.
    FFT.fourier(:irfft, %{out | type: {:f, 32}}, tensor, axis, length)
  end

  def native(%Block.FFT2{axes: axes, lengths: lengths}, out, [%T{} = tensor]) do
    FFT.fourier2(:fft2, out, tensor, axes, lengths)
  end

  def native(%Block.IFFT2{axes: axes, lengths: lengths}, out, [%T{} = tensor]) do
    FFT.fourier2(:ifft2, out, tensor, axes, lengths)
  end

  def native(%Quantization.Block{} = block, out, args), do: Quantized.block(block, out, args)
  def native(%module{} = struct, out, args) when is_fast(module), do: Fast.run(struct, out, args)

  defp linalg(%Block.LinAlg.Cholesky{}, out, args), do: Call.run(:cholesky, out, args)
  defp linalg(%Block.LinAlg.Determinant{}, out, args), do: Call.run(:determinant, out, args)
  defp linalg(%Block.LinAlg.LU{}, outs, args), do: Call.run_all(:lu, outs, args, %{})

  # LAPACK iterates until rounding is all that is left: `max_iter` and `eps` ask for nothing more. Under
  # defn the templates have the types that come of Nx's default function, whose vector of a single
  # integer is an integer.
  defp linalg(%Block.LinAlg.Eigh{}, {values, vectors}, args) do
    {w, v} = Call.run_all(:eigh, {values, %{vectors | type: values.type}}, args, %{})
    {w, of_type(v, vectors.type)}
  end

  # U and V likewise, of a single column or row of integers.
  defp linalg(%Block.LinAlg.SVD{full_matrices?: full}, {u, s, v}, args) do
    outs = {%{u | type: s.type}, s, %{v | type: s.type}}
    {left, s, right} = Call.run_all(:svd, outs, args, %{full_matrices: full})
    {of_type(left, u.type), s, of_type(right, v.type)}
  end

  # Under defn the template has the type that comes of Nx's default function, which makes f32 of an
  # integer matrix before it meets B.
  defp linalg(%Block.LinAlg.Solve{}, out, [a, b]) do
    type = a.type |> Nx.Type.merge(b.type) |> Nx.Type.to_floating()
    :solve |> Call.run(%{out | type: type}, [a, b]) |> of_type(out.type)
  end

  defp linalg(%Block.LinAlg.QR{mode: mode}, outs, args) do
    Call.run_all(:qr, outs, args, %{mode: mode})
  end

  defp of_type(%T{type: type} = tensor, type), do: tensor
  defp of_type(tensor, type), do: Nx.as_type(tensor, type)

  defp composed(struct, args, default) do
    note_default(struct, args)
    Placement.beside(args, fn -> apply(default, [struct | args]) end)
  end

  @doc "Tells that a block runs its default function; of one that is written down, each time it runs."
  def note_default(%module{}, args) do
    metadata = args |> Telemetry.inputs() |> Map.put(:block, module)
    event = [:emily, :block, :fallback]

    if Recorder.recording?() do
      Recorder.note(event, %{count: 1}, metadata)
    else
      :telemetry.execute(event, %{count: 1}, metadata)
    end
  end
end
