[
  import_deps: [:nx],
  inputs: [
    "{mix,.formatter}.exs",
    "{bench,config,conformance,lib,models,slices,test}/**/*.{ex,exs}"
  ]
]
