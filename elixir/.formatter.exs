[
  import_deps: [:nx],
  inputs: [
    "{mix,.formatter}.exs",
    "{bench,config,conformance,examples,lib,models,slices,test}/**/*.{ex,exs}"
  ]
]
