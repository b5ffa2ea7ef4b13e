defmodule Emily.Backend.Type do
  @moduledoc false
  # Nx's types and the engine's dtypes, one to one; the types that MLX lacks are refused here.

  @dtypes for {class, sizes} <- [u: [8, 16, 32, 64], s: [8, 16, 32, 64], bf: [16], f: [16, 32]],
              size <- sizes,
              into: %{{:c, 64} => :c64},
              do: {{class, size}, :"#{class}#{size}"}

  @doc "The engine's dtype for an Nx type."
  @spec to_dtype!(Nx.Type.t(), boolean()) :: Emily.Native.dtype()
  for {type, dtype} <- @dtypes do
    def to_dtype!(unquote(type), _f64?), do: unquote(dtype)
  end

  def to_dtype!({:f, 64}, true), do: :f64

  def to_dtype!({:f, 64}, false) do
    raise ArgumentError,
          "Emily.Backend does not support f64: MLX has it on the CPU only, Metal not at all. " <>
            "Use f32, as in Nx.as_type(tensor, :f32) or type: :f32; or, on the CPU, " <> opt_in()
  end

  def to_dtype!(type, _f64?) do
    raise ArgumentError,
          "Emily.Backend does not support #{name(type)}: there is no MLX primitive for it. " <>
            "Use #{instead(type)}"
  end

  @doc "The Nx type for the engine's dtype."
  @spec from_dtype(Emily.Native.dtype()) :: Nx.Type.t()
  for {type, dtype} <- Map.put(@dtypes, {:f, 64}, :f64) do
    def from_dtype(unquote(dtype)), do: unquote(type)
  end

  # A process's stream comes before what its tensors opted in to.
  defp opt_in do
    if Emily.Lane.stream?() do
      "make this process's stream by Emily.Stream.new(device: :cpu, f64: true)"
    else
      "opt in with backend = {Emily.Backend, device: :cpu, f64: true}: make tensors there, or copy one that was " <>
        "made without: Nx.backend_copy(tensor, backend)"
    end
  end

  defp name({:f, 8}), do: "f8"
  defp name({:f8_e4m3fn, 8}), do: "f8_e4m3fn"
  defp name({class, size}), do: "#{class}#{size}"

  defp instead({:c, 128}), do: "c64"
  defp instead({:u, _}), do: "u8"
  defp instead({:s, _}), do: "s8"
  defp instead(_float), do: "f16 or bf16"
end
