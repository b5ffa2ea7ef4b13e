defmodule Emily.Doctor do
  @moduledoc """
  Looks at this installation, from the platform up to a computation. `mix emily.doctor` prints it.

      iex> for %{status: :error} = finding <- Emily.Doctor.examine(), do: finding.remedy
      []
  """

  alias Emily.Native

  @typedoc """
  What one check found. `:warning` works, but not as it could; `:skipped` needs a check that failed.
  """
  @type finding :: %{
          check: atom(),
          status: :ok | :warning | :error | :skipped,
          detail: String.t(),
          remedy: String.t() | nil
        }

  @checks [:platform, :variant, :artefacts, :load, :blas, :device, :smoke]
  @needs_library [:blas, :device, :smoke]

  @doc """
  All findings, in order: `:platform`, `:variant`, `:artefacts`, `:load`, `:blas`, `:device` and
  `:smoke`, a small computation that must run without a fallback.

  ## Examples

      iex> findings = Emily.Doctor.examine()
      iex> Enum.find(findings, & &1.check == :smoke).status
      :ok

  """
  @spec examine() :: [finding()]
  def examine do
    loaded? = Native.status() == :ok

    for check <- @checks do
      if check in @needs_library and not loaded? do
        finding(check, :skipped, "the library is not loaded", nil)
      else
        examine(check)
      end
    end
  end

  defp finding(check, status, detail, remedy) do
    %{check: check, status: status, detail: detail, remedy: remedy}
  end

  defp examine(:platform) do
    architecture = to_string(:erlang.system_info(:system_architecture))
    detail = "#{architecture}, OTP #{System.otp_release()}, Elixir #{System.version()}"

    cond do
      variants(architecture) == [] ->
        remedy = "use Linux with glibc on x86-64 or arm64, or macOS on Apple silicon"
        finding(:platform, :error, detail <> ": MLX is not built for it", remedy)

      String.to_integer(System.otp_release()) < 25 ->
        finding(:platform, :error, detail, "install OTP 25 or newer")

      true ->
        finding(:platform, :ok, detail, nil)
    end
  end

  defp examine(:variant) do
    supported = variants(to_string(:erlang.system_info(:system_architecture)))
    variant = variant()

    if variant in supported do
      finding(:variant, :ok, variant, nil)
    else
      remedy = "set EMILY_MLX_VARIANT to one of #{Enum.join(supported, ", ")}, or unset it"
      finding(:variant, :error, "#{variant} is not built for this platform", remedy)
    end
  end

  defp examine(:artefacts) do
    found = for {what, pattern} <- artefacts(), do: {what, pattern, Path.wildcard(pattern)}

    case for({what, pattern, []} <- found, do: "#{what} is not at #{pattern}") do
      [] ->
        detail = Enum.map_join(found, ", ", fn {what, _, [path | _]} -> "#{what} at #{path}" end)
        finding(:artefacts, :ok, detail, nil)

      missing ->
        remedy = "build them: mix compile --force"
        finding(:artefacts, :error, Enum.join(missing, ", "), remedy)
    end
  end

  defp examine(:load) do
    case Native.status() do
      :ok ->
        detail = "MLX #{Native.mlx_version()}, operations #{Native.op_fingerprint()}"
        finding(:load, :ok, detail, nil)

      {:error, sentence} ->
        remedy = "build again with mix compile --force, and unset EMILY_NIF if it is set"
        finding(:load, :error, sentence, remedy)
    end
  end

  defp examine(:blas) do
    case blas() do
      {:reference, path} ->
        remedy =
          "install OpenBLAS (Debian: apt-get install libopenblas0-pthread), then mix compile --force"

        finding(:blas, :warning, "the reference BLAS, one slow thread: #{path}", remedy)

      {:ok, name} ->
        finding(:blas, :ok, name, nil)
    end
  end

  defp examine(:device) do
    cond do
      Native.gpu_available?() ->
        finding(:device, :ok, "gpu by default, cpu on request", nil)

      variant() == "cpu" ->
        finding(:device, :ok, "cpu; this variant of MLX knows no other", nil)

      true ->
        remedy = "check the driver (nvidia-smi), and that the user may open the device"
        finding(:device, :warning, "cpu only, though the variant is #{variant()}", remedy)
    end
  end

  defp examine(:smoke) do
    case smoke() do
      {[[1, 3], [3, 13]], []} ->
        finding(:smoke, :ok, "a matrix product, natively", nil)

      {_right_or_wrong, [_ | _] = ops} ->
        detail = "#{Enum.join(ops, ", ")} fell back to Nx.BinaryBackend"
        finding(:smoke, :error, detail, "report it with this output")

      {wrong, []} ->
        finding(:smoke, :error, "a matrix product gave #{inspect(wrong)}", "report it")
    end
  rescue
    error -> finding(:smoke, :error, Exception.message(error), "report it with this output")
  end

  # The product, and the operations that fell back on the way.
  defp smoke do
    handler = {__MODULE__, make_ref()}
    :telemetry.attach(handler, [:emily, :fallback, :start], &__MODULE__.note_fallback/4, self())

    try do
      a = Nx.iota({2, 2}, type: :f32, backend: Emily.Backend)
      product = a |> Nx.dot(Nx.transpose(a)) |> Nx.as_type(:s32) |> Nx.to_list()
      {product, fallbacks([])}
    after
      :telemetry.detach(handler)
    end
  end

  @doc false
  def note_fallback(_event, _measurements, %{op: op}, pid) do
    if self() == pid, do: send(pid, {__MODULE__, op})
  end

  defp fallbacks(ops) do
    receive do
      {__MODULE__, op} -> fallbacks([op | ops])
    after
      0 -> Enum.reverse(ops)
    end
  end

  defp variants(architecture) do
    arm? = String.starts_with?(architecture, ["aarch64", "arm64"])

    cond do
      architecture =~ "linux-gnu" and (arm? or architecture =~ "x86_64") -> ["cpu", "cuda13"]
      architecture =~ "darwin" and arm? -> ["metal"]
      true -> []
    end
  end

  defp variant do
    case System.get_env("EMILY_MLX_VARIANT", "") do
      "" -> if match?({:unix, :darwin}, :os.type()), do: "metal", else: "cpu"
      name -> name
    end
  end

  defp artefacts do
    library =
      System.get_env("EMILY_NIF") || Application.app_dir(:emily, "priv/native/libemily_nif.so")

    [{"the library", library}] ++ mlx(:os.type())
  end

  # Where the library looks for MLX is written in it; where MLX is kept is the same by default.
  defp mlx({:unix, :darwin}) do
    [{"MLX", mlx_lib("libmlx.dylib")}, {"MLX's kernels", mlx_lib("mlx.metallib")}]
  end

  defp mlx(_linux), do: [{"MLX", mlx_lib("libmlx.so")}]

  defp mlx_lib(file) do
    case {System.get_env("MLX_HOME"), mapped("libmlx")} do
      {nil, nil} -> Path.join([cache_dir(), "mlx-*-#{variant()}", "mlx", "{lib,lib64}", file])
      {nil, loaded} -> Path.join(Path.dirname(loaded), file)
      {home, _loaded} -> Path.join([home, "{lib,lib64}", file])
    end
  end

  defp cache_dir do
    System.get_env("EMILY_CACHE") || Path.join(user_cache(:os.type()), "emily")
  end

  defp user_cache({:unix, :darwin}), do: Path.expand("~/Library/Caches")
  defp user_cache(_linux), do: System.get_env("XDG_CACHE_HOME") || Path.expand("~/.cache")

  # The loader resolves links, so the file that is mapped says which BLAS it is.
  defp blas do
    case mapped("blas") do
      nil -> {:ok, "MLX's own"}
      path -> if path =~ "openblas", do: {:ok, "OpenBLAS at #{path}"}, else: {:reference, path}
    end
  end

  # The first library that this process has loaded whose file name has `name` in it.
  defp mapped(name) do
    with {:ok, maps} <- File.read("/proc/self/maps") do
      maps
      |> String.split("\n")
      |> Enum.map(&(&1 |> String.split(" ", trim: true) |> Enum.drop(5) |> Enum.join(" ")))
      |> Enum.find(&(Path.basename(&1) =~ name))
    else
      {:error, _no_proc} -> nil
    end
  end
end
