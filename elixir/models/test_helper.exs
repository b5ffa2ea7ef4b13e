# `MIX_ENV=slices mix test` runs what people do with models. Real weights and digits are where these say;
# `cargo xtask test` fetches them. `--include long` also runs what takes minutes.
needs = [minilm: "EMILY_MINILM", digits: "EMILY_DIGITS"]
missing = for {tag, variable} <- needs, is_nil(System.get_env(variable)), do: tag

for tag <- missing do
  IO.puts("not run: the tests of #{tag}: #{needs[tag]} is not set to its folder")
end

ExUnit.start(exclude: [:long | missing])
