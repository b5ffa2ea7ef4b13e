defmodule Emily.Install.Variant do
  @moduledoc false
  # The builds of MLX that `config :emily, :variant` chooses between.

  @known [:cpu, :cuda13, :aot, :jit]

  # What is installed is one of them, so that a change needs another compilation.
  _ = Application.compile_env(:emily, :variant)

  @type t :: :cpu | :cuda13 | :aot | :jit

  @doc "What the configuration names, or `nil` to go by the machine."
  @spec configured() :: term()
  def configured, do: Application.get_env(:emily, :variant)

  @doc """
  What a build is told, and by whom: the configuration, else `EMILY_MLX_VARIANT`, else nobody.
  """
  @spec told() :: {:config, term()} | {:env, String.t()} | :machine
  def told do
    case {configured(), System.get_env("EMILY_MLX_VARIANT", "")} do
      {nil, ""} -> :machine
      {nil, name} -> {:env, name}
      {configured, _name} -> {:config, configured}
    end
  end

  @doc "The variant to install for a target: the one that is named, or the machine's own."
  @spec choose(term(), String.t()) :: {:ok, t()} | {:error, String.t()}
  def choose(nil, target), do: {:ok, default(target)}
  def choose(variant, _target) when variant in @known, do: {:ok, variant}

  def choose(other, _target) do
    {:error,
     "config :emily, variant: #{inspect(other)} names no variant; there are " <>
       Enum.map_join(@known, ", ", &inspect/1)}
  end

  @doc "Metal on Macs, the processor elsewhere."
  @spec default(String.t()) :: t()
  def default(target), do: if(target =~ "apple", do: :aot, else: :cpu)

  @doc "MLX's name of it, by which archives and `EMILY_MLX_VARIANT` go."
  @spec mlx(t()) :: String.t()
  def mlx(:cpu), do: "cpu"
  def mlx(:cuda13), do: "cuda13"
  def mlx(metal) when metal in [:aot, :jit], do: "metal"
end
