defmodule Emily.Debug do
  @moduledoc false
  # Checks that are compiled in or not there at all: with a flag off, its macro is its argument.
  #
  #     config :emily, debug_bounds_check: true, debug_detect_nan_inf: true

  alias Emily.{Native, Reply}

  @bounds Application.compile_env(:emily, :debug_bounds_check, false)
  @finite Application.compile_env(:emily, :debug_detect_nan_inf, false)

  @doc """
  With `:debug_bounds_check`, raises for an index out of range where the operation is called, and
  not where its result is read.
  """
  defmacro bounds_checked(tensor) do
    if @bounds, do: quote(do: unquote(__MODULE__).await!(unquote(tensor))), else: tensor
  end

  @doc """
  With `:debug_detect_nan_inf`, raises where the operation gives a NaN or an infinity.
  """
  defmacro finite_checked(tensor, op) do
    if @finite,
      do: quote(do: unquote(__MODULE__).finite!(unquote(tensor), unquote(op))),
      else: tensor
  end

  @doc "Whether a flag is on, so that operations are looked at one by one."
  def on?, do: @bounds or @finite

  @doc false
  def await!(%Nx.Tensor{data: data} = tensor) do
    Reply.ok!(Native.eval(data.ref))
    tensor
  end

  @doc false
  # A sum is finite only of finite numbers. That it is not can be an overflow of the sum alone, so
  # then every element is looked at.
  def finite!(%Nx.Tensor{type: {class, _size}} = tensor, op) when class in [:f, :bf, :c] do
    if not finite?(Nx.sum(tensor)) and not finite?(tensor) do
      raise ArithmeticError,
        message:
          "#{op} gave a NaN or an infinity in #{inspect(tensor.type)} #{inspect(tensor.shape)}; " <>
            "look at its operands"
    end

    tensor
  end

  def finite!(%Nx.Tensor{} = integers, _op), do: integers

  defp finite?(tensor) do
    Nx.with_default_backend(Nx.BinaryBackend, fn ->
      copy = Nx.backend_copy(tensor, Nx.BinaryBackend)

      copy
      |> Nx.is_nan()
      |> Nx.logical_or(Nx.is_infinity(copy))
      |> Nx.any()
      |> Nx.to_number() == 0
    end)
  end
end
