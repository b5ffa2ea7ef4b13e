defmodule Emily.Doctor do
  @moduledoc """
  Looks at this installation, from the platform up to a computation. `mix emily.doctor` prints it.

      iex> for %{status: :error} = finding <- Emily.Doctor.examine(), do: finding.remedy
      []
  """

  alias Emily.Doctor.Machine
  alias Emily.Install.{Artefact, Download, Sums, Variant}
  alias Emily.Native
  alias Emily.Native.Library

  @typedoc """
  What one check found. `:warning` works, but not as it could; `:skipped` needs a check that failed.
  """
  @type finding :: %{
          check: atom(),
          status: :ok | :warning | :error | :skipped,
          detail: String.t(),
          remedy: String.t() | nil
        }

  @checks [
    :platform,
    :processor,
    :nx,
    :variant,
    :artefacts,
    :hashes,
    :cache,
    :load,
    :blas,
    :device,
    :smoke
  ]
  @needs_library [:blas, :device, :smoke]

  # What chooses the kernels of the CPU.
  @kernels ["EMILY_EXECUTOR", "EMILY_CPU"]

  # What MLX's own library asks for.
  @glibc {2, 35}

  # What mix.exs asks for.
  @nx "~> 0.12 or ~> 1.0"

  @reinstall "mix deps.compile emily --force (in Emily's own folder: mix compile --force)"

  @doc """
  All findings, in order: `:platform`, `:processor`, `:nx`, `:variant`, `:artefacts`, `:hashes`,
  `:cache`, `:load`, `:blas`, `:device` and `:smoke`, a small computation that must run without a
  fallback.

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
    glibc = Machine.glibc()
    library = if glibc, do: ["glibc #{dotted(glibc)}"], else: []
    own = ["OTP #{System.otp_release()}", "Elixir #{System.version()}"]
    detail = Enum.join([architecture] ++ library ++ own, ", ")

    cond do
      variants(architecture) == [] ->
        remedy = "use Linux with glibc on x86-64 or arm64, or macOS on Apple silicon"
        finding(:platform, :error, detail <> ": MLX is not built for it", remedy)

      glibc && glibc < @glibc ->
        remedy = "use a system with glibc #{dotted(@glibc)} or newer: Debian 12, Ubuntu 22.04"
        finding(:platform, :error, detail <> ": MLX needs a newer one", remedy)

      String.to_integer(System.otp_release()) < 25 ->
        finding(:platform, :error, detail, "install OTP 25 or newer")

      true ->
        finding(:platform, :ok, detail, nil)
    end
  end

  defp examine(:processor) do
    cores = "#{System.schedulers_online()} cores"
    set = for name <- @kernels, value = System.get_env(name), do: ", #{name}=#{value}"

    case Machine.vectors() do
      nil ->
        finding(:processor, :ok, "#{cores}#{set}", nil)

      [_avx512, "AVX2" | _] = names ->
        finding(:processor, :ok, "#{cores}, #{hd(names)}#{set}", nil)

      ["AVX2" | _] ->
        finding(:processor, :ok, "#{cores}, AVX2#{set}", nil)

      _older ->
        finding(:processor, :warning, "#{cores} without AVX2#{set}", "expect slow products")
    end
  end

  defp examine(:nx) do
    version = to_string(Application.spec(:nx, :vsn))

    if Version.match?(version, @nx, allow_pre: true) do
      finding(:nx, :ok, version, nil)
    else
      finding(:nx, :error, "#{version}, and Emily is for #{@nx}", "mix deps.update nx")
    end
  end

  defp examine(:variant) do
    supported = variants(to_string(:erlang.system_info(:system_architecture)))
    variant = variant()

    if variant in supported do
      finding(:variant, :ok, variant, nil)
    else
      detail = "#{variant} is not built for this platform"
      finding(:variant, :error, detail, other_variant(published(), Variant.told(), supported))
    end
  end

  defp examine(:artefacts) do
    found = for {what, pattern} <- artefacts(), do: {what, pattern, Path.wildcard(pattern)}

    case for({what, pattern, []} <- found, do: "#{what} is not at #{pattern}") do
      [] ->
        detail = Enum.map_join(found, ", ", fn {what, _, [path | _]} -> "#{what} at #{path}" end)
        finding(:artefacts, :ok, detail, nil)

      missing ->
        finding(:artefacts, :error, Enum.join(missing, ", "), "install them: " <> @reinstall)
    end
  end

  # An archive brings its files' digests; what was built here has none.
  defp examine(:hashes) do
    case published() do
      :none ->
        finding(:hashes, :ok, "built here, so that there are none to compare with", nil)

      {:ok, sums} ->
        case Sums.changed(native(), sums) do
          [] ->
            finding(:hashes, :ok, "#{length(sums.files)} files, as in #{sums.archive}", nil)

          changed ->
            detail = "#{Enum.join(changed, ", ")} not as in #{sums.archive}"
            finding(:hashes, :error, detail, "install them again: " <> @reinstall)
        end
    end
  end

  defp examine(:cache) do
    cache = Download.emily_cache()
    user = Machine.user()

    case File.stat(cache) do
      {:error, _none} ->
        finding(:cache, :ok, "none at #{cache}", nil)

      {:ok, %{uid: uid, mode: mode}} when uid in [0, user] and Bitwise.band(mode, 0o022) == 0 ->
        finding(:cache, :ok, cache, nil)

      {:ok, %{uid: uid, mode: mode}} ->
        detail =
          "#{cache} is user #{uid}'s, with mode #{Integer.to_string(Bitwise.band(mode, 0o777), 8)}: " <>
            "who can change it changes what builds load"

        remedy =
          "make it yours alone (chown, chmod go-w), or set EMILY_CACHE to a folder of your own"

        finding(:cache, :warning, detail, remedy)
    end
  end

  defp examine(:load) do
    case Native.status() do
      :ok ->
        detail = "MLX #{Native.mlx_version()}, operations #{Native.op_fingerprint()}"
        finding(:load, :ok, detail, nil)

      {:error, sentence} ->
        remedy = "#{@reinstall}; and unset EMILY_NIF if it is set"
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
        driver = if version = Machine.nvidia(), do: "driver #{version}", else: "no NVIDIA driver"
        remedy = "check the driver (nvidia-smi), and that the user may open the device"
        detail = "cpu only, though the variant is #{variant()}; #{driver}"
        finding(:device, :warning, detail, remedy)
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
    case Artefact.target(architecture) do
      {:ok, "aarch64-apple-darwin"} -> ["metal"]
      {:ok, _linux} -> ["cpu", "cuda13"]
      {:error, _unsupported} -> []
    end
  end

  # That of the archive which was installed; else what a build is told.
  defp variant do
    case {published(), Variant.told()} do
      {{:ok, %{archive: archive}}, _told} -> archive |> String.split("-") |> Enum.at(2)
      {:none, :machine} -> mlx_name(:default)
      {:none, {:config, configured}} -> mlx_name(configured)
      {:none, {:env, name}} -> name
    end
  end

  # Where what was told stands.
  defp other_variant({:ok, _archive}, _told, _supported), do: "install again: " <> @reinstall

  defp other_variant(:none, {:config, _configured}, supported) do
    names =
      if supported == ["metal"], do: [:aot, :jit], else: Enum.map(supported, &String.to_atom/1)

    named = Enum.map_join(names, ", ", &inspect/1)
    "set `config :emily, variant:` to one of #{named}, or leave it out; then #{@reinstall}"
  end

  defp other_variant(:none, _told, supported) do
    "set EMILY_MLX_VARIANT to one of #{Enum.join(supported, ", ")}, or unset it"
  end

  defp mlx_name(:default), do: if(match?({:unix, :darwin}, :os.type()), do: "metal", else: "cpu")

  defp mlx_name(configured) when configured in [:cpu, :cuda13, :aot, :jit],
    do: Variant.mlx(configured)

  defp mlx_name(unknown), do: inspect(unknown)

  # What the archive says that `priv/native` was unpacked from.
  defp published do
    if Library.named(), do: :none, else: Sums.read(native())
  end

  defp native, do: Application.app_dir(:emily, "priv/native")
  defp native(name), do: Path.join(native(), name)

  defp dotted({major, minor}), do: "#{major}.#{minor}"

  defp artefacts do
    [{"the library", Library.named() || native("libemily_nif.so")}] ++ mlx(:os.type())
  end

  # An archive has it beside the library. Where a library that was built looks for MLX is written in it;
  # where MLX is kept is the same by default.
  defp mlx({:unix, :darwin}) do
    [{"MLX", mlx_lib("libmlx.dylib")}, {"MLX's kernels", mlx_lib("mlx.metallib")}]
  end

  defp mlx(_linux), do: [{"MLX", mlx_lib("libmlx.so")}]

  defp mlx_lib(file) do
    case {published(), System.get_env("MLX_HOME"), Machine.mapped("libmlx")} do
      {{:ok, _sums}, _home, _loaded} ->
        native(file)

      {:none, nil, nil} ->
        Path.join([Download.emily_cache(), "mlx-*-#{variant()}", "mlx", "{lib,lib64}", file])

      {:none, nil, loaded} ->
        Path.join(Path.dirname(loaded), file)

      {:none, home, _loaded} ->
        Path.join([home, "{lib,lib64}", file])
    end
  end

  # The loader resolves links, so the file that is mapped says which BLAS it is.
  defp blas do
    case Machine.mapped("blas") do
      nil -> {:ok, "MLX's own"}
      path -> if path =~ "openblas", do: {:ok, "OpenBLAS at #{path}"}, else: {:reference, path}
    end
  end
end
