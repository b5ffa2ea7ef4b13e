defmodule Emily.Conformance.Server do
  @moduledoc """
  Answers the conformance suite's calls, one after the other, for as long as it is asked.

  The runner (`emily-conformance`, in Rust) starts one VM, writes requests to its file descriptor 3
  and reads answers from 4, so that nothing that is printed can get between them. A message is a
  term in Erlang's external format behind four big-endian bytes with its length.

  Requests:

    * `{:run, layer, device, [{op, attrs, inputs}]}` - operations, all of which are called before
      the first result is read. `layer` is `:nif`, `:nx`, `:backend`, `:compiler` or `:peer`, the
      backend that the server was started with. An input is `{dtype, dims, bytes, views}`: little-endian elements of the base, and the operations
      `{op, attrs}` that make the operand of it, in order.
    * `{:grad, device, op, attrs, inputs, wrt, weights}` - the gradients, by the operands in `wrt`, of
      the sum of all results, each times its weights.
    * `{:ask, module, question}` - what the module's `answer/1` gives: a list of results.
    * `:versions` - what runs here.

  Answers:

    * `{:each, answers}` - to `:run`: one of the following for each operation.
    * `{:ok, [{dtype, dims, bytes}]}`
    * `{:error, kind, message}` - an `Emily.Error`.
    * `{:unanswered, module, text}` - arithmetic that Erlang has no answer for: its floats have no
      infinities and no NaN, and `Nx.BinaryBackend` computes with them. The exception's module, and
      its message with its trace.
    * `{:raised, module, text}` - any other exception, likewise.
    * `{:versions, %{name => version}}`

  This module and `Emily.Conformance.Nif` need Erlang and Elixir only; the others need Nx.
  """

  alias Emily.Conformance

  @doc """
  Serves until the runner closes its end, then stops the VM.

  The arguments are none, or the term that names a foreign backend, which `:peer` then stands for.
  """
  @spec main([String.t()]) :: no_return()
  def main(arguments \\ []) do
    # What is written to a closed pipe is nobody's loss, and the exit says the rest.
    port = Port.open({:fd, 3, 4}, [:binary, :eof, packet: 4])
    serve(port, Map.new(arguments, &{:peer, Conformance.Peer.find(&1)}))
  end

  defp serve(port, state) do
    receive do
      {^port, {:data, request}} ->
        # The runner is the only other end, so its terms may name new atoms.
        {answer, state} = request |> :erlang.binary_to_term() |> answer(state)
        Port.command(port, :erlang.term_to_binary(answer))
        serve(port, state)

      {^port, :eof} ->
        System.halt(0)
    end
  end

  defp answer(:versions, %{peer: found} = state) do
    peer =
      case found do
        {:ok, backend} -> Conformance.Peer.versions(backend)
        {:error, sentence} -> %{"missing" => sentence}
      end

    {{:versions, Map.merge(beam_versions(), peer)}, state}
  end

  defp answer(:versions, state), do: {{:versions, versions()}, state}

  defp answer({:run, :nif, device, calls}, state) do
    {worker, state} = worker(device, state)
    run = fn {op, attrs, inputs} -> Conformance.Nif.run(worker, op, attrs, inputs) end
    {{:each, each(calls, run, &Conformance.Nif.read/1)}, state}
  end

  defp answer({:run, :peer, device, calls}, %{peer: {:ok, backend}} = state) do
    answer({:run, {:peer, backend}, device, calls}, state)
  end

  defp answer({:run, layer, device, calls}, state) do
    run = fn {op, attrs, inputs} -> Conformance.Nx.run(layer, op, attrs, inputs) end
    read = &Conformance.Nx.read/1
    {{:each, Conformance.Nx.on(layer, device, fn -> each(calls, run, read) end)}, state}
  end

  defp answer({:grad, device, op, attrs, inputs, wrt, weights}, state) do
    grad = fn -> {:ok, Conformance.Nx.grad(device, op, attrs, inputs, wrt, weights)} end
    {attempt(grad), state}
  end

  defp answer({:ask, module, question}, state) do
    {attempt(fn -> {:ok, module.answer(question)} end), state}
  end

  # Everything is called before the first result is read, as programs do.
  defp each(calls, run, read) do
    called = for call <- calls, do: attempt(fn -> {:called, run.(call)} end)

    for outcome <- called do
      case outcome do
        {:called, results} -> attempt(fn -> {:ok, read.(results)} end)
        failed -> failed
      end
    end
  end

  defp attempt(fun) do
    fun.()
  rescue
    error in Emily.Error ->
      {:error, error.kind, Exception.message(error)}

    error ->
      tag = if unanswered?(error), do: :unanswered, else: :raised
      text = Exception.message(error) <> "\n" <> Exception.format_stacktrace(__STACKTRACE__)
      {tag, inspect(error.__struct__), text}
  catch
    kind, reason ->
      text = inspect(reason) <> "\n" <> Exception.format_stacktrace(__STACKTRACE__)
      {:raised, to_string(kind), text}
  end

  # What Nx.BinaryBackend meets where its numbers are not Erlang's: a float that a binary's segment
  # cannot hold, and a function of Erlang's that is given the atom for an infinity or a NaN.
  defp unanswered?(%ArithmeticError{}), do: true

  defp unanswered?(%ArgumentError{message: message}) do
    message =~ "construction of binary" or message =~ "argument: not a number"
  end

  defp unanswered?(_error), do: false

  # One worker per device, for the life of the server.
  defp worker(device, state) do
    case state do
      %{^device => worker} ->
        {worker, state}

      %{} ->
        worker = Conformance.Nif.start(device)
        {worker, Map.put(state, device, worker)}
    end
  end

  defp versions do
    native =
      case Emily.Native.status() do
        :ok -> %{"mlx" => Emily.Native.mlx_version(), "gpu" => "#{Emily.Native.gpu_available?()}"}
        {:error, sentence} -> %{"missing" => sentence}
      end

    Map.merge(beam_versions(), native)
  end

  defp beam_versions do
    libraries =
      for app <- [:nx, :axon, :bumblebee], vsn = Application.spec(app, :vsn), into: %{} do
        {to_string(app), to_string(vsn)}
      end

    Map.merge(%{"elixir" => System.version(), "otp" => System.otp_release()}, libraries)
  end
end
