//! The NIF library of `Emily.Native.NIF`: terms in, terms out.
//!
//! Tensors, workers, buffers and requests are resources. An op is decoded straight into
//! [`emily_spec::Op`], so this crate knows none of them by name. Results are `{:ok, …}` or
//! `{:error, map}`; a panic becomes an error too. No function here blocks: a reply that has to be
//! waited for comes as a message, `{ref, {:ok, term}}` or `{ref, {:error, map}}`.
//!
//! **Architecture invariants:** no policy lives here; nothing calls into Elixir; every function
//! that may take long runs on a dirty scheduler or on a worker.
#![deny(clippy::wildcard_enum_match_arm)]

mod decode;
mod encode;
mod entry;
mod memory;
mod pressure;
mod program;
mod request;
mod resource;
mod tensor;
mod worker;

const _: () = assert!(
    !emily_engine::planted::PLANTED,
    "faults are planted in the engine: this library is for tests only, and there is none"
);

/// The atoms of results and messages.
mod atoms {
    rustler::atoms! {
        ok, error, nil, wait, room, no_room, many, done, cpu, gpu,
        kind, message, call, op, attrs, inputs, worker,
        sending, sent, withdrawn,
        active, peak, cache, limit, emily_pressure,
    }
}

/// The fingerprint of this library's ops.
#[rustler::nif]
fn op_fingerprint() -> String {
    emily_spec::fingerprint()
}
