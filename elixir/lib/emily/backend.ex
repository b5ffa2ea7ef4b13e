defmodule Emily.Backend do
  @moduledoc """
  An Nx backend on Apple's MLX.

      Nx.default_backend(Emily.Backend)
      Nx.dot(Nx.iota({2, 3}), Nx.iota({3, 2}))

  or for everything, in `config/config.exs`:

      config :nx, default_backend: Emily.Backend

  ## Options

    * `:device` - `:cpu` or `:gpu`; the GPU where there is one unless given. Asking for one that is
      absent is an error that says what to do.
    * `:f64` - with `device: :cpu`, accept `f64` tensors. Off unless given, so that what works on a
      CPU also does on a GPU, where MLX has no `f64`.

  A result is on its first operand's device, or on that of the process's `Emily.Stream`.

  ## Types

  `u8` to `u64`, `s8` to `s64`, `f16`, `bf16`, `f32` and `c64`; `f64` where it was opted in to. MLX
  has no primitive for the others (`f8`, `f8_e4m3fn`, `c128`, and integers below 8 bits): those are
  an `ArgumentError` that names a type to use instead.

  What is complex has no double precision, then: `Nx.fft/2`, `Nx.ifft/2`, `Nx.fft2/2`, `Nx.ifft2/2`,
  `Nx.rfft/2` and `Nx.conjugate/1` of an `f64` tensor would be `c128`, and are refused, and so is what merges
  an `f64` with a `c64`. `Nx.irfft/2` is refused with them: its result is real, but MLX gets there by `c64`,
  with the digits of `f32`. Cast the operand to `f32`, or use `Nx.BinaryBackend`.

  Pointers are refused, as MLX can neither know how long foreign memory lives nor say how long a buffer of
  its own does: instead of `Nx.from_pointer/5` use `Nx.from_binary/3`, and of `Nx.to_pointer/2`
  `Nx.to_binary/1`.

  ## When things are computed

  An operation is queued and its result is a handle; reading (`Nx.to_binary/1` and everything
  built on it, `Emily.eval/1`) waits for it. On the CPU a small operation on tensors that are there is
  computed in the call, as that takes less than to queue it. What Nx checks is raised at the call. What depends on
  values, as an index out of range or an integer division by zero, is raised at the read, and names
  the operation that failed first:

      iex> t = Nx.tensor([1, 2, 3], type: :u8, backend: Emily.Backend)
      iex> bad = Nx.gather(t, Nx.tensor([[7]]))
      iex> try do
      ...>   Nx.to_binary(Nx.add(bad, 1))
      ...> rescue
      ...>   error in ArgumentError -> error.message =~ "gather(u8[3], s32[1,1]"
      ...> end
      true

  With `config :emily, dispatch: :sync` every operation is waited for, and raises, where it is
  called: slower, and good for debugging.

  Exceptions are Nx's: an `ArgumentError` for shapes, types, arguments and indices, an
  `ArithmeticError` for a division by zero. An `Emily.Error` is what Nx has no word for: memory, a
  closed stream, a fault of MLX.

  ## What runs where

  `fallbacks/0` lists the callbacks that have no native operation, as their function is Elixir's:
  `reduce` and `window_reduce` copy their operands out, run on `Nx.BinaryBackend`, and copy the
  result in. Each call is seen by telemetry (`Emily.Telemetry`), and

      config :emily, fallback: :warn

  logs it, once per operation and shapes; `:raise` makes it a `RuntimeError`, for CI; `:silent` is
  the default. (`warn_on_fallback: true` is the older form of `:warn`.) An `Nx.block/4` without a
  native operation runs its default function on this backend, operation by operation: another
  library's blocks, `Nx.LinAlg`'s `cholesky`, `solve`, `qr`, `eigh`, `lu` and `determinant` of complex
  matrices, which MLX does not decompose, and `Nx.all_close/3` with tolerances that are tensors. Telemetry sees
  each (`[:emily, :block, :fallback]`), and `:raise` lets them be.

  ## Where answers are not those of `Nx.BinaryBackend`

    * `Nx.LinAlg.qr/2` has Nx's signs, but where Nx's own elimination leaves exactly nothing below the
      diagonal of a column after the first that it reflects, as it may of whole numbers. Nx does not
      reflect such a column; Emily's signs are as if it did, as LAPACK does not tell. Nx's gradient of
      `qr` computes Nx's factors beside Emily's, so of such a matrix it is wrong. With
      `mode: :complete`, `R` multiplies the columns of `Q` after the `n`-th by zero: they complete the
      basis, but are not those of `Nx.BinaryBackend`.
    * `Nx.LinAlg.eigh/2` and `Nx.LinAlg.svd/2` order values as Nx does; the signs of their vectors, and
      which basis the vectors of a repeated value are, differ between backends. Emily's signs depend on
      the vectors alone, so that Nx's gradients of `svd` and `pinv`, for which Nx's own function finds
      the factors again by Emily's `eigh`, are of the same ones.
    * `Nx.Random.randint/4` of `u64` over 2^63 numbers or more is 0: the types that Nx casts the span to
      make -1 of it, of which `Nx.BinaryBackend` takes the remainder without the cast.
    * `Nx.Random.normal/2` in `bf16` has an infinity in one of 128 draws: the least uniform number that
      Nx asks for is next to -1 in `f16`, and -1 once it is rounded to `bf16`, which
      `Nx.BinaryBackend` truncates. Draw in `f32`, and `Nx.as_type/2`.

  DIVERGENCES.md in Emily's repository lists what else differs, with its reason.

  ## Debugging

  Two flags are compiled in or not there at all:

    * `config :emily, debug_bounds_check: true` - an index out of range, also of the matrices that
      `gather_mm` and `gather_qmm` pick, is raised where it is called, not where it is read;
    * `config :emily, debug_detect_nan_inf: true` - a NaN or an infinity in what a product of
      matrices gives, packed and picked ones too, a convolution, or a norm, an attention or an einsum of
      `Emily.Fast`, is an `ArithmeticError` where it is called.

  Each waits for the operation it looks at. Leave both off in releases.

  ## Inspecting

  An inspected tensor names its backend and device. For doctests that are to read the same on every
  backend,

      config :emily, add_backend_on_inspect: false

  leaves that line away.

  ## Tensors between processes

  A tensor may be sent to, and read by, any process of its VM; it is freed when nobody holds it.
  To send one to another node, send a copy: `Nx.backend_copy(tensor, Nx.BinaryBackend)`.
  `Nx.backend_deallocate/1` frees at once, whoever still holds it.
  """

  @behaviour Nx.Backend

  alias Emily.Backend

  @enforce_keys [:ref, :device, :f64]
  defstruct [:ref, :device, :f64]

  @typedoc "The data of a tensor on this backend: its handle, and the options that results inherit."
  @type t :: %__MODULE__{
          ref: Emily.Native.tensor(),
          device: :cpu | :gpu,
          f64: boolean()
        }

  @callbacks Nx.Backend.behaviour_info(:callbacks)

  # One module per family of operations. A function with a callback's name and arity is that callback.
  @modules [
    Backend.Lifecycle,
    Backend.Creation,
    Backend.Unary,
    Backend.Binary,
    Backend.Shape,
    Backend.Index,
    Backend.Reduce,
    Backend.Sort,
    Backend.Window,
    Backend.LinAlg,
    Backend.Conv,
    Backend.FFT,
    Backend.Block
  ]

  @native for module <- @modules,
              callback <- module.__info__(:functions),
              callback in @callbacks,
              do: {callback, module}

  @fallbacks for callback <- @callbacks, not List.keymember?(@native, callback, 0), do: callback

  for {{name, arity}, module} <- @native do
    args = Macro.generate_arguments(arity, __MODULE__)

    @impl true
    defdelegate unquote(name)(unquote_splicing(args)), to: module
  end

  for {name, arity} <- @fallbacks do
    args = Macro.generate_arguments(arity, __MODULE__)

    @impl true
    def unquote(name)(unquote_splicing(args)) do
      Emily.Fallback.run(unquote(name), unquote(args))
    end
  end

  @doc """
  The callbacks of `Nx.Backend` that run on `Nx.BinaryBackend`, by name.

  ## Examples

      iex> :reduce in Emily.Backend.fallbacks()
      true
      iex> :dot in Emily.Backend.fallbacks()
      false

  """
  @spec fallbacks() :: [atom()]
  def fallbacks, do: unquote(@fallbacks |> Keyword.keys() |> Enum.sort())
end
