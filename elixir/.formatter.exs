[
  import_deps: [:nx],
  inputs: ["{mix,.formatter}.exs", "{bench,config,conformance,lib,slices,test}/**/*.{ex,exs}"]
]
