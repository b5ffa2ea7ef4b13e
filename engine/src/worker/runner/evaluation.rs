//! When what was built is computed: its start, and how it ended.

use std::sync::{Arc, Weak};

use emily_spec::{Error, ErrorKind, Result};
use mlx_rs::Array;

use super::{Known, Runner};
use crate::memory::Reserved;
use crate::worker::failure::Failure;
use crate::worker::guard::Guards;
use crate::worker::slot::{Slot, State, Value};
use crate::worker::turn;
use crate::{Device, memory, mlx};

/// Evaluation starts once this many ops or bytes are pending: enough to keep the graph wide, little enough that the
/// device is never idle for long. It starts also when the thread has had nothing else to do for a moment. Only where two
/// products that take long are under way does it wait for one of them.
const PENDING_OPS: usize = 64;
const PENDING_BYTES: usize = 64 << 20;

/// Nor for longer than some ten milliseconds of a CPU's core: so many multiplications in products.
const PENDING_PRODUCTS: usize = 1 << 28;

/// Results whose evaluation has not been started.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) slots: Vec<Weak<Slot>>,
    ops: usize,
    bytes: usize,
    products: usize,
    pub(super) reserved: Reserved,
}

impl Pending {
    /// Counts an op that is in the graph, what it takes being reserved; whether that is enough to start evaluation.
    pub(super) fn add(&mut self, bytes: usize, products: usize) -> bool {
        self.ops += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.products = self.products.saturating_add(products);
        self.ops >= PENDING_OPS || self.bytes >= PENDING_BYTES || self.takes_long()
    }

    /// Whether a CPU is busy with it for some time.
    pub(super) fn takes_long(&self) -> bool {
        self.products >= PENDING_PRODUCTS
    }
}

/// Whether an op of so many bytes and multiplications is enough to start evaluation by itself.
pub(super) fn is_enough_alone(bytes: usize, products: usize) -> bool {
    bytes >= PENDING_BYTES || products >= PENDING_PRODUCTS
}

impl Runner {
    /// The first in time of a failure and those that the conditions turn out to be.
    pub(super) fn first_of(&mut self, failure: Arc<Failure>, guards: &Guards) -> Arc<Failure> {
        let arrays: Vec<Array> = guards.arrays().collect();
        match self.finish(&arrays) {
            Ok(()) => match guards.settle() {
                Ok(()) => failure,
                Err(other) => Failure::first(failure, other),
            },
            // What could not be looked at is no earlier cause that anybody knows.
            Err(_) => failure,
        }
    }

    /// Starts the evaluation of every pending result that somebody still holds.
    pub(super) fn flush(&mut self) {
        self.flush_with(&mut []);
    }

    /// The same, and of these values beside them.
    pub(super) fn flush_with(&mut self, beside: &mut [&mut Known]) {
        let pending = std::mem::take(&mut self.pending);
        if pending.slots.is_empty() && beside.is_empty() {
            return;
        }
        let live: Vec<Arc<Slot>> = pending.slots.iter().filter_map(Weak::upgrade).collect();
        let mut arrays = Vec::with_capacity(live.len() + beside.len());
        for slot in &live {
            if let Ok(value) = slot.value() {
                self.prepare(&value, &mut arrays);
            }
        }
        for value in beside.iter().filter_map(|known| known.as_ref().ok()) {
            self.prepare(value, &mut arrays);
        }
        let started = self.hand_over(&arrays);
        // MLX has allocated it by now. Where it cannot say how much, the last figure stands.
        let _ = memory::note();
        if pending.takes_long() {
            self.long.push_back(self.ends);
        }
        drop(pending.reserved);
        if started.is_err() {
            // One of them did not fit; evaluating each alone tells which, and leaves the others whole.
            for slot in &live {
                // The slot keeps the error for its reader.
                let _ = self.eval(slot);
            }
            for known in beside {
                // As the value does for what uses it.
                let _ = self.eval_known(known);
            }
            return;
        }
        self.started.extend(live.iter().map(Arc::downgrade));
    }

    /// Notes what MLX has computed since it was started: from then on any thread may use it, and does not wait
    /// for this one's queue.
    pub(super) fn see_computed(&mut self) {
        let mut there = Vec::new();
        while let Some(started) = self.started.front() {
            if let Some(slot) = started.upgrade()
                && let Ok(value) = slot.value()
                && !value.evaluated
                && self.poison.failure_of(&value).is_none()
            {
                let mut arrays: Vec<Array> = value.guards.arrays().collect();
                arrays.push(mlx::clone_array(&value.array));
                match all_there(&arrays) {
                    Ok(true) => there.push((slot, value)),
                    Ok(false) => break,
                    Err(error) => return self.poison(Failure::new(error)),
                }
            }
            self.started.pop_front();
        }
        if there.is_empty() || self.told_to_others().is_err() {
            return;
        }
        for (slot, mut value) in there {
            slot.fill(match value.guards.settle() {
                Ok(()) => {
                    value.settled();
                    State::Ready(value)
                }
                Err(failure) => State::Failed(failure),
            });
        }
    }

