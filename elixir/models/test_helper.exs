# `MIX_ENV=slices mix test` runs what people do with models. Real weights, digits and a conformance report
# (report.json) are where these say; `cargo xtask test` fetches them. `--include long` also runs what takes minutes.
needs = [
  minilm: "EMILY_MINILM",
  digits: "EMILY_DIGITS",
  whisper: "EMILY_WHISPER",
  report: "EMILY_REPORT"
]

missing = for {tag, variable} <- needs, is_nil(System.get_env(variable)), do: tag

for tag <- missing do
  IO.puts("not run: the tests of #{tag}: #{needs[tag]} is not set")
end

ExUnit.start(exclude: [:long | missing])
