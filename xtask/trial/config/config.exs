import Config

config :nx, default_backend: Emily.Backend
config :nx, default_defn_options: [compiler: Emily.Compiler]
