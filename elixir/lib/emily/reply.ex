defmodule Emily.Reply do
  @moduledoc false
  # What `Emily.Native` gives back, as values or as the exceptions that a user of Nx expects.

  alias Emily.Error
  alias Emily.Native.NIF

  @handles %{
    tensor: {"tensor", "send a copy instead: Nx.backend_copy(tensor, Nx.BinaryBackend)"},
    stream: {"stream", "make one here: Emily.Stream.new/1"},
    program: {"compiled function", "compile it here: send the function that it was compiled from"}
  }
  @argument_kinds [:shape, :dtype, :argument, :index]

  @doc """
  The value of a reply, or an exception.

  What Nx calls a wrong argument is an `ArgumentError`, a division by zero an `ArithmeticError`, and
  the rest, which Nx does not know, an `Emily.Error`. The message is the engine's in each case: the
  operation, its operands, what is wrong and what to do.
  """
  @spec ok!(:ok | {:ok, value} | {:error, Error.t()}) :: :ok | value when value: term()
  def ok!(:ok), do: :ok
  def ok!({:ok, value}), do: value
  def ok!({:error, %Error{} = error}), do: raise(exception(error))

  defp exception(%Error{kind: kind} = error) when kind in @argument_kinds do
    ArgumentError.exception(Exception.message(error))
  end

  defp exception(%Error{kind: :numeric} = error) do
    ArithmeticError.exception(message: Exception.message(error))
  end

  defp exception(%Error{} = error), do: error

  @doc """
  The exception for a call that `Emily.Native` did not take at all, because of a handle.

  A handle is good in the VM that made it only; sent to another one it is a bare reference.
  """
  @spec explain(ArgumentError.t(), [term()], :tensor | :stream | :program) :: ArgumentError.t()
  def explain(error, refs, kind \\ :tensor) do
    case Enum.find(refs, &(is_reference(&1) and not handle?(&1))) do
      nil ->
        error

      ref ->
        {name, remedy} = @handles[kind]
        ArgumentError.exception("this #{name} is #{whereabouts(ref)}; #{remedy}")
    end
  end

  # Of any kind: one of another kind than was asked for is of this VM.
  defp handle?(ref),
    do: Enum.any?([&NIF.type/1, &NIF.device/1, &NIF.program_info/1], &takes?(&1, ref))

  defp takes?(fun, ref) do
    _known = fun.(ref)
    true
  rescue
    ArgumentError -> false
  end

  defp whereabouts(ref) when node(ref) != node() do
    "in the memory of #{node(ref)}, and this is #{node()}"
  end

  defp whereabouts(_ref), do: "of another VM, or was freed while only another VM knew of it"
end