    /// Adds what is to be evaluated of a value.
    fn prepare(&mut self, value: &Value, arrays: &mut Vec<Array>) {
        if let Err(error) = value.guards.settle_available() {
            self.poison(Failure::new(error));
        }
        arrays.extend(value.guards.arrays());
        arrays.push(mlx::clone_array(&value.array));
    }

    /// What MLX threw as a graph was handed over. Unless something only did not fit, that is what all in it fails of.
    fn thrown(&mut self, error: Error) -> Arc<Failure> {
        match error.kind {
            ErrorKind::Memory => Failure::new(error),
            _ => self.failed(error),
        }
    }

    /// What a kernel threw, which MLX tells once, to whoever is the first to ask: all in the graph fails of it.
    pub(super) fn failed(&mut self, error: Error) -> Arc<Failure> {
        let failure = Failure::new(error);
        self.poison(failure.clone());
        failure
    }

    /// Gives up what is in the graph.
    pub(super) fn poison(&mut self, failure: Arc<Failure>) {
        // What the stream still has to say is of the same failure.
        let _ = mlx::synchronize(&self.stream);
        let _ = mlx::synchronize(&self.cpu);
        self.poison.spread(failure);
    }

    /// Evaluates a value with its conditions.
    pub(super) fn evaluate(&mut self, value: &Value) -> std::result::Result<(), Arc<Failure>> {
        let mut arrays: Vec<Array> = value.guards.arrays().collect();
        arrays.push(mlx::clone_array(&value.array));
        self.finish(&arrays)?;
        value.guards.settle()
    }

    /// Evaluates these, and waits for them. What MLX throws meanwhile is of any op that is in the graph, so it is
    /// nobody's by name.
    pub(super) fn finish(&mut self, arrays: &[Array]) -> std::result::Result<(), Arc<Failure>> {
        let era = self.poison.era();
        self.hand_over(arrays)?;
        self.attend(arrays).map_err(|error| self.failed(error))?;
        self.told_to_others()?;
        // What was seen to fail meanwhile may be what these were made of.
        match self.poison.since(era) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Starts the computation of these, unless they are there.
    fn hand_over(&mut self, arrays: &[Array]) -> std::result::Result<(), Arc<Failure>> {
        if all_there(arrays).map_err(|error| self.failed(error))? {
            return Ok(());
        }
        let started = turn::start(arrays, self.thread.device);
        let started = started.map_err(|error| self.thrown(mlx::from_mlx(error)));
        if self.thread.device == Device::Cpu {
            let told = mlx::tell(&self.stream, self.progress.clone());
            told.map_err(|error| self.failed(error))?;
            self.ends += 1;
        }
        started
    }

    /// A failure of this thread's that another one was told of.
    fn told_to_others(&mut self) -> std::result::Result<(), Arc<Failure>> {
        match self.poison.told_to_others() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Waits for all that the stream has, so that what fails next is of whoever comes next.
    pub(super) fn settle(&mut self, operands: &[Array]) -> std::result::Result<(), Arc<Failure>> {
        self.finish(operands)?;
        for stream in [self.stream.clone(), self.cpu.clone()] {
            mlx::synchronize(&stream).map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    /// Evaluates a slot's value and the conditions on it, and records the outcome in the slot.
    pub(super) fn eval(&mut self, slot: &Arc<Slot>) -> std::result::Result<Array, Arc<Failure>> {
        let value = slot.value()?;
        if value.evaluated {
            return Ok(value.array);
        }
        let mut known = Ok(value);
        let outcome = self.eval_known(&mut known);
        slot.fill(match known {
            Ok(value) => State::Ready(value),
            Err(failure) => State::Failed(failure),
        });
        outcome
    }

    /// Evaluates a value and the conditions on it, and records the outcome.
    pub(super) fn eval_known(
        &mut self,
        known: &mut Known,
    ) -> std::result::Result<Array, Arc<Failure>> {
        let value = match known {
            Ok(value) if value.evaluated => return Ok(mlx::clone_array(&value.array)),
            Ok(value) => value,
            Err(failure) => return Err(failure.clone()),
        };
        let outcome = match self.poison.failure_of(value) {
            Some(failure) => Err(failure),
            None => self.evaluate(value),
        };
        match outcome {
            Ok(()) => {
                // MLX notes down that it is there when first asked; from here on any thread may ask.
                mlx::is_available(&value.array);
                value.settled();
                Ok(mlx::clone_array(&value.array))
            }
            Err(failure) => {
                *known = Err(failure.clone());
                Err(failure)
            }
        }
    }
}

/// Whether all of these are there.
///
/// # Errors
/// That of a kernel that failed, which MLX tells to who asks first.
pub(super) fn all_there(arrays: &[Array]) -> Result<bool> {
    for array in arrays {
        if !mlx::is_there(array)? {
            return Ok(false);
        }
    }
    Ok(true)
}
