defmodule Emily.InstallTest do
  use ExUnit.Case, async: true

  alias Emily.Install.{Artefact, Download, HTTP, Priv, Sums, Variant}
  alias Emily.ReleaseServer

  @moduletag :tmp_dir

  @linux "x86_64-unknown-linux-gnu"

  # An archive with these files, and what a package says of it.
  defp archive(files) do
    sums = for {name, bytes} <- files, do: "#{Sums.of(bytes)}  #{name}\n"
    files = [{"SHA256SUMS", IO.iodata_to_binary(["# emily-0.1.0-cpu\n" | sums])} | files]
    path = Path.join(System.tmp_dir!(), "emily_archive_#{System.unique_integer([:positive])}")
    files = for {name, bytes} <- files, do: {String.to_charlist(name), bytes}
    :ok = :erl_tar.create(String.to_charlist(path), files, [:compressed])
    bytes = File.read!(path)
    File.rm!(path)
    {bytes, artefact(bytes)}
  end

  defp artefact(bytes) do
    %{name: Artefact.name(:cpu, @linux), digest: Sums.of(bytes)}
  end

  defp fetch(artefact, base, cache) do
    test = self()
    Download.fetch(artefact, base, cache, &send(test, {:warning, &1}))
  end

  describe "the variant" do
    test "is the machine's own unless it is named" do
      assert Variant.choose(nil, @linux) == {:ok, :cpu}
      assert Variant.choose(nil, "aarch64-apple-darwin") == {:ok, :aot}
      assert Variant.choose(:cuda13, @linux) == {:ok, :cuda13}
    end

    test "that is none is told with those that there are" do
      assert {:error, sentence} = Variant.choose(:rocm, @linux)
      assert sentence =~ "variant: :rocm"
      assert sentence =~ ":cpu, :cuda13, :aot, :jit"
    end

    test "that is not published for a machine is told with what is, and one from source by its way" do
      list = %{Artefact.name(:cpu, @linux) => "00"}

      assert Artefact.find(list, :cpu, @linux) ==
               {:ok, %{name: Artefact.name(:cpu, @linux), digest: "00"}}

      assert {:error, sentence} = Artefact.find(list, :cuda13, @linux)
      assert sentence =~ "variant :cuda13"
      assert sentence =~ "there are: emily-0.1.0-cpu-#{@linux}.tar.gz"
      assert sentence =~ "EMILY_BUILD=1"
      assert {:error, sentence} = Artefact.find(list, :jit, "aarch64-apple-darwin")
      assert sentence =~ "MLX_HOME"
    end
  end

  describe "the machine" do
    test "has the name that archives go by, whatever its maker is called" do
      assert Artefact.target("x86_64-pc-linux-gnu") == {:ok, @linux}
      assert Artefact.target("x86_64-suse-linux-gnu") == {:ok, @linux}
      assert Artefact.target("aarch64-redhat-linux-gnu") == {:ok, "aarch64-unknown-linux-gnu"}
      assert Artefact.target("aarch64-apple-darwin24.1.0") == {:ok, "aarch64-apple-darwin"}
    end

    test "that MLX is not built for is told" do
      for other <-
            ~w(x86_64-alpine-linux-musl x86_64-apple-darwin23 riscv64-unknown-linux-gnu win32) do
        assert {:error, sentence} = Artefact.target(other)
        assert sentence =~ other
        assert sentence =~ "glibc"
      end
    end
  end

  test "a package's list is read, and a checkout has none", %{tmp_dir: dir} do
    assert Artefact.list(dir) == :none
    File.write!(Path.join(dir, "artefacts.sha256"), "0a  a.tar.gz\n0b  b.tar.gz\n")
    assert Artefact.list(dir) == {:ok, %{"a.tar.gz" => "0a", "b.tar.gz" => "0b"}}
  end

  test "archives are where they are named to be, else beside the repository's release" do
    release = "https://forge.test/emily/releases/download/v0.1.0"
    assert Artefact.server([nil, nil], "https://forge.test/emily") == release
    assert Artefact.server(["", "/mirror"], "https://forge.test/emily") == "/mirror"
    assert Artefact.server(["https://a.test", "/mirror"], nil) == "https://a.test"
    assert Artefact.server([nil, nil], nil) == nil
  end

  describe "an archive" do
    setup %{tmp_dir: dir} do
      bytes = :crypto.strong_rand_bytes(300_000)
      %{bytes: bytes, artefact: artefact(bytes), cache: Path.join(dir, "cache")}
    end

    test "comes from the server once, and then from the cache", context do
      %{bytes: bytes, artefact: artefact, cache: cache} = context
      path = "/v1/" <> artefact.name
      base = ReleaseServer.start(fn ^path -> bytes end) <> "/v1/"
      assert fetch(artefact, base, cache) == {:ok, bytes}
      assert fetch(artefact, ReleaseServer.nobody(), cache) == {:ok, bytes}
      assert File.ls!(cache) == [artefact.name]
    end

    test "is found where the server sends on to", %{
      bytes: bytes,
      artefact: artefact,
      cache: cache
    } do
      storage = ReleaseServer.start(fn "/blob" -> bytes end)
      base = ReleaseServer.start(fn _path -> {:moved, storage <> "/blob"} end)
      assert fetch(artefact, base, cache) == {:ok, bytes}

      circle = ReleaseServer.start(fn _path -> {:moved, "/again"} end)
      assert {:error, sentence} = HTTP.get(circle)
      assert sentence =~ "without end"
    end

    test "whose download breaks off once is had, and one that always does is an error", context do
      %{bytes: bytes, artefact: artefact, cache: cache} = context
      {:ok, left} = Agent.start_link(fn -> [{:cut, bytes}] end)

      next = fn ->
        Agent.get_and_update(left, fn
          [] -> {bytes, []}
          [first | rest] -> {first, rest}
        end)
      end

      always = ReleaseServer.start(fn _path -> {:cut, bytes} end)
      assert {:error, sentence} = fetch(artefact, always, cache)
      assert sentence =~ "broke off"
      assert sentence =~ always
      assert File.ls(cache) == {:error, :enoent}

      assert fetch(artefact, ReleaseServer.start(fn _path -> next.() end), cache) == {:ok, bytes}
    end

    test "of another digest is not used, and not kept", context do
      %{bytes: bytes, artefact: artefact, cache: cache} = context
      base = ReleaseServer.start(fn _path -> bytes <> "more" end)
      assert {:error, sentence} = fetch(artefact, base, cache)
      assert sentence =~ "was not installed"
      assert sentence =~ artefact.digest
      assert File.ls(cache) == {:error, :enoent}
    end

    test "that was damaged in the cache is had anew", context do
      %{bytes: bytes, artefact: artefact, cache: cache} = context
      File.mkdir_p!(cache)
      File.write!(Path.join(cache, artefact.name), "damaged")
      assert fetch(artefact, ReleaseServer.start(fn _path -> bytes end), cache) == {:ok, bytes}
      assert File.read!(Path.join(cache, artefact.name)) == bytes
    end

    test "that is not there, and a server that is not, are told with what to do", context do
      %{artefact: artefact, cache: cache} = context
      assert {:error, sentence} = fetch(artefact, ReleaseServer.start(fn _path -> 404 end), cache)
      assert sentence =~ "the server answered 404"

      nobody = ReleaseServer.nobody()
      assert {:error, sentence} = fetch(artefact, nobody, cache)
      assert sentence =~ "no connection to #{String.replace_prefix(nobody, "http://", "")}"
      for remedy <- ~w(HTTPS_PROXY EMILY_ARTEFACTS EMILY_BUILD=1), do: assert(sentence =~ remedy)

      assert {:error, sentence} = fetch(artefact, nil, cache)
      assert sentence =~ "names no server"
    end

    test "is taken from a folder without a network", context do
      %{bytes: bytes, artefact: artefact, cache: cache, tmp_dir: dir} = context
      assert {:error, sentence} = fetch(artefact, dir, cache)
      assert sentence =~ Path.join(dir, artefact.name)
      File.write!(Path.join(dir, artefact.name), bytes)

      for base <- [dir, "file://" <> dir],
          do: assert(fetch(artefact, base, cache) == {:ok, bytes})
    end

    # Nobody can write below a file, the superuser neither.
    test "is used where the cache cannot be written, which is told", context do
      %{bytes: bytes, artefact: artefact, tmp_dir: dir} = context
      file = Path.join(dir, "file")
      File.write!(file, "")
      base = ReleaseServer.start(fn _path -> bytes end)
      assert fetch(artefact, base, Path.join(file, "cache")) == {:ok, bytes}
      assert_received {:warning, sentence}
      assert sentence =~ "is not kept"
      assert sentence =~ "EMILY_CACHE"
    end

    test "comes through the proxy that is named, but for hosts that need none", %{bytes: bytes} do
      proxy = ReleaseServer.start(fn "http://releases.test/a" -> bytes end)
      with_user = String.replace(proxy, "//", "//user:pass%20word@")

      for url <- [proxy, with_user, String.replace_prefix(proxy, "http://", "")] do
        env = &Map.get(%{"HTTP_PROXY" => url}, &1)
        assert HTTP.get("http://releases.test/a", env) == {:ok, bytes}
      end

      direct = ReleaseServer.start(fn "/a" -> bytes end)

      env =
        &Map.get(%{"http_proxy" => ReleaseServer.nobody(), "no_proxy" => ".test,127.0.0.1"}, &1)

      assert HTTP.get(direct <> "/a", env) == {:ok, bytes}
    end
  end

  describe "priv/native" do
    setup %{tmp_dir: dir}, do: %{priv: Path.join(dir, "priv")}

    defp natives(priv), do: priv |> Path.join("native") |> File.ls!() |> Enum.sort()

    test "is what was in the archive, which is unpacked once", %{priv: priv} do
      {bytes, artefact} = archive([{"libemily_nif.so", "nif"}, {"licences/mlx", "MIT"}])
      assert Priv.archive(priv, artefact, fn -> {:ok, bytes} end) == :ok
      assert natives(priv) == ["ARCHIVE", "SHA256SUMS", "libemily_nif.so", "licences"]
      assert File.read!(Path.join(priv, "native/licences/mlx")) == "MIT"
      assert Priv.archive(priv, artefact, fn -> flunk("fetched again") end) == :noop
    end

    test "is unpacked again where a file is not as it was", %{priv: priv} do
      {bytes, artefact} = archive([{"libemily_nif.so", "nif"}])
      library = Path.join(priv, "native/libemily_nif.so")
      assert Priv.archive(priv, artefact, fn -> {:ok, bytes} end) == :ok

      for damage <- [&File.write!(&1, "planted"), &File.rm!/1] do
        damage.(library)
        assert Priv.archive(priv, artefact, fn -> {:ok, bytes} end) == :ok
        assert File.read!(library) == "nif"
      end
    end

    test "has nothing of what was there before", %{priv: priv, tmp_dir: dir} do
      library = Path.join(dir, "built")
      File.write!(library, "built")
      {bytes, artefact} = archive([{"libemily_nif.so", "nif"}, {"libmlx.so", "mlx"}])
      assert Priv.archive(priv, artefact, fn -> {:ok, bytes} end) == :ok
      assert Priv.library(priv, library) == :ok
      assert natives(priv) == ["libemily_nif.so"]
      assert Priv.library(priv, library) == :noop
      assert Priv.archive(priv, artefact, fn -> {:ok, bytes} end) == :ok
      assert natives(priv) == ["ARCHIVE", "SHA256SUMS", "libemily_nif.so", "libmlx.so"]
      assert File.ls!(priv) == ["native"]
    end

    test "stays as it was where the archive cannot be had or the folder not written", context do
      %{priv: priv, tmp_dir: dir} = context
      {bytes, artefact} = archive([{"libemily_nif.so", "nif"}])
      assert Priv.archive(priv, artefact, fn -> {:ok, bytes} end) == :ok
      other = %{artefact | digest: "00"}
      assert Priv.archive(priv, other, fn -> {:error, "no network"} end) == {:error, "no network"}
      assert natives(priv) == ["ARCHIVE", "SHA256SUMS", "libemily_nif.so"]

      file = Path.join(dir, "file")
      File.write!(file, "")

      assert {:error, sentence} =
               Priv.archive(Path.join(file, "priv"), artefact, fn -> {:ok, bytes} end)

      assert sentence =~ "cannot be put into"
    end

    test "is whole after several builds at once", %{priv: priv} do
      archives = for n <- 1..8, do: archive([{"libemily_nif.so", "#{n}"}, {"libmlx.so", "#{n}"}])

      archives
      |> Task.async_stream(
        fn {bytes, artefact} ->
          assert Priv.archive(priv, artefact, fn -> {:ok, bytes} end) == :ok
        end,
        max_concurrency: 8
      )
      |> Stream.run()

      [nif, mlx] =
        for name <- ["libemily_nif.so", "libmlx.so"],
            do: File.read!(Path.join([priv, "native", name]))

      assert nif == mlx
      assert File.ls!(priv) == ["native"]
    end
  end
end
