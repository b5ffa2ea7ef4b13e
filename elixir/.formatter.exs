[
  import_deps: [:nx],
  inputs: ["{mix,.formatter}.exs", "{bench,config,conformance,lib,test}/**/*.{ex,exs}"]
]
