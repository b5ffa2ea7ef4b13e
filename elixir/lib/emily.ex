defmodule Emily do
  @moduledoc """
  Nx on Apple's MLX.

      iex> t = Nx.tensor([[1.0, 2.0], [3.0, 4.0]], backend: Emily.Backend)
      iex> Nx.dot(t, Nx.transpose(t)) |> Nx.to_list()
      [[5.0, 11.0], [11.0, 25.0]]
      iex> Nx.Defn.jit(&Nx.sum/1, compiler: Emily.Compiler).(t) |> Nx.to_number()
      10.0

    * `Emily.Backend` runs Nx's operations: `Nx.default_backend(Emily.Backend)`.
    * `Emily.Compiler` runs `defn`: `Nx.Defn.default_options(compiler: Emily.Compiler)`.
    * `Emily.Fast` has what neural networks are made of, each as one operation.
    * `Emily.Quantization` has matrices in few bits, and their products.
    * `Emily.Stream` lets processes compute side by side.
    * `Emily.Memory` and `Emily.Telemetry` show what it does.
    * `Emily.Case` writes a wrong number down as a case of the conformance suite.
    * `mix emily.doctor` checks the installation.

  This module has what a tensor needs besides Nx. Its functions take a tensor of `Emily.Backend`,
  or the bare handle that `Emily.Native` knows.
  """

  import Emily.Reply, only: [ok!: 1]

  alias Emily.{Backend, Error, Lane, Native}
  alias Emily.Backend.Type
  alias Emily.Native.Async
  alias Nx.Tensor, as: T

  @typedoc "A tensor of `Emily.Backend`, or a bare handle."
  @type tensor :: Nx.Tensor.t() | Native.tensor()

  @doc """
  A bare handle on a copy of `binary`, row-major and little-endian.

  `type` is as in Nx, `{:f, 32}` or `:f32`. The options are those of `Emily.Backend`.
  `Nx.from_binary/3` gives a tensor.

  ## Examples

      iex> handle = Emily.from_binary(<<1, 2, 3, 4>>, {2, 2}, :u8)
      iex> Emily.shape(handle)
      {2, 2}

  """
  @spec from_binary(binary(), Nx.Tensor.shape(), Nx.Type.t() | atom(), keyword()) ::
          Native.tensor()
  def from_binary(binary, shape, type, opts \\ [])

  def from_binary(binary, shape, type, opts) when is_binary(binary) and is_tuple(shape) do
    lane = Lane.for_options(opts)
    dtype = type |> Nx.Type.normalize!() |> Type.to_dtype!(lane.f64)
    lane.worker |> Native.from_binary(dtype, shape, binary) |> named("from_binary") |> ok!()
  end

  def from_binary(binary, shape, _type, _opts) when is_binary(binary) do
    raise ArgumentError,
          "Emily.from_binary: a shape is a tuple, as {2, 2}, got: #{inspect(shape)}"
  end

  def from_binary(binary, _shape, _type, _opts) do
    raise ArgumentError,
          "Emily.from_binary: expected the elements' bytes in a binary, got: #{inspect(binary)}"
  end

  # An error that is of no operation, by the name of the function that was called.
  defp named({:error, %Error{op: nil} = error}, function) do
    {:error, %{error | message: "Emily.#{function}: #{error.message}"}}
  end

  defp named(reply, _function), do: reply

  @doc """
  Computes the tensor and gives its bytes, row-major and little-endian.

  A contiguous tensor is not copied: the binary is MLX's buffer, which lives as long as the binary,
  or a part of it, does.

  ## Examples

      iex> Nx.tensor([1, 2, 3], type: :u8, backend: Emily.Backend) |> Emily.to_binary()
      <<1, 2, 3>>

  """
  @spec to_binary(tensor()) :: binary()
  def to_binary(tensor) do
    ref = ref(tensor)
    metadata = metadata(ref)
    {_class, bits} = metadata.dtype
    size = div(bits, 8) * Tuple.product(metadata.shape)

    :telemetry.span([:emily, :to_binary], Map.put(metadata, :byte_size, size), fn ->
      binary = span_eval(metadata, fn -> ok!(Native.read(ref)) end)
      {binary, Map.put(metadata, :byte_size, byte_size(binary))}
    end)
  end

  @doc """
  The tensor's shape, known before it is computed.

  ## Examples

      iex> Emily.shape(Nx.iota({2, 3}, backend: Emily.Backend))
      {2, 3}

  """
  @spec shape(tensor()) :: Nx.Tensor.shape()
  def shape(tensor), do: metadata(ref(tensor)).shape

  @doc """
  The tensor's type, as Nx has it; known before the tensor is computed.

  ## Examples

      iex> Emily.dtype(Nx.iota({2, 3}, type: :bf16, backend: Emily.Backend))
      {:bf, 16}

  """
  @spec dtype(tensor()) :: Nx.Type.t()
  def dtype(tensor), do: metadata(ref(tensor)).dtype

  @doc """
  Computes the tensor, waits until it is there, and gives it back.

  Raises what went wrong in it, or in what it was computed from.

  ## Examples

      iex> t = Nx.add(Nx.tensor([1, 2], backend: Emily.Backend), 1)
      iex> Emily.eval(t) == t
      true

  """
  @spec eval(t) :: t when t: tensor()
  def eval(tensor) do
    ref = ref(tensor)
    span_eval(metadata(ref), fn -> ok!(Native.eval(ref)) end)
    tensor
  end

  @doc """
  Starts to compute the tensor, and gives it back without waiting.

  Reading it later waits for what is left, and raises what went wrong.

  ## Examples

      iex> Nx.tensor([1, 2], type: :u8, backend: Emily.Backend)
      ...> |> Nx.add(1)
      ...> |> Emily.async_eval()
      ...> |> Nx.to_binary()
      <<2, 3>>

  """
  @spec async_eval(t) :: t when t: tensor()
  def async_eval(tensor) do
    # The request is made, and then its reply is not wanted.
    tensor |> ref() |> Async.eval() |> Async.cancel()
    tensor
  end

  defp ref(%T{data: %Backend{ref: ref}}), do: ref
  defp ref(ref) when is_reference(ref), do: ref

  defp ref(%T{data: %backend{}}) do
    raise ArgumentError,
          "expected a tensor of Emily.Backend, got one of #{inspect(backend)}; " <>
            "copy it first: Nx.backend_copy(tensor, Emily.Backend)"
  end

  defp ref(other) do
    raise ArgumentError,
          "expected a tensor of Emily.Backend, or its handle, got: #{inspect(other)}"
  end

  defp metadata(ref) do
    {dtype, shape} = Native.type(ref)
    %{shape: shape, dtype: Type.from_dtype(dtype)}
  end

  defp span_eval(metadata, fun) do
    :telemetry.span([:emily, :eval], metadata, fn -> {fun.(), metadata} end)
  end
end
