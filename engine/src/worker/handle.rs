//! Handles on tensors that may still have to be computed.

use std::fmt;
use std::sync::Arc;

use emily_spec::{Error, ErrorKind, Result, Tensor, TensorType};

use super::slot::{Slot, Use};
use super::{Backlog, Job, Reply};
use crate::bytes::Bytes;
use crate::memory;

/// A tensor on a worker: its type now, its value when the worker comes to it.
///
/// Clones share one tensor. Dropping the last one frees it, and work that only it waited for is
/// not done.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Slot>);

impl Handle {
    /// The dtype and shape; known from the start.
    pub fn ty(&self) -> &TensorType {
        &self.0.ty
    }

    /// Computes the tensor and calls `reply` with its bytes: on the worker's thread, or at once on this
    /// one where the tensor was released, or is there, on a CPU, row by row.
    ///
    /// # Errors
    /// What `reply` receives: the first cause, when this op or one it depends on failed, and
    /// [`ErrorKind::Argument`] where the tensor was released.
    pub fn read_with(&self, reply: Reply<Bytes>) {
        match self.read_now() {
            Some(bytes) => reply.send(bytes),
            None => self.0.thread.push(Job::Read(Use::of(&self.0), reply)),
        }
    }

    /// What [`Handle::read_with`] would reply at once; `None` where it asks the worker.
    ///
    /// # Errors
    /// As [`Handle::read_with`].
    pub fn read_now(&self) -> Option<Result<Bytes>> {
        match self.0.check_held() {
            Ok(()) => self.bytes_now(),
            Err(error) => Some(Err(error)),
        }
    }

    /// Computes the tensor and calls `reply`, on the worker's thread, or at once on this one where the tensor was
    /// released, or is there, on a CPU.
    ///
    /// # Errors
    /// As [`Handle::read_with`].
    pub fn eval_with(&self, reply: Reply<()>) {
        match self.0.check_held() {
            Ok(()) if self.is_there() => reply.send(Ok(())),
            Ok(()) => self.0.thread.push(Job::Eval(Use::of(&self.0), reply)),
            Err(error) => reply.send(Err(error)),
        }
    }

    /// The backlog of the tensor's thread, where its queue is over its bound: who asks for much
    /// without waiting for replies waits for room, as after [`Worker::submit`](super::Worker::submit).
    pub fn backlog(&self) -> Option<Backlog> {
        Backlog::now(&self.0.thread)
    }

    /// Computes the tensor and waits for its bytes, without copying contiguous ones.
    ///
    /// # Errors
    /// As [`Handle::read_with`].
    pub fn to_bytes(&self) -> Result<Bytes> {
        wait(|reply| self.read_with(reply))
    }

    /// Computes the tensor and waits for a copy of it.
    ///
    /// # Errors
    /// As [`Handle::read_with`].
    pub fn read(&self) -> Result<Tensor> {
        let bytes = self.to_bytes()?;
        Tensor::new(self.ty().clone(), memory::copied(&bytes)?)
    }

    /// Computes the tensor and waits until it is there.
    ///
    /// # Errors
    /// As [`Handle::read_with`].
    pub fn eval(&self) -> Result<()> {
        wait(|reply| self.eval_with(reply))
    }

    /// Frees the tensor now, whoever holds it; `false` when it already was.
    ///
    /// Ops that were submitted with it before still get its value.
    pub fn release(&self) -> bool {
        self.0.release()
    }
}

/// Turns a callback into a blocking call.
pub(super) fn wait<T: Send + 'static>(start: impl FnOnce(Reply<T>)) -> Result<T> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    start(Reply::new(move |result| {
        // The receiver lives until it has received, so this only fails after a panic there.
        let _ = sender.send(result);
    }));
    receiver
        .recv()
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the worker did not reply")))
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.ty())
    }
}
