defmodule Emily.MlxStream.Default do
  @moduledoc """
  Owns the default workers, on which every operation runs whose process has no stream of its own.

  There is one per device, and one more on the CPU for tensors that opted in to `f64`. Each is
  started when it is first needed and lives as long as this server; finding it again is one look
  into `:persistent_term`. Emily's supervisor starts the server.

  ## Examples

      iex> worker = Emily.MlxStream.Default.worker(:cpu)
      iex> Emily.Native.device(worker)
      :cpu
      iex> worker == Emily.MlxStream.Default.worker(:cpu)
      true

  """

  use GenServer

  alias Emily.{Lane, Native, Reply}

  @keys for device <- [:default, :cpu, :gpu], f64 <- [false, true], do: {__MODULE__, device, f64}

  @doc false
  def start_link(opts) do
    GenServer.start_link(__MODULE__, opts, name: __MODULE__)
  end

  @doc """
  The default worker of `:cpu`, of `:gpu`, or of `:default`: the GPU where there is one.

  Where the device is absent, an `Emily.Error` of kind `:device` says what to do.

  ## Examples

      iex> is_reference(Emily.MlxStream.Default.worker())
      true

  """
  @spec worker(:cpu | :gpu | :default) :: Native.worker()
  def worker(device \\ :default) when device in [:cpu, :gpu, :default] do
    lane(device, false).worker
  end

  @doc false
  @spec lane(:cpu | :gpu | :default, boolean()) :: Lane.t()
  def lane(device, f64) do
    case :persistent_term.get({__MODULE__, device, f64}, nil) do
      nil -> start_lane(device, f64)
      lane -> lane
    end
  end

  defp start_lane(device, f64) do
    __MODULE__ |> GenServer.call({:lane, device, f64}, :infinity) |> Reply.ok!()
  catch
    :exit, {:noproc, {GenServer, :call, [__MODULE__ | _]}} ->
      raise Emily.Error,
        kind: :stopped,
        message:
          "the application :emily is not started, or was stopped; start it with " <>
            "Application.ensure_all_started(:emily)"
  end

  @doc false
  @spec running() :: [Lane.t()]
  def running do
    @keys
    |> Enum.map(&:persistent_term.get(&1, nil))
    |> Enum.reject(&is_nil/1)
    |> Enum.uniq()
  end

  @impl true
  def init(_opts) do
    Process.flag(:trap_exit, true)
    forget()
    {:ok, nil}
  end

  @impl true
  def handle_call({:lane, device, f64}, _from, state) do
    {:reply, find_or_start(device, f64), state}
  end

  # A library that is not there is an error of the caller's, and no reason to end this server.
  defp find_or_start(device, f64) do
    with {:ok, lane} <- resolve(device, f64) do
      :persistent_term.put({__MODULE__, device, f64}, lane)
      {:ok, lane}
    end
  rescue
    error in Emily.Error -> {:error, error}
  end

  defp resolve(:default, f64) do
    device = if Native.gpu_available?(), do: :gpu, else: :cpu
    find_or_start(device, f64)
  end

  defp resolve(device, f64) do
    with nil <- :persistent_term.get({__MODULE__, device, f64}, nil),
         {:ok, worker} <- Native.start_worker(device, f64: f64) do
      {:ok, %Lane{worker: worker, device: device, f64: f64}}
    else
      %Lane{} = lane -> {:ok, lane}
      {:error, error} -> {:error, error}
    end
  end

  @impl true
  def terminate(_reason, _state), do: forget()

  defp forget, do: Enum.each(@keys, &:persistent_term.erase/1)
end
