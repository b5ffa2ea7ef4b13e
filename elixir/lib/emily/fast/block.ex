# What `Emily.Fast` passes to `Nx.block/4`: the attributes of the engine's operations, by their names.

defmodule Emily.Fast.Block.Softmax do
  @moduledoc false
  defstruct [:axes]
end

defmodule Emily.Fast.Block.LogSumExp do
  @moduledoc false
  defstruct [:axes, keep_axes: false]
end

defmodule Emily.Fast.Block.RmsNorm do
  @moduledoc false
  defstruct [:eps]
end

defmodule Emily.Fast.Block.LayerNorm do
  @moduledoc false
  defstruct [:eps]
end

defmodule Emily.Fast.Block.ScaledDotProductAttention do
  @moduledoc false
  defstruct [:scale, causal: false, sinks: false]
end

defmodule Emily.Fast.Block.Rope do
  @moduledoc false
  defstruct [:dims, :base, :scale, traditional: false]
end

defmodule Emily.Fast.Block.Einsum do
  @moduledoc false
  defstruct [:labels, :result]
end

defmodule Emily.Fast.Block.GatherMm do
  @moduledoc false
  defstruct []
end
