//! Handles on tensors that may still have to be computed, and their bytes once they are.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use emily_spec::{Error, ErrorKind, Result, Tensor, TensorType};
use mlx_rs::Array;

use crate::mlx;
use crate::worker::{Guards, Job, Origin, Reply, Thread};

/// A tensor on a worker: its type now, its value when the worker comes to it.
///
/// Clones share one tensor. Dropping the last one frees it, and work that only it waited for is
/// not done.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Slot>);

/// The cell a worker fills.
pub(crate) struct Slot {
    pub(crate) ty: TensorType,
    /// The thread whose stream the value's graph is on.
    pub(crate) thread: Arc<Thread>,
    state: Mutex<State>,
    /// [`Handle::release`] was called: nothing new may use it, what was queued before still does.
    released: AtomicBool,
    /// Queued jobs that use it.
    uses: AtomicUsize,
}

/// A queued job's use of a tensor, which a release waits for.
pub(crate) struct Use(Handle);

impl Use {
    pub(crate) fn of(handle: &Handle) -> Use {
        handle.0.uses.fetch_add(1, Ordering::SeqCst);
        Use(handle.clone())
    }

    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.0.0
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let slot = self.slot();
        // Sequentially consistent, as in `release`: of the two, at least one sees the other.
        let last = slot.uses.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && slot.released.load(Ordering::SeqCst) {
            slot.free();
        }
    }
}

/// What a slot holds. Only the slot's thread moves it from `Pending`, and only that thread touches
/// a value's array before it is `evaluated`.
pub(crate) enum State {
    /// Queued.
    Pending,
    /// Part of the lazy graph, or evaluated.
    Ready(Value),
    /// It failed, or something it was computed from did: the first cause.
    Failed(Arc<Error>),
    /// [`Handle::release`] took the value away.
    Released,
}

/// An array with the conditions it stands under.
pub(crate) struct Value {
    pub(crate) array: Array,
    pub(crate) guards: Guards,
    pub(crate) evaluated: bool,
    /// The call that made it; `None` for uploaded data.
    pub(crate) origin: Option<Origin>,
}

impl Value {
    /// The same array and conditions, shared.
    pub(crate) fn share(&self) -> Value {
        Value {
            array: mlx::clone_array(&self.array),
            guards: self.guards.clone(),
            evaluated: self.evaluated,
            origin: self.origin.clone(),
        }
    }
}

impl Slot {
    pub(crate) fn new(ty: TensorType, thread: Arc<Thread>, state: State) -> Arc<Slot> {
        Arc::new(Slot {
            ty,
            thread,
            state: Mutex::new(state),
            released: AtomicBool::new(false),
            uses: AtomicUsize::new(0),
        })
    }

    /// The state, locked. Held for moments only, never during an evaluation.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A state is replaced whole, so one left by a panicking thread is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills the slot; what it held, and a value that nobody wants any more, goes to the thread.
    pub(crate) fn fill(&self, new: State) {
        let old = {
            let mut state = self.state();
            match &*state {
                State::Released => new,
                State::Pending | State::Ready(_) | State::Failed(_) => {
                    std::mem::replace(&mut *state, new)
                }
            }
        };
        self.thread.discard(old);
    }

    /// Refuses a tensor that was released.
    pub(crate) fn check_held(&self) -> Result<()> {
        if self.released.load(Ordering::Acquire) {
            return Err(released(&self.ty));
        }
        Ok(())
    }

    /// Takes the value away.
    fn free(&self) {
        let old = std::mem::replace(&mut *self.state(), State::Released);
        self.thread.discard(old);
    }

    /// A share of the value, or why there is none.
    pub(crate) fn value(&self) -> std::result::Result<Value, Arc<Error>> {
        match &*self.state() {
            State::Ready(value) => Ok(value.share()),
            State::Failed(error) => Err(error.clone()),
            State::Released => Err(Arc::new(released(&self.ty))),
            State::Pending => Err(Arc::new(Error::new(
                ErrorKind::Internal,
                format!("{} was read before its op ran", self.ty),
            ))),
        }
    }
}

fn released(ty: &TensorType) -> Error {
    Error::new(
        ErrorKind::Argument,
        format!("this {ty} was deallocated; keep the tensor or copy it first"),
    )
}

impl Drop for Slot {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.thread
            .discard(std::mem::replace(state, State::Released));
    }
}

impl Handle {
    /// The dtype and shape; known from the start.
    pub fn ty(&self) -> &TensorType {
        &self.0.ty
    }

    /// Computes the tensor and calls `reply` with its bytes, on the worker's thread.
    ///
    /// # Errors
    /// The first cause, when this op or one it depends on failed.
    pub fn read_with(&self, reply: impl FnOnce(Result<Bytes>) + Send + 'static) {
        let reply = Reply::new(reply);
        match self.0.check_held() {
            Ok(()) => self.0.thread.push(Job::Read(Use::of(self), reply)),
            Err(error) => reply.send(Err(error)),
        }
    }

    /// Computes the tensor and calls `reply`, on the worker's thread.
    ///
    /// # Errors
    /// As [`Handle::read_with`].
    pub fn eval_with(&self, reply: impl FnOnce(Result<()>) + Send + 'static) {
        let reply = Reply::new(reply);
        match self.0.check_held() {
            Ok(()) => self.0.thread.push(Job::Eval(Use::of(self), reply)),
            Err(error) => reply.send(Err(error)),
        }
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
        Tensor::new(self.ty().clone(), bytes.to_vec())
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
        let first = !self.0.released.swap(true, Ordering::SeqCst);
        if first && self.0.uses.load(Ordering::SeqCst) == 0 {
            self.0.free();
        }
        first
    }
}

/// Turns a callback into a blocking call.
fn wait<T: Send + 'static>(start: impl FnOnce(Box<dyn FnOnce(Result<T>) + Send>)) -> Result<T> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    start(Box::new(move |result| {
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

/// The bytes of a computed tensor, row-major; they alias MLX's buffer and keep it alive.
pub struct Bytes {
    /// Evaluated and row-contiguous, so that it has no graph and its data never changes.
    array: Array,
    len: usize,
}

impl Bytes {
    /// Takes an evaluated, row-contiguous array.
    pub(crate) fn new(array: Array) -> Bytes {
        let len = array.nbytes();
        Bytes { array, len }
    }
}

// SAFETY: the array is evaluated (`Bytes::new`), so it is only ever read: MLX changes neither its
// descriptor nor its data after evaluation, and its reference count is atomic.
unsafe impl Sync for Bytes {}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the array is evaluated and row-contiguous (`Bytes::new`), so its `len` bytes
        // stand at this address for as long as it lives, and nobody writes them.
        unsafe { std::slice::from_raw_parts(mlx::data_ptr(&self.array), self.len) }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.len)
    }
}
