defmodule Emily.Backend.Fast do
  @moduledoc false
  # `Emily.Fast`'s blocks, whose structs hold the attributes of their operations.

  alias Emily.Backend.Call
  alias Emily.Fast

  @ops %{Fast.Softmax => :softmax, Fast.LogSumExp => :logsumexp}

  defguard is_fast(module) when is_map_key(@ops, module)

  def run(%module{} = struct, out, args) do
    attrs =
      for {name, value} <- Map.from_struct(struct), value != nil, into: %{}, do: {name, value}

    Call.run(@ops[module], out, args, attrs)
  end
end
