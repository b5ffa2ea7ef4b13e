//! The cell behind a handle: what a worker fills, and what it fills it with.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use emily_spec::{Error, ErrorKind, Result, TensorType};
use mlx_rs::Array;

use super::failure::Failure;
use super::sync::{AtomicUsize, Mutex, MutexGuard};
use super::{Guards, Origin, Thread};
use crate::mlx;

/// The cell a worker fills.
pub(crate) struct Slot {
    pub(crate) ty: TensorType,
    /// The thread whose stream the value's graph is on.
    pub(crate) thread: Arc<Thread>,
    state: Mutex<State>,
    /// [`USE`] for each queued job that uses it, and [`RELEASED`]. In one number, so that whoever takes the
    /// last away knows at that moment whether it was.
    uses: AtomicUsize,
}

/// [`Slot::release`] was called: nothing new may use it, what was queued before still does.
const RELEASED: usize = 1;

/// A queued job.
const USE: usize = 2;

/// A queued job's use of a tensor, which a release waits for.
pub(crate) struct Use(Arc<Slot>);

impl Use {
    pub(crate) fn of(slot: &Arc<Slot>) -> Use {
        slot.uses.fetch_add(USE, Ordering::SeqCst);
        Use(Arc::clone(slot))
    }

    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.0
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let slot = self.slot();
        if slot.uses.fetch_sub(USE, Ordering::SeqCst) == USE + RELEASED {
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
    Failed(Arc<Failure>),
    /// [`Slot::release`] took the value away.
    Released,
}

/// An array with the conditions it stands under.
pub(crate) struct Value {
    pub(crate) array: Array,
    pub(crate) guards: Guards,
    pub(crate) evaluated: bool,
    /// The call that made it; `None` for uploaded data.
    pub(crate) origin: Option<Origin>,
    /// The bytes that it keeps in memory: more than its own where it is a view.
    pub(crate) kept: usize,
    /// How often its thread had been poisoned when it was made.
    pub(crate) era: u32,
}

impl Value {
    /// The same array and conditions, shared.
    pub(crate) fn share(&self) -> Value {
        Value {
            array: mlx::clone_array(&self.array),
            guards: self.guards.clone(),
            evaluated: self.evaluated,
            origin: self.origin.clone(),
            kept: self.kept,
            era: self.era,
        }
    }

    /// Whether it is in memory, under no condition.
    fn is_there(&self) -> bool {
        self.evaluated && self.guards.is_empty()
    }

    /// Notes that it is in memory, and that its conditions hold.
    pub(crate) fn settled(&mut self) {
        self.guards = Guards::default();
        self.evaluated = true;
    }
}

impl Slot {
    pub(crate) fn new(ty: TensorType, thread: Arc<Thread>, state: State) -> Arc<Slot> {
        Arc::new(Slot {
            ty,
            thread,
            state: Mutex::new(state),
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

    /// True once the value is in memory without conditions, so that any thread may read it.
    pub(crate) fn is_computed(&self) -> bool {
        matches!(&*self.state(), State::Ready(value) if value.is_there())
    }

    /// Whether it is known what becomes of it: a value that is there, or a failure.
    pub(crate) fn is_known(&self) -> bool {
        match &*self.state() {
            State::Ready(value) => value.is_there(),
            State::Failed(_) | State::Released => true,
            State::Pending => false,
        }
    }

    /// The same, and its bytes need no more than to be shared.
    pub(crate) fn is_readable(&self) -> bool {
        match &*self.state() {
            State::Ready(value) => {
                let device = self.thread.device;
                value.is_there()
                    && mlx::is_row_contiguous(&value.array)
                    && !mlx::moves_when_read(&value.array, device)
            }
            State::Failed(_) | State::Released => true,
            State::Pending => false,
        }
    }

    /// Whether somebody may still want the value: a holder who did not release it, or a queued job.
    pub(crate) fn is_wanted(&self) -> bool {
        self.uses.load(Ordering::Acquire) != RELEASED
    }

    /// Refuses a tensor that was released.
    pub(crate) fn check_held(&self) -> Result<()> {
        if self.uses.load(Ordering::Acquire) & RELEASED != 0 {
            return Err(released(&self.ty));
        }
        Ok(())
    }

    /// Takes the value away as soon as nothing queued uses it; `false` when that was asked before.
    pub(crate) fn release(&self) -> bool {
        let before = self.uses.fetch_or(RELEASED, Ordering::SeqCst);
        if before == 0 {
            self.free();
        }
        before & RELEASED == 0
    }

    /// Takes the value away.
    fn free(&self) {
        let old = std::mem::replace(&mut *self.state(), State::Released);
        self.thread.discard(old);
    }

    /// A share of the value, or why there is none.
    pub(crate) fn value(&self) -> std::result::Result<Value, Arc<Failure>> {
        match &*self.state() {
            State::Ready(value) => Ok(value.share()),
            State::Failed(failure) => Err(failure.clone()),
            State::Released => Err(Failure::new(released(&self.ty))),
            State::Pending => Err(Failure::new(Error::new(
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

#[cfg(test)]
mod tests {
    use emily_spec::DType;

    use super::*;

    /// An error stands for a value, which would be MLX's.
    fn slot() -> Arc<Slot> {
        let state = State::Failed(Failure::new(Error::new(ErrorKind::Internal, "there")));
        Slot::new(TensorType::new(DType::U8, [1]), Thread::alone(), state)
    }

    fn is_there(slot: &Slot) -> bool {
        !matches!(*slot.state(), State::Released)
    }

    #[test]
    fn a_release_waits_for_the_uses_and_is_final() {
        let slot = slot();
        let uses = [Use::of(&slot), Use::of(&slot)];
        assert!(slot.release());
        assert!(!slot.release());
        assert!(slot.check_held().is_err());
        for queued in uses {
            assert!(is_there(&slot));
            drop(queued);
        }
        assert!(!is_there(&slot));
        // It was let in before the release, and comes late.
        drop(Use::of(&slot));
        slot.fill(State::Pending);
        assert!(!is_there(&slot));
    }

    #[test]
    fn a_use_that_ends_without_a_release_takes_nothing_away() {
        let slot = slot();
        drop(Use::of(&slot));
        assert!(is_there(&slot) && slot.check_held().is_ok());
        assert!(slot.release());
        assert!(!is_there(&slot));
    }

    #[test]
    fn uses_and_a_release_at_once_free_it_once_all_are_over() {
        for _ in 0..if cfg!(miri) { 10 } else { 1000 } {
            let slot = slot();
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    let queued = Use::of(&slot);
                    scope.spawn(move || assert!(is_there(queued.slot())));
                }
                scope.spawn(|| assert!(slot.release()));
            });
            assert!(!is_there(&slot));
        }
    }
}
