# `mix test --only soak` runs the soak, which takes minutes.
ExUnit.start(exclude: :soak)
