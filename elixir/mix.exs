defmodule Emily.MixProject do
  use Mix.Project

  @version "0.1.0"

  # On Hex, where `emily` is another project's. The application and its modules keep their name:
  # `{:emily, "~> 0.1", hex: :emily_mlx}`.
  @package "emily_mlx"

  # Where releases are, for the package's links and for the download of archives.
  @source_url nil

  # Bumblebee, and what it needs beside Nx.
  @model_apps ~w(axon bumblebee castore decimal jason nx_image nx_signal polaris progress_bar
                 rustler rustler_precompiled safetensors tokenizers unpickler unzip)a

  # ExDoc, and what it needs.
  @docs_apps ~w(earmark_parser ex_doc makeup makeup_elixir makeup_erlang nimble_parsec)a

  def project do
    [
      app: :emily,
      version: @version,
      elixir: "~> 1.17",
      start_permanent: Mix.env() == :prod,
      compilers: Mix.compilers() ++ [:emily_nif],
      elixirc_paths: elixirc_paths(Mix.env()),
      test_paths: [if(Mix.env() == :slices, do: "models", else: "test")],
      deps: deps(),
      name: "Emily",
      source_url: @source_url,
      description: "A numerical backend and compiler for Nx on Apple's MLX, judged op by op",
      package: package(),
      docs: docs()
    ]
  end

  def application do
    [
      mod: {Emily.Application, []},
      extra_applications: [:logger]
    ]
  end

  # `conformance` is the server of the repository's conformance suite; users do not get it. `slices` is
  # its part that runs models, and the tests in models, an environment of its own: what they need takes
  # minutes to compile.
  defp elixirc_paths(:slices),
    do: ["lib", "conformance", "slices", "test/support", "models/support"]

  defp elixirc_paths(:test), do: ["lib", "conformance", "test/support"]
  defp elixirc_paths(:dev), do: ["lib", "conformance"]
  defp elixirc_paths(_env), do: ["lib"]

  defp deps, do: local_deps(Mix.env()) || hex_deps(Mix.env())

  # Bumblebee asks for an older Nx than it runs on.
  defp hex_deps(:slices) do
    [
      {:nx, "~> 0.12 or ~> 1.0", override: true},
      {:telemetry, "~> 1.0"},
      {:bumblebee, "~> 0.7"},
      {:axon, "~> 0.8"}
    ]
  end

  defp hex_deps(_env) do
    [
      {:nx, "~> 0.12 or ~> 1.0"},
      {:telemetry, "~> 1.0"},
      # What Emily.Quantization.Axon, and saving and loading in Emily.Quantization, are for.
      {:axon, "~> 0.8", optional: true},
      {:safetensors, "~> 0.1", optional: true},
      {:ex_doc, "~> 0.34", only: :docs, runtime: false}
    ]
  end

  # On a machine without Hex: checkouts of nx, complex and telemetry in one folder, and for `slices` of
  # Bumblebee, for `docs` of ExDoc, and all that those need. Only where this checkout is what is worked on: a project that
  # depends on Emily says itself where Nx is from.
  defp local_deps(env) do
    folder = System.get_env("EMILY_DEPS_PATH", Path.expand("~/.cache/emily/deps"))
    nx = checkout(folder, ["nx/nx", "nx"])

    if nx && root_project?() do
      apps = [:complex, :telemetry] ++ apps(env)
      rustler = checkout(folder, ["rustler/rustler_mix", "rustler"])
      places = %{nx: nx, rustler: rustler}

      for app <- [:nx | apps] do
        place = places[app] || Path.join(folder, "#{app}")
        {app, [path: place, override: true] ++ checkout_options(app)}
      end
    end
  end

  # A checkout has a mix task that its Hex package leaves out, and that needs an application named outside `:prod` only.
  defp checkout_options(:castore), do: [env: :test]
  defp checkout_options(_app), do: []

  defp apps(:slices), do: @model_apps
  defp apps(:docs), do: @docs_apps
  defp apps(_env), do: []

  defp checkout(folder, names) do
    names
    |> Enum.map(&Path.join(folder, &1))
    |> Enum.find(&File.regular?(Path.join(&1, "mix.exs")))
  end

  defp root_project?, do: File.cwd!() == __DIR__ and "deps" not in Path.split(__DIR__)

  defp package do
    [
      name: @package,
      licenses: ["MIT", "Apache-2.0"],
      links: if(@source_url, do: %{"Source" => @source_url}, else: %{}),
      # `cargo xtask package --hex` brings them together: artefacts.sha256 is made with the archives, and
      # the last four are the repository's.
      files:
        ~w(lib mix.exs .formatter.exs artefacts.sha256 README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE)
    ]
  end

  @guides ~w(getting_started migrating streams_and_serving memory_and_containers quantisation fast_kernels errors)

  # The pages of Nx's convention for backends have its file names too.
  @nx_pages [index: "", nx: "-nx", nx_lin_alg: "-nx_lin_alg"]

  defp docs do
    [
      main: "getting_started",
      source_ref: "v#{@version}",
      extras:
        Enum.map(@guides, &"guides/#{&1}.md") ++
          for {page, suffix} <- @nx_pages do
            {"guides/backend_documentation/#{page}.md",
             filename: "backend_documentation#{suffix}"}
          end ++
          for notebook <- Path.wildcard("livebooks/*.livemd") do
            {notebook, filename: "notebook-#{Path.basename(notebook, ".livemd")}"}
          end ++
          ~w(../OPERATING.md ../DIVERGENCES.md ../CHANGELOG.md),
      groups_for_extras: [
        "Backend documentation": ~r"^guides/backend_documentation/",
        Guides: ~r"^guides/",
        Notebooks: ~r"\.livemd$",
        Reference: ~r"^\.\./"
      ],
      groups_for_modules: [
        Kernels: [Emily.Fast],
        Quantisation: [~r"^Emily\.Quantization"],
        Watching: [Emily.Case, Emily.Doctor, Emily.Memory, Emily.Telemetry],
        "Without Nx": [~r"^Emily\.Native", Emily.Error, Emily.MlxStream.Default]
      ],
      groups_for_docs: [Operations: &(&1[:group] == :operations)],
      # It speaks of another project's functions; a test looks at those of this one.
      skip_undefined_reference_warnings_on: ["guides/migrating.md"]
    ]
  end
end
