defmodule Emily.Native.Library do
  @moduledoc false

  @doc "The library that `EMILY_NIF` names, to take instead of the installed one; empty, it names none."
  @spec named() :: Path.t() | nil
  def named do
    case System.get_env("EMILY_NIF", "") do
      "" -> nil
      path -> path
    end
  end
end
