defmodule Trial do
  @moduledoc "What a user does first: a `defn`, a matrix product, a serving."

  import Nx.Defn

  defn(softmax(t), do: Nx.exp(t) / Nx.sum(Nx.exp(t), axes: [-1], keep_axes: true))

  def run do
    # Exact in f32, and 512 of them in a row are a product for the BLAS.
    ones = Nx.broadcast(Nx.tensor(1.0), {512, 512})
    512.0 = ones |> Nx.dot(ones) |> Nx.reduce_max() |> Nx.to_number()
    true = Nx.to_number(Nx.LinAlg.determinant(Nx.eye(4))) == 1.0

    serving =
      Nx.Serving.new(fn options -> Nx.Defn.jit(&softmax/1, options) end, compiler: Emily.Compiler)

    batch = Nx.Batch.stack([Nx.tensor([0.0, 0.0]), Nx.tensor([1.0, 1.0])])
    [[0.5, 0.5], [0.5, 0.5]] = serving |> Nx.Serving.run(batch) |> Nx.to_list()
    [] = foreign()
    IO.puts("a product, a determinant and a serving, on #{inspect(Nx.default_backend())}")
  end

  # The libraries of this process that are neither beside the NIF nor of the system's or Erlang's.
  defp foreign do
    native = Application.app_dir(:emily, "priv/native")
    {:ok, maps} = File.read("/proc/self/maps")
    own = real(native)

    for line <- String.split(maps, "\n"),
        path = line |> String.split(" ", trim: true) |> Enum.at(5, ""),
        Path.basename(path) =~ ~r/mlx|blas|lapack|gfortran|quadmath|emily/,
        not String.starts_with?(path, own),
        uniq: true,
        do: path
  end

  defp real(path) do
    {out, 0} = System.cmd("realpath", [path])
    String.trim(out)
  end
end
