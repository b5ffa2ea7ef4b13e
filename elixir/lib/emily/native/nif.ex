defmodule Emily.Native.NIF do
  @moduledoc false
  # The library's functions, bare, and how it is loaded. `Emily.Native` is the door.

  alias Emily.Native.{Library, Ops}

  # The compiler's VM has no use for the library, and a library that is loaded cannot be replaced.
  @compile {:autoload, false}
  @on_load :load

  @status {__MODULE__, :status}

  # Where the library is that this VM uses.
  @library {__MODULE__, :library}

  @doc false
  # The first time, loading does not fail this module: a missing library is `status/0`'s to tell, and
  # every call's. Where older code works, new code takes over the library that is in use, since
  # tensors and workers are that one's; if the two do not fit, the old code stays.
  def load do
    if :erlang.module_loaded(__MODULE__) and status() == :ok do
      load_from({:ok, :persistent_term.get(@library)})
    else
      :persistent_term.put(@status, load_from(path()))
    end
  end

  defp load_from({:error, sentence}), do: {:error, sentence}

  defp load_from({:ok, path}) do
    case :erlang.load_nif(String.to_charlist(path), Ops.fingerprint()) do
      :ok -> :persistent_term.put(@library, path)
      {:error, {reason, text}} -> {:error, sentence(reason, path, to_string(text))}
    end
  end

  # The library refuses to load with a fingerprint that is not its own; a function that it lacks is
  # the same fault, seen by the VM.
  defp sentence(reason, path, text) when reason in [:load, :bad_lib] do
    "the library #{path} was built from another version of Emily than this Elixir code " <>
      "(its list of operations is not #{Ops.fingerprint()}); build it again with " <>
      "`mix compile --force`, or unset EMILY_NIF (#{text})"
  end

  defp sentence(:upgrade, path, _text) do
    "#{path} is in use already, and is another build than this Elixir code needs; restart the VM"
  end

  defp sentence(_reason, path, text) do
    "the library #{path} does not load: #{text}; `mix emily.doctor` looks for the cause"
  end

  # EMILY_NIF, else what was installed into the application's priv folder, or into `priv` beside the
  # folder of this module's beam file, for a VM that was started without mix.
  defp path do
    candidates =
      case Library.named() do
        nil -> Enum.map(priv_dirs(), &Path.join(&1, "native/libemily_nif.so"))
        path -> [path]
      end

    case Enum.find(candidates, &File.regular?/1) do
      nil -> {:error, missing(candidates)}
      path -> loadable(path)
    end
  end

  defp loadable(path) do
    cond do
      Path.extname(path) not in [".so", ".dylib"] ->
        {:error,
         "#{path} is no library by its name, which ends in .so or .dylib; correct EMILY_NIF"}

      cut_short?(path) ->
        {:error, "the library #{path} is cut short; copy or install it again"}

      true ->
        {:ok, without_ending(path)}
    end
  end

  # The loader maps pages that the file does not have, and touching one ends the VM. What ELF has last is
  # its table of sections, and where that is and how long stands in its first bytes.
  defp cut_short?(path) do
    with {:ok, file} <- :file.open(path, [:read, :raw, :binary]),
         start = :file.read(file, 64),
         {:ok, size} = :file.position(file, :eof),
         :ok <- :file.close(file),
         {:ok, <<0x7F, "ELF", 2, 1, _::binary-size(34), offset::64-little, rest::binary>>} <-
           start,
         <<_::binary-size(10), entry::16-little, count::16-little, _::binary>> <- rest do
      offset + entry * count > size
    else
      _unreadable_or_not_elf -> false
    end
  end

  # The VM adds `.so` itself, also on a Mac, where cargo's libraries end in `.dylib`: those get a
  # link of that name beside them.
  defp without_ending(path) do
    name = Path.rootname(path)
    if Path.extname(path) == ".dylib", do: File.ln_s(path, name <> ".so")
    name
  end

  defp priv_dirs do
    case :code.priv_dir(:emily) do
      {:error, :bad_name} -> [Path.expand("../priv", Path.dirname(:code.which(__MODULE__)))]
      dir -> [to_string(dir)]
    end
  end

  defp missing(candidates) do
    "Emily's native library is not there (looked for #{Enum.join(candidates, ", ")}); " <>
      "install it with `mix compile --force` (`mix deps.compile emily --force` where Emily is a " <>
      "dependency), or point EMILY_NIF at one"
  end

  def status, do: :persistent_term.get(@status, {:error, "Emily's native library is not loaded"})

  def start_worker(_device, _f64), do: not_loaded()
  def stop_worker(_worker), do: not_loaded()
  def wind_down, do: not_loaded()
  def worker_name(_worker), do: not_loaded()
  def flush(_worker, _ref), do: not_loaded()
  def queue_depth(_worker), do: not_loaded()
  def device(_worker), do: not_loaded()
  def apply_op(_worker, _name, _attrs, _inputs), do: not_loaded()
  def apply_op_dirty(_worker, _name, _attrs, _inputs), do: not_loaded()
  def compile_program(_program), do: not_loaded()
  def program_info(_program), do: not_loaded()
  def run_program(_worker, _program, _inputs), do: not_loaded()
  def run_program_dirty(_worker, _program, _inputs), do: not_loaded()
  def from_binary(_worker, _dtype, _shape, _binary), do: not_loaded()
  def from_binary_dirty(_worker, _dtype, _shape, _binary), do: not_loaded()
  def make_room(_worker, _bytes, _tag), do: not_loaded()
  def read(_tensor, _ref), do: not_loaded()
  def read_now(_tensor), do: not_loaded()
  def eval(_tensor, _ref), do: not_loaded()
  def room(_tensor), do: not_loaded()
  def withdraw(_request), do: not_loaded()
  def release(_tensor), do: not_loaded()
  def type(_tensor), do: not_loaded()
  def memory_stats, do: not_loaded()
  def collector, do: not_loaded()
  def relieved(_pressure), do: not_loaded()
  def reset_peak, do: not_loaded()
  def clear_cache(_worker, _ref), do: not_loaded()
  def set_memory_limit(_bytes), do: not_loaded()
  def set_cache_limit(_worker, _bytes, _ref), do: not_loaded()
  def gpu_available, do: not_loaded()
  def mlx_version, do: not_loaded()
  def op_fingerprint, do: not_loaded()

  # Every call of a library that is not there says why.
  defp not_loaded do
    sentence =
      case status() do
        {:error, sentence} -> sentence
        :ok -> "the native library in use is older than this code; restart the VM"
      end

    :erlang.nif_error(%Emily.Error{kind: :internal, message: sentence})
  end
end
