//! What the BEAM holds references to.

use emily_engine::{Bytes, Handle, Worker};
use rustler::{Binary, Env, Resource, ResourceArc};

/// A tensor.
pub(crate) struct TensorRef(pub(crate) Handle);

#[rustler::resource_impl]
impl Resource for TensorRef {}

/// A worker.
pub(crate) struct WorkerRef(pub(crate) Worker);

#[rustler::resource_impl]
impl Resource for WorkerRef {}

/// A tensor's bytes, kept alive by the binaries that alias them.
pub(crate) struct Buffer(Bytes);

#[rustler::resource_impl]
impl Resource for Buffer {}

impl Buffer {
    /// A binary on these bytes, without a copy.
    pub(crate) fn binary<'a>(env: Env<'a>, bytes: Bytes) -> Binary<'a> {
        ResourceArc::new(Buffer(bytes)).make_binary(env, |buffer| &buffer.0)
    }
}
