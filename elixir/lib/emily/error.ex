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
    * `:op`, `:attrs` - the operation and its attributes, `nil` where there is none.
    * `:inputs` - the operands' dtypes and shapes, as `{:f32, {2, 3}}`.
    * `:worker` - the name of the worker it ran on, `nil` when it never got that far.

  The call is the one that failed first: reading a tensor reports the operation that went wrong,
  not the ones that were computed from it.
  """

  defexception [:kind, :message, :op, :attrs, :worker, inputs: []]

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
          op: atom() | nil,
          attrs: map() | nil,
          inputs: [{Emily.Native.dtype(), Emily.Native.shape()}],
          worker: String.t() | nil
        }

  @doc """
  The message with the call in front of it and the worker behind. That of an index begins as Nx's own.

  ## Examples

      iex> Exception.message(%Emily.Error{kind: :numeric, message: "division by zero", op: :quotient,
      ...>   attrs: %{}, inputs: [{:s32, {2}}, {:s32, {}}], worker: "worker 0 on cpu:0"})
      "quotient(s32[2], s32[]): division by zero (on worker 0 on cpu:0)"

      iex> Exception.message(%Emily.Error{kind: :index, op: :take, attrs: %{axis: 0},
      ...>   message: "index 5 is out of bounds for axis 0 in shape {3}", inputs: [{:s32, {3}}, {:s32, {}}]})
      "index 5 is out of bounds for axis 0 in shape {3}, in take(s32[3], s32[], axis: 0)"

  """
  @impl true
  def message(%__MODULE__{op: nil} = error), do: error.message

  def message(%__MODULE__{} = error) do
    operands = Enum.map_join(error.inputs, ", ", &type/1)
    attrs = if error.attrs in [nil, %{}], do: "", else: attrs(error.attrs, operands)
    worker = if error.worker, do: " (on #{error.worker})", else: ""
    call = "#{error.op}(#{operands}#{attrs})"
    told(error.kind, call, error.message) <> worker
  end

  defp told(:index, call, message), do: "#{message}, in #{call}"
  defp told(_kind, call, message), do: "#{call}: #{message}"

  defp type({dtype, shape}) do
    "#{dtype}[#{shape |> Tuple.to_list() |> Enum.join(",")}]"
  end

  defp attrs(attrs, operands) do
    comma = if operands == "", do: "", else: ", "
    comma <> Enum.map_join(attrs, ", ", fn {name, value} -> "#{name}: #{inspect(value)}" end)
  end

  @doc false
  def from_native(fields), do: struct!(__MODULE__, fields)
end
