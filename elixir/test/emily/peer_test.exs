defmodule Emily.PeerTest do
  use ExUnit.Case, async: true

  alias Emily.Conformance.Peer

  test "a backend is a module, or one with options" do
    assert Peer.find("Nx.BinaryBackend") == {:ok, {Nx.BinaryBackend, []}}
    assert Peer.find("{Emily.Backend, device: :cpu}") == {:ok, {Emily.Backend, device: :cpu}}
  end

  test "what is no backend is refused with the reason" do
    for {text, reason} <- [
          {"No.Such.Backend", "No.Such.Backend is not on the code path"},
          {"Enum", "Enum is no Nx.Backend"},
          {"{Nx.BinaryBackend, 1}", "neither a module nor {module, options}"},
          {"42", "neither a module nor {module, options}"},
          {"File.rm!(\"x\")", "is no literal"},
          {"{Nx.BinaryBackend", "is no literal"},
          {"{Emily.Backend, device: :tpu}", "does not hold a tensor: "}
        ] do
      assert {:error, sentence} = Peer.find(text)
      assert sentence =~ reason
    end
  end

  test "its application's version is known" do
    assert %{"nx" => version} = Peer.versions({Nx.BinaryBackend, []})
    assert version == to_string(Application.spec(:nx, :vsn))
  end
end
