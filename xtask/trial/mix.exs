defmodule Trial.MixProject do
  # A fresh project of a user's, in which `cargo xtask package --try` installs the package.
  use Mix.Project

  def project do
    [app: :trial, version: "0.1.0", elixir: "~> 1.17", deps: deps()]
  end

  def application, do: [extra_applications: [:logger]]

  # deps/emily is what Hex would have unpacked there. Where there is no Hex, TRIAL_DEPS has the others.
  defp deps do
    [{:emily, path: "deps/emily"} | others(System.get_env("TRIAL_DEPS", ""))]
  end

  defp others(""), do: [{:nx, "~> 0.12 or ~> 1.0"}]

  defp others(list) do
    for dep <- String.split(list, ","), [app, path] = String.split(dep, "=") do
      {String.to_atom(app), path: path, override: true}
    end
  end
end
