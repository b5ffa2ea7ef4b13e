defmodule Emily.Native.Async do
  @moduledoc """
  A request to a worker, and the wait for its reply.

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, [t]} = Emily.Native.iota(worker, [], %{dtype: :u8, shape: {3}})
      iex> async = Emily.Native.Async.read(t)
      iex> Emily.Native.Async.await!(async)
      <<0, 1, 2>>

  The worker posts `{ref, {:ok, term}}` or `{ref, {:error, term}}` to the process that asked, and
  `await/2` receives it there. Only that process can await or cancel. Where too much is asked of a
  worker already, asking waits until there is room, as an operation does.

  ## No late replies

  A process that stops waiting never finds the reply in its mailbox later. A process alias would
  see to that between processes, but `enif_send` takes a process id and no alias. So the request
  is the alias: it is *waiting*, *sending*, *sent* or *withdrawn*, and worker and caller change that
  in atomic steps. `cancel/1` withdraws a waiting request, after which nothing is sent; of one
  that was sent, it takes the message out of the mailbox. A request that is garbage-collected is
  withdrawn as well.
  """

  alias Emily.Error
  alias Emily.Native.NIF

  # The most milliseconds that a `receive` waits.
  @longest 0xFFFF_FFFF

  @enforce_keys [:ref, :request]
  defstruct [:ref, :request]

  @typedoc "A request whose reply is still to be awaited or cancelled."
  @opaque t :: %__MODULE__{ref: reference(), request: reference()}

  @typedoc "What is asked: a call that starts the request for a reply tagged with the reference."
  @type ask :: (reference() -> reference())

  @doc """
  Asks for the tensor's bytes.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
      iex> t |> Emily.Native.Async.read() |> Emily.Native.Async.await()
      {:ok, <<1, 2>>}

  """
  @spec read(Emily.Native.tensor()) :: t()
  def read(tensor), do: start(tensor, &NIF.read(tensor, &1))

  @doc """
  Asks for the tensor to be computed.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
      iex> t |> Emily.Native.Async.eval() |> Emily.Native.Async.await()
      :ok

  """
  @spec eval(Emily.Native.tensor()) :: t()
  def eval(tensor), do: start(tensor, &NIF.eval(tensor, &1))

  defp start(tensor, ask) do
    ref = make_ref()
    request = ask.(ref)
    if room = NIF.room(tensor), do: receive(do: ({^room, :room} -> :ok))
    %__MODULE__{ref: ref, request: request}
  end

  @doc """
  Waits for the reply: `{:ok, term}`, or `:ok` where there is nothing to tell, or `{:error, error}`.

  After `timeout` milliseconds the request is cancelled, and the error's kind is `:timeout`.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
      iex> async = Emily.Native.Async.read(t)
      iex> Emily.Native.Async.await(async, 5_000)
      {:ok, <<1, 2>>}

  """
  @spec await(t(), timeout()) :: {:ok, term()} | :ok | {:error, Error.t()}
  def await(%__MODULE__{ref: ref, request: request}, timeout \\ :infinity) do
    check_timeout!(timeout)

    receive do
      {^ref, reply} -> result(reply)
    after
      timeout -> give_up(ref, request, timeout)
    end
  end

  @doc """
  As `await/2`, but gives the bare term and raises the error.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
      iex> t |> Emily.Native.Async.read() |> Emily.Native.Async.await!()
      <<1, 2>>

  """
  @spec await!(t(), timeout()) :: term()
  def await!(%__MODULE__{} = async, timeout \\ :infinity) do
    case await(async, timeout) do
      :ok -> :ok
      {:ok, term} -> term
      {:error, error} -> raise error
    end
  end

  @doc """
  Gives up on the reply; it is neither in the mailbox nor will it come.

  ## Examples

      iex> {:ok, worker} = Emily.Native.start_worker(:cpu)
      iex> {:ok, t} = Emily.Native.from_binary(worker, :u8, {2}, <<1, 2>>)
      iex> async = Emily.Native.Async.read(t)
      iex> Emily.Native.Async.cancel(async)
      :ok

  """
  @spec cancel(t()) :: :ok
  def cancel(%__MODULE__{ref: ref, request: request}) do
    _reply = withdraw(ref, request)
    :ok
  end

  @doc false
  # Asks and waits in one function, so that the receive skips what was in the mailbox before the
  # reference was made, however much that is.
  @spec call(ask(), timeout()) :: {:ok, term()} | :ok | {:error, Error.t()}
  def call(ask, timeout \\ :infinity) do
    check_timeout!(timeout)
    ref = make_ref()
    request = ask.(ref)

    receive do
      {^ref, reply} -> result(reply)
    after
      timeout -> give_up(ref, request, timeout)
    end
  end

  @doc false
  @spec check_timeout!(term()) :: :ok
  def check_timeout!(:infinity), do: :ok

  def check_timeout!(timeout)
      when is_integer(timeout) and timeout >= 0 and timeout <= @longest,
      do: :ok

  def check_timeout!(timeout) do
    raise ArgumentError,
          "expected the timeout to be :infinity or milliseconds from 0 to #{@longest}, " <>
            "got: #{inspect(timeout)}"
  end

  defp give_up(ref, request, timeout) do
    case withdraw(ref, request) do
      {:ok, reply} ->
        result(reply)

      :none ->
        message = "the worker did not reply within #{timeout} ms"
        {:error, %Error{kind: :timeout, message: message}}
    end
  end

  # The reply, if it was sent before it could be withdrawn.
  defp withdraw(ref, request) do
    case NIF.withdraw(request) do
      :withdrawn ->
        :none

      :sent ->
        receive do
          {^ref, reply} -> {:ok, reply}
        after
          0 -> :none
        end

      :sending ->
        receive do
          {^ref, reply} -> {:ok, reply}
        after
          1 -> withdraw(ref, request)
        end
    end
  end

  defp result({:ok, :done}), do: :ok
  defp result({:ok, term}), do: {:ok, term}
  defp result({:error, error}), do: {:error, Error.from_native(error)}
end
