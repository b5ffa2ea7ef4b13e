defmodule Emily.ReleaseServer do
  @moduledoc """
  A server on the loopback interface that serves archives, well or badly.
  """

  @doc """
  Starts one for the time of a test, and gives its address. `answer` gets the target of each request, as
  the client wrote it: a body, `{:cut, body}` to end the connection in the middle of it, `{:moved, url}`
  or a status.
  """
  def start(answer) do
    {:ok, socket} =
      :gen_tcp.listen(0, [:binary, ip: {127, 0, 0, 1}, active: false, reuseaddr: true])

    {:ok, port} = :inet.port(socket)
    ExUnit.Callbacks.start_supervised!({Task, fn -> accept(socket, answer) end}, id: make_ref())
    "http://127.0.0.1:#{port}"
  end

  @doc "An address at which nothing listens."
  def nobody do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    "http://127.0.0.1:#{port}"
  end

  defp accept(socket, answer) do
    {:ok, client} = :gen_tcp.accept(socket)
    {:ok, request} = :gen_tcp.recv(client, 0)
    [_get, target | _version] = String.split(request, " ")
    :gen_tcp.send(client, response(answer.(target)))
    :gen_tcp.close(client)
    accept(socket, answer)
  end

  defp response(body) when is_binary(body), do: [head("200 OK", byte_size(body)), body]

  defp response({:cut, body}) do
    [head("200 OK", byte_size(body)), binary_part(body, 0, div(byte_size(body), 2))]
  end

  defp response({:moved, url}),
    do: ["HTTP/1.1 302 Found\r\nlocation: #{url}\r\n", "content-length: 0\r\n\r\n"]

  defp response(status), do: head("#{status} No", 0)

  defp head(status, length) do
    "HTTP/1.1 #{status}\r\ncontent-length: #{length}\r\nconnection: close\r\n\r\n"
  end
end
