defmodule Emily.Error do
  @moduledoc """
  What went wrong in the engine, and in which call.

    * `:kind` - what a caller can act on:
      * `:shape` - operand shapes do not fit the operation or each other;
      * `:dtype` - the operation does not take this element type, or MLX does not have it;
      * `:argument` - an attribute, a number of operands or bytes is wrong, or a tensor was
        deallocated;
      * `:index` - an index in the data is out of range;
      * `:memory` - the result would not fit in memory;
      * `:device` - the device asked for is not there;
      * `:numeric` - the values have no answer, as in an integer division by zero;
      * `:stopped` - the worker was stopped before it came to this, or the application is not
        started;
      * `:timeout` - the caller stopped waiting;
      * `:internal` - a fault of Emily or MLX.
    * `:message` - what is wrong, and the remedy.
    * `:call` - the operation with its operands and attributes as text, `nil` where there is none.
    * `:op`, `:attrs` - the operation and its attributes, `nil` where there is none.
    * `:inputs` - the operands' dtypes and shapes, as `{:f32, {2, 3}}`.
    * `:worker` - the name of the worker it ran on, `nil` when it never got that far.

  The call is the one that failed first: reading a tensor reports the operation that went wrong,
  not the ones that were computed from it.
  """

  defexception [:kind, :message, :call, :op, :attrs, :worker, inputs: []]

  @type kind ::
          :shape
          | :dtype
          | :argument
          | :index
          | :memory
          | :device
          | :numeric
          | :stopped
          | :timeout
          | :internal

  @type t :: %__MODULE__{
          kind: kind(),
          message: String.t(),
          call: String.t() | nil,
          op: atom() | nil,
          attrs: map() | nil,
          inputs: [{Emily.Native.dtype(), Emily.Native.shape()}],
          worker: String.t() | nil
        }

  @doc """
  The message with the call in front of it and the worker behind. That of an index begins as Nx's own.

  ## Examples

      iex> Exception.message(%Emily.Error{kind: :numeric, message: "division by zero",
      ...>   call: "quotient(s32[2], s32[])", worker: "worker 0 on cpu:0"})
      "quotient(s32[2], s32[]): division by zero (on worker 0 on cpu:0)"

      iex> Exception.message(%Emily.Error{kind: :index, call: "take(s32[3], s32[], axis: 0)",
      ...>   message: "index 5 is out of bounds for axis 0 in shape {3}"})
      "index 5 is out of bounds for axis 0 in shape {3}, in take(s32[3], s32[], axis: 0)"

  """
  @impl true
  def message(%__MODULE__{call: nil} = error), do: error.message

  def message(%__MODULE__{} = error) do
    worker = if error.worker, do: " (on #{error.worker})", else: ""
    told(error.kind, error.call, error.message) <> worker
  end

  defp told(:index, call, message), do: "#{message}, in #{call}"
  defp told(_kind, call, message), do: "#{call}: #{message}"

  @no_gpu "no GPU that this MLX can use; ask for the cpu, or install for the GPU: `config :emily, variant: :cuda13`, " <>
            "built with EMILY_BUILD=1 (Linux with an NVIDIA GPU), or `variant: :aot` (a Mac)"

  # The engine's remedy for a device that is absent is for who builds it; this is for who installs it.
  @doc false
  def from_native(%{kind: :device} = fields),
    do: struct!(__MODULE__, %{fields | message: @no_gpu})

  def from_native(fields), do: struct!(__MODULE__, fields)

  # At a call that the library could not read as one, and so has no text of.
  @doc false
  def at(%__MODULE__{} = error, op, attrs, inputs) do
    operands = Enum.map(inputs, &type/1)
    given = if is_map(attrs), do: attrs |> Map.to_list() |> Enum.map(&attribute/1), else: []
    name = if is_atom(op), do: Atom.to_string(op), else: inspect(op)
    call = "#{name}(#{Enum.join(operands ++ given, ", ")})"
    attrs = if is_map(attrs), do: attrs
    %{error | call: call, op: op, attrs: attrs, inputs: inputs}
  end

  defp type({dtype, shape}), do: "#{dtype}[#{shape |> Tuple.to_list() |> Enum.join(",")}]"

  # Whatever was given for attributes.
  defp attribute({name, value}) when is_atom(name), do: "#{name}: #{inspect(value)}"
  defp attribute({name, value}), do: "#{inspect(name)} => #{inspect(value)}"
end
