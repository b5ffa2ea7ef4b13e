defmodule Emily.DoctorTest do
  use ExUnit.Case, async: true

  alias Emily.TestNode

  defp examine(env) do
    peer = TestNode.start(env)

    peer
    |> :peer.call(Emily.Doctor, :examine, [], 60_000)
    |> Map.new(&{&1.check, &1})
  end

  test "a sound installation has no error, and its smoke test no fallback" do
    findings = Emily.Doctor.examine()

    assert Enum.map(findings, & &1.check) ==
             ~w(platform processor nx variant artefacts hashes cache load blas device smoke)a

    for finding <- findings, do: assert(finding.status in [:ok, :warning], inspect(finding))
    for %{status: :warning} = finding <- findings, do: assert(is_binary(finding.remedy))
  end

  test "a library that is not there: the remedy, and no later check" do
    findings = examine([{"EMILY_NIF", "/no/such/libemily_nif.so"}])
    assert %{status: :error, remedy: remedy} = findings.artefacts
    assert remedy =~ "compile emily --force"
    assert %{status: :error, detail: detail, remedy: "" <> _} = findings.load
    assert detail =~ "/no/such/libemily_nif.so"
    for check <- [:blas, :device, :smoke], do: assert(findings[check].status == :skipped)
  end

  test "an empty EMILY_NIF is none: the library is the application's" do
    peer = TestNode.start([{"EMILY_NIF", "/no/such/libemily_nif.so"}])
    # The environment that a VM is started with has no empty variables.
    :peer.call(peer, System, :put_env, ["EMILY_NIF", ""])
    :peer.call(peer, Emily.Native.NIF, :load, [])
    findings = peer |> :peer.call(Emily.Doctor, :examine, [], 60_000) |> Map.new(&{&1.check, &1})
    installed = Application.app_dir(:emily, "priv/native/libemily_nif.so")

    if File.regular?(installed) do
      assert {findings.artefacts.status, findings.load.status} == {:ok, :ok}
    else
      assert findings.artefacts.detail =~ installed
      assert findings.load.detail =~ installed
    end
  end

  test "a file that is no library is told from one that is missing" do
    findings = examine([{"EMILY_NIF", __ENV__.file}])
    assert findings.artefacts.status == :ok
    assert findings.load.status == :error
    assert findings.smoke.status == :skipped
  end

  @tag :tmp_dir
  test "a library that was cut short, or has no such name, is not loaded", %{tmp_dir: dir} do
    loaded = :persistent_term.get({Emily.Native.NIF, :library})
    ending = if match?({:unix, :darwin}, :os.type()), do: ".dylib", else: ".so"
    cut = Path.join(dir, "libemily_nif" <> ending)
    {:ok, start} = File.open!(loaded <> ".so", [:read, :raw], &:file.read(&1, 1_000_000))
    File.write!(cut, start)

    if ending == ".so" do
      assert %{status: :error, detail: detail} = examine([{"EMILY_NIF", cut}]).load
      assert detail =~ cut and detail =~ "cut short"
    end

    assert %{status: :error, detail: detail} = examine([{"EMILY_NIF", "/etc/passwd"}]).load
    assert detail =~ "/etc/passwd" and detail =~ ".dylib"
    refute detail =~ "/etc/passwd.so"
  end

  test "what chooses kernels is shown where it is set" do
    unset = Emily.Doctor.examine() |> Enum.find(&(&1.check == :processor))
    refute unset.detail =~ "EMILY_"
    set = examine([{"EMILY_EXECUTOR", "mlx"}, {"EMILY_CPU", "avx2"}]).processor
    assert set.detail =~ "EMILY_EXECUTOR=mlx, EMILY_CPU=avx2"
  end

  test "an argument is refused by name" do
    assert_raise Mix.Error, ~r/takes no arguments, got: bar/, fn ->
      Mix.Tasks.Emily.Doctor.run(["bar"])
    end
  end

  test "without the library, Nx calls say why" do
    peer = TestNode.start([{"EMILY_NIF", "/no/such/libemily_nif.so"}])

    error =
      assert_raise Emily.Error, fn ->
        :peer.call(peer, Nx, :tensor, [[1], [backend: Emily.Backend]])
      end

    assert Exception.message(error) =~ "/no/such/libemily_nif.so"
  end

  test "a variant that the platform lacks" do
    finding = examine([{"EMILY_MLX_VARIANT", "rocm"}]).variant
    assert %{status: :error, detail: "rocm" <> _} = finding
    assert finding.remedy =~ "EMILY_MLX_VARIANT"
  end

  test "the configuration goes before EMILY_MLX_VARIANT, as in a build, and the remedy names it" do
    peer = TestNode.start([{"EMILY_MLX_VARIANT", "cpu"}])
    :ok = :peer.call(peer, Application, :put_env, [:emily, :variant, :rocm])

    finding =
      Enum.find(:peer.call(peer, Emily.Doctor, :examine, [], 60_000), &(&1.check == :variant))

    assert %{status: :error, detail: ":rocm" <> _, remedy: remedy} = finding
    assert remedy =~ "config :emily, variant:"
    refute remedy =~ "EMILY_MLX_VARIANT"

    :ok = :peer.call(peer, Application, :put_env, [:emily, :variant, :cpu])

    finding =
      Enum.find(:peer.call(peer, Emily.Doctor, :examine, [], 60_000), &(&1.check == :variant))

    assert %{status: :ok, detail: "cpu"} = finding
  end

  test "the doctor and mix.exs ask for the same Nx" do
    doctor = File.read!(Path.expand("../../lib/emily/doctor.ex", __DIR__))
    [_, asked] = Regex.run(~r/@nx "(.*)"/, doctor)

    [_ | _] =
      found =
      Regex.scan(~r/"(~> [^"]* or ~> [^"]*)"/, File.read!(Path.expand("../../mix.exs", __DIR__)))

    for [_, named] <- found, do: assert(named == asked)
  end

  test "the task prints every finding, and its exit status tells" do
    Mix.shell(Mix.Shell.Process)
    Mix.Tasks.Emily.Doctor.run([])

    for check <- ~w(platform processor nx variant artefacts hashes cache load blas device smoke) do
      assert_received {:mix_shell, :info, [line]}
      assert line =~ check
    end
  after
    Mix.shell(Mix.Shell.IO)
  end

  test "a finding that failed ends the task with status 1" do
    peer = TestNode.start([{"EMILY_NIF", "/no/such/libemily_nif.so"}])
    {:ok, _apps} = :peer.call(peer, :application, :ensure_all_started, [:mix])
    :peer.call(peer, Mix, :shell, [Mix.Shell.Quiet])
    assert catch_exit(:peer.call(peer, Mix.Tasks.Emily.Doctor, :run, [[]])) == {:shutdown, 1}
  end

  # A VM whose Emily is a copy of this one's, with these files in priv/native.
  defp installed(dir, files) do
    ebin = Path.join(dir, "emily/ebin")
    File.mkdir_p!(Path.dirname(ebin))
    File.cp_r!(Application.app_dir(:emily, "ebin"), ebin)
    native = Path.join(dir, "emily/priv/native")
    File.mkdir_p!(native)
    for {name, bytes} <- files, do: File.write!(Path.join(native, name), bytes)
    peer = TestNode.start()
    :peer.call(peer, Code, :prepend_path, [ebin])
    :peer.call(peer, System, :delete_env, ["EMILY_NIF"])
    peer |> :peer.call(Emily.Doctor, :examine, [], 60_000) |> Map.new(&{&1.check, &1})
  end

  defp line(name, bytes) do
    Base.encode16(:crypto.hash(:sha256, bytes), case: :lower) <> "  #{name}\n"
  end

  @tag :tmp_dir
  test "files that are not as in the archive are named, and its variant is the one", %{
    tmp_dir: dir
  } do
    heading = "# emily-0.1.0-cuda13-x86_64-unknown-linux-gnu\n"
    sums = heading <> line("libmlx.so", "mlx") <> line("libemily_nif.so", "nif")
    files = [{"SHA256SUMS", sums}, {"libmlx.so", "mlx"}]
    findings = installed(dir, [{"libemily_nif.so", "nif"} | files])
    assert %{status: :ok, detail: "2 files, as in emily-0.1.0-cuda13-" <> _} = findings.hashes
    assert findings.variant.detail == "cuda13"
    assert findings.artefacts.detail =~ "MLX at #{dir}/emily/priv/native/libmlx.so"

    findings = installed(dir, [{"libemily_nif.so", "planted"} | files])
    assert %{status: :error, detail: "libemily_nif.so not as in" <> _} = findings.hashes
    assert findings.hashes.remedy =~ "compile emily --force"
  end

  @tag :tmp_dir
  test "a cache that others may write is told", %{tmp_dir: dir} do
    File.chmod!(dir, 0o777)

    assert %{status: :warning, detail: detail, remedy: remedy} =
             examine([{"EMILY_CACHE", dir}]).cache

    assert detail =~ "mode 777"
    assert remedy =~ "chmod go-w"
    File.chmod!(dir, 0o755)
    assert examine([{"EMILY_CACHE", dir}]).cache.status == :ok
    assert examine([{"EMILY_CACHE", Path.join(dir, "none")}]).cache.status == :ok
  end

  test "the task prints JSON for whoever helps" do
    Mix.shell(Mix.Shell.Process)
    Mix.Tasks.Emily.Doctor.run(["--json"])
    assert_received {:mix_shell, :info, [json]}
    path = Path.join(System.tmp_dir!(), "emily_doctor_#{System.pid()}.json")
    File.write!(path, json)
    script = "import json, sys; print(*(f['check'] for f in json.load(open(sys.argv[1]))))"
    {checks, 0} = System.cmd("python3", ["-c", script, path])
    File.rm!(path)

    assert checks ==
             "platform processor nx variant artefacts hashes cache load blas device smoke\n"
  after
    Mix.shell(Mix.Shell.IO)
  end
end
