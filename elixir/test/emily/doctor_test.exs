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
             ~w(platform variant artefacts load blas device smoke)a

    for finding <- findings, do: assert(finding.status in [:ok, :warning], inspect(finding))
    for %{status: :warning} = finding <- findings, do: assert(is_binary(finding.remedy))
  end

  test "a library that is not there: the remedy, and no later check" do
    findings = examine([{"EMILY_NIF", "/no/such/libemily_nif.so"}])
    assert %{status: :error, remedy: remedy} = findings.artefacts
    assert remedy =~ "mix compile --force"
    assert %{status: :error, detail: detail, remedy: "" <> _} = findings.load
    assert detail =~ "/no/such/libemily_nif.so"
    for check <- [:blas, :device, :smoke], do: assert(findings[check].status == :skipped)
  end

  test "a file that is no library is told from one that is missing" do
    findings = examine([{"EMILY_NIF", __ENV__.file}])
    assert findings.artefacts.status == :ok
    assert findings.load.status == :error
    assert findings.smoke.status == :skipped
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

  test "the task prints every finding, and its exit status tells" do
    Mix.shell(Mix.Shell.Process)
    Mix.Tasks.Emily.Doctor.run([])

    for check <- ~w(platform variant artefacts load blas device smoke) do
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
end
