# What `Emily.Fast` passes to `Nx.block/4`: the attributes of the engine's operations, by their names.

defmodule Emily.Fast.Softmax do
  @moduledoc false
  defstruct [:axes]
end

defmodule Emily.Fast.LogSumExp do
  @moduledoc false
  defstruct [:axes, keep_axes: false]
end

defmodule Emily.Fast.RmsNorm do
  @moduledoc false
  defstruct [:eps]
end

defmodule Emily.Fast.LayerNorm do
  @moduledoc false
  defstruct [:eps]
end

defmodule Emily.Fast.ScaledDotProductAttention do
  @moduledoc false
  defstruct [:scale, causal: false, sinks: false]
end

defmodule Emily.Fast.Rope do
  @moduledoc false
  defstruct [:dims, :base, :scale, traditional: false]
end

defmodule Emily.Fast.Einsum do
  @moduledoc false
  defstruct [:labels, :result]
end
