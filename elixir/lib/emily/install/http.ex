defmodule Emily.Install.HTTP do
  @moduledoc false
  # One GET, through the proxies that the environment names, whose server has to prove who it is.

  # Only who compiles needs it, and it is not among the application's own.
  @compile {:no_warn_undefined, :public_key}

  @connect_ms 15_000
  @whole_ms 600_000

  # What a connection that breaks off deserves.
  @attempts 3

  # How often a server may send on to another.
  @redirects 5

  @doc "The body, or why there is none. `env` gives the value of an environment variable."
  @spec get(String.t(), (String.t() -> String.t() | nil)) ::
          {:ok, binary()} | {:error, String.t()}
  def get(url, env \\ &System.get_env/1) do
    Enum.each([:inets, :public_key, :ssl], &Mix.ensure_application!/1)
    {:ok, client} = :inets.start(:httpc, [profile: :emily_install], :stand_alone)
    Process.unlink(client)

    try do
      proxies = proxies(env)
      :ok = :httpc.set_options(Enum.map(proxies, &elem(&1, 0)), client)
      follow(url, proxies, client, @redirects)
    after
      :inets.stop(:stand_alone, client)
    end
  end

  # httpc follows by itself only where its client has a name, and so one for the whole VM.
  defp follow(url, proxies, client, left) do
    with {:ok, options} <- options(url, proxies) do
      case attempt(url, options, client, @attempts) do
        {:moved, to} when left > 0 ->
          url |> URI.merge(to) |> to_string() |> follow(proxies, client, left - 1)

        {:moved, _to} ->
          {:error, "the server sends from one address to another without end"}

        body_or_error ->
          body_or_error
      end
    end
  end

  defp attempt(url, options, client, left) do
    request = {String.to_charlist(url), [{~c"user-agent", ~c"emily"}]}

    case :httpc.request(:get, request, options, [body_format: :binary], client) do
      {:ok, {{_version, 200, _phrase}, headers, body}} ->
        whole(body, headers)

      {:ok, {{_version, status, phrase}, headers, _body}} ->
        case List.keyfind(headers, ~c"location", 0) do
          {_name, to} when status in [301, 302, 303, 307, 308] -> {:moved, to_string(to)}
          _none -> {:error, "the server answered #{status} #{phrase}"}
        end

      {:error, _broken} when left > 1 ->
        attempt(url, options, client, left - 1)

      {:error, reason} ->
        {:error, sentence(reason)}
    end
  end

  defp whole(body, headers) do
    with {_name, length} <- List.keyfind(headers, ~c"content-length", 0),
         expected when expected != byte_size(body) <- List.to_integer(length) do
      {:error, "the connection broke off after #{byte_size(body)} of #{expected} bytes"}
    else
      _as_long_as_it_says -> {:ok, body}
    end
  end

  defp sentence(closed) when closed in [:socket_closed_remotely, {:shutdown, :server_closed}],
    do: "the connection broke off"

  defp sentence(:timeout), do: "there was no answer in #{div(@whole_ms, 60_000)} minutes"

  defp sentence({:failed_connect, causes}) do
    host = for {:to_address, {host, port}} <- causes, do: "#{host}:#{port}"
    why = for {:inet, _options, why} <- causes, do: why(why)
    "no connection to #{Enum.join(host)}: #{Enum.join(why, ", ")}"
  end

  defp sentence(reason), do: inspect(reason)

  defp why({:tls_alert, {_alert, text}}), do: to_string(text)
  defp why(posix) when is_atom(posix), do: to_string(:inet.format_error(posix))
  defp why(other), do: inspect(other)

  defp options("https:" <> _, proxies) do
    tls = [
      verify: :verify_peer,
      cacerts: :public_key.cacerts_get(),
      customize_hostname_check: [match_fun: :public_key.pkix_verify_hostname_match_fun(:https)]
    ]

    {:ok, [ssl: tls] ++ common(proxies)}
  rescue
    _error ->
      {:error,
       "this system has no certificates to know the server by; install them (Debian, Ubuntu: " <>
         "apt-get install ca-certificates)"}
  end

  defp options(_http, proxies), do: {:ok, common(proxies)}

  defp common(proxies) do
    credentials = for {_option, {_user, _password} = auth} <- proxies, do: {:proxy_auth, auth}

    [timeout: @whole_ms, connect_timeout: @connect_ms, autoredirect: false] ++
      Enum.take(credentials, 1)
  end

  # httpc's options, each with its user and password or `nil`.
  defp proxies(env) do
    but = no_proxy(env.("NO_PROXY") || env.("no_proxy") || "")

    for {option, name} <- [proxy: "HTTP_PROXY", https_proxy: "HTTPS_PROXY"],
        url = env.(name) || env.(String.downcase(name)),
        url not in [nil, ""],
        uri = URI.parse(if(url =~ "://", do: url, else: "http://" <> url)) do
      {{option, {{String.to_charlist(uri.host), uri.port}, but}}, credentials(uri.userinfo)}
    end
  end

  defp credentials(nil), do: nil

  defp credentials(userinfo) do
    [user | password] = userinfo |> String.split(":", parts: 2) |> Enum.map(&URI.decode/1)
    {String.to_charlist(user), password |> Enum.join() |> String.to_charlist()}
  end

  # `.example.com` is what others write for httpc's `*.example.com`.
  defp no_proxy(list) do
    for host <- String.split(list, [",", " "], trim: true) do
      host = if String.starts_with?(host, "."), do: "*" <> host, else: host
      String.to_charlist(host)
    end
  end
end
