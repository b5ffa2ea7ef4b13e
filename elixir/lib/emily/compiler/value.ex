defmodule Emily.Compiler.Value do
  @moduledoc false
  # What stands for a tensor while a function is written down: the handle of a tensor that is not there yet.
  #
  # `of` is what gives it, a segment's number or a step's, or `:parameter`, and `id` its place there.

  @enforce_keys [:of, :id]
  defstruct [:of, :id]

  @type t :: %__MODULE__{of: non_neg_integer() | :parameter, id: non_neg_integer()}
end
