//! The inside of a worker thread: it owns the stream, builds the graph and evaluates it.

mod evaluation;
mod meanwhile;
mod program;

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use emily_spec::{Context, Error, Result, TensorType};
use mlx_rs::{Array, Stream, with_stream};
use smallvec::SmallVec;

use crate::bytes::Bytes;
use crate::memory::Reserved;
use crate::ops::{self, Cx};
use crate::planted::{Fault, strikes};
use crate::worker::Reply;
use crate::worker::failure::Failure;
use crate::worker::guard::{Guard, Guards};
use crate::worker::poison::Poison;
use crate::worker::progress::Progress;
use crate::worker::slot::{Slot, State, Use, Value};
use crate::worker::thread::{Apply, Input, Job, Lane, Thread};
use crate::{Device, ending, memory, mlx};
use evaluation::Pending;

/// A view that keeps so many times its own size in memory is copied, where that is more than a page.
const KEPT: usize = 8;
const PAGE: usize = 4096;

/// Whether a view of so many bytes should not keep what it is of.
pub(super) fn is_wasteful(kept: usize, bytes: usize) -> bool {
    kept > KEPT.saturating_mul(bytes).max(PAGE)
}

/// How often, and how long each time, it is looked whether what was collected has been freed: the VM frees some of it
/// a moment after it says that it has.
const MOMENTS: usize = 20;
const MOMENT: Duration = Duration::from_millis(5);

/// The call a value came from, for errors that only its evaluation shows.
#[derive(Clone)]
pub(crate) struct Origin {
    /// The op and its operands' types.
    pub(crate) call: Arc<Context>,
    /// The worker's name.
    pub(crate) worker: Arc<str>,
}

/// What a call is and takes, as it was found out before it runs.
pub(crate) struct Asked<'a> {
    pub(crate) origin: &'a Origin,
    /// The results' types.
    pub(crate) results: &'a [TensorType],
    /// The results' size.
    pub(crate) bytes: usize,
    /// What is needed beside operands and results, where that is much.
    pub(crate) on_the_way: usize,
}

/// An operand's value, or why there is none.
type Known = std::result::Result<Value, Arc<Failure>>;

/// A worker thread's own state; it never leaves the thread.
pub(crate) struct Runner {
    thread: Arc<Thread>,
    stream: Stream,
    /// For what MLX has on the CPU only; the same stream on a CPU worker.
    cpu: Stream,
    pending: Pending,
    /// What was handed to MLX and not seen computed, in its order.
    started: VecDeque<Weak<Slot>>,
    poison: Poison,
    /// How far the stream has come, on the CPU.
    progress: Arc<Progress>,
    /// How many ends there will be, and which of them are of what takes long.
    ends: u64,
    long: VecDeque<u64>,
    /// What was taken from the queue and is not done.
    jobs: VecDeque<Job>,
    /// When the queue was last looked at.
    looked: Instant,
}

impl Runner {
    pub(crate) fn new(thread: Arc<Thread>) -> Result<Runner> {
        let (stream, cpu) = match thread.device {
            Device::Cpu => {
                let stream = mlx::new_stream(Device::Cpu)?;
                (stream.clone(), stream)
            }
            Device::Gpu => (mlx::new_stream(Device::Gpu)?, mlx::new_stream(Device::Cpu)?),
        };
        Ok(Runner {
            thread,
            stream,
            cpu,
            pending: Pending::default(),
            started: VecDeque::new(),
            poison: Poison::new(),
            progress: Arc::new(Progress::new()),
            ends: 0,
            long: VecDeque::new(),
            jobs: VecDeque::new(),
            looked: Instant::now(),
        })
    }

    /// Takes jobs for the rest of the process's life.
    pub(crate) fn run(mut self) {
        let stream = self.stream.clone();
        with_stream(&stream, || {
            let mut trash = Vec::new();
            let mut count = 0u64;
            let thread = self.thread.clone();
            loop {
                let free = self.pending.slots.is_empty();
                self.thread.queue().take(&mut self.jobs, &mut trash, free);
                if self.jobs.is_empty() && !free && !ending::begun() {
                    self.flush();
                }
                if ending::begun() {
                    std::mem::forget(std::mem::take(&mut trash));
                }
                trash.clear();
                self.prune();
                while let Some(job) = self.jobs.pop_front() {
                    let taken = Taken(&thread);
                    if ending::begun() {
                        self.refuse(job, taken);
                    } else {
                        self.job(job, taken);
                    }
                    self.look();
                    count += 1;
                    // What MLX makes at its first use of something is there before the handler
                    // comes first again.
                    if count.is_power_of_two() {
                        ending::come_first();
                    }
                }
            }
        });
    }

    /// One job, if somebody still waits for it, which is done before anybody hears of it. A panic in it is
    /// caught.
    fn job(&mut self, job: Job, taken: Taken<'_>) {
        let caught = catch_unwind(AssertUnwindSafe(|| match job {
            job if !job.is_wanted() => drop((taken, job)),
            Job::Apply(apply) => self.apply(apply),
            Job::Program(run) => self.program(*run),
            Job::Read(tensor, reply) => taken.send(reply, self.answer(tensor, Runner::read)),
            Job::Eval(tensor, reply) => {
                let answer = self.answer(tensor, |runner, slot| {
                    let outcome = runner.eval(slot).map(drop);
                    outcome.map_err(|failure| failure.error.clone())
                });
                taken.send(reply, answer);
            }
            Job::Flush(reply) => {
                self.flush();
                taken.send(reply, Ok(()));
            }
            Job::Call(f) => f(),
            Job::Room(bytes, reply) => {
                taken.send(reply, self.make_room(bytes, 0, Runner::flush).map(drop));
            }
            Job::Settle(reply) => taken.send(reply, mlx::synchronize(&self.stream)),
        }));
        // Whoever waits for a tensor has its message by now, a reply that was not sent says so, and
        // nobody waits for a call.
        drop(caught);
    }

    /// Answers a job without computing anything for it, as the process is ending.
    fn refuse(&mut self, job: Job, taken: Taken<'_>) {
        match job {
            Job::Apply(apply) => {
                let failure = Failure::new(at(ending::refusal(), &apply.origin));
                for slot in &apply.outputs {
                    fill(slot, State::Failed(failure.clone()));
                }
            }
            Job::Program(run) => run.fail(&Failure::new(ending::refusal())),
            Job::Read(ref tensor, _) | Job::Eval(ref tensor, _) => {
                let slot = tensor.slot();
                if let Ok(value) = slot.value()
                    && !value.evaluated
                {
                    slot.fill(State::Failed(Failure::new(at_origin(
                        ending::refusal(),
                        &value,
                    ))));
                }
                self.job(job, taken);
            }
            Job::Flush(_) | Job::Call(_) | Job::Room(..) | Job::Settle(_) => self.job(job, taken),
        }
    }

    /// What `compute` makes of a tensor; a panic in it is the tensor's error. The use ends before the reply,
    /// so that a release right after it frees at once.
    fn answer<T>(
        &mut self,
        tensor: Use,
        compute: impl FnOnce(&mut Runner, &Arc<Slot>) -> Result<T>,
    ) -> Result<T> {
        let slot = tensor.slot();
        let caught = catch_unwind(AssertUnwindSafe(|| compute(self, slot)));
        caught.unwrap_or_else(|panic| {
            let error = panicked(&*panic);
            let error = match slot.value() {
                Ok(value) => at_origin(error, &value),
                Err(_) => error,
            };
            slot.fill(State::Failed(Failure::new(error.clone())));
            Err(error)
        })
    }

    fn apply(&mut self, apply: Apply) {
        let products = ops::products(
            &apply.origin.call.op,
            &apply.origin.call.inputs,
            &apply.results,
        );
        if evaluation::is_enough_alone(apply.bytes, products) {
            // What others ask for of what comes before it is there sooner.
            self.flush();
        }
        let computed = catch_unwind(AssertUnwindSafe(|| self.compute(&apply)))
            .unwrap_or_else(|panic| Err(Failure::new(at(panicked(&*panic), &apply.origin))));
        match computed {
            Ok(()) => self.account(apply, products),
            Err(failure) => {
                for slot in &apply.outputs {
                    fill(slot, State::Failed(failure.clone()));
                }
            }
        }
    }

    /// Builds the op's graph on its operands' values, and fills its slots.
    fn compute(&mut self, apply: &Apply) -> std::result::Result<(), Arc<Failure>> {
        let asked = Asked {
            origin: &apply.origin,
            results: &apply.results,
            bytes: apply.bytes,
            on_the_way: apply.on_the_way,
        };
        let inputs = apply.inputs.iter().map(Input::value);
        let values = self.op(&asked, &apply.lane, inputs, Runner::flush)?;
        for (slot, value) in apply.outputs.iter().zip(values) {
            fill(slot, State::Ready(value));
        }
        Ok(())
    }

    /// Builds an op's graph on its operands' values: its results, not evaluated. Where memory is short, `begin` starts
    /// what is not started yet.
    fn op(
        &mut self,
        asked: &Asked<'_>,
        lane: &Lane,
        inputs: impl ExactSizeIterator<Item = Known>,
        begin: impl FnOnce(&mut Runner),
    ) -> std::result::Result<SmallVec<[Value; 1]>, Arc<Failure>> {
        let origin = asked.origin;
        let op = &origin.call.op;
        let here = |error| Failure::new(at(error, origin));
        // What fails while room is made is what this is made of.
        let era = self.poison.era();
        if lane.stopped() {
            return Err(here(lane.stopped_error()));
        }
        let mut guards = Guards::default();
        let mut arrays = SmallVec::<[Array; 3]>::new();
        let count = inputs.len();
        let reserved = arrays.try_reserve(count);
        reserved.map_err(memory::none_for(count)).map_err(here)?;
        let mut failed = None;
        let mut shared = 0;
        for value in inputs {
            let value = value.and_then(|value| match self.poison.failure_of(&value) {
                Some(failure) => Err(failure),
                None => Ok(value),
            });
            match value {
                Ok(value) => {
                    guards.join(&value.guards);
                    arrays.push(value.array);
                    shared = shared.max(value.kept);
                }
                Err(failure) => {
                    failed = Some(match failed.take() {
                        Some(other) => Failure::first(other, failure),
                        None => failure,
                    });
                }
            }
        }
        if let Some(failure) = failed {
            return Err(self.first_of(failure, &guards));
        }
        let reserved = self
            .make_room(asked.bytes, asked.on_the_way, begin)
            .map_err(here)?;
        if ops::is_evaluated_at_once(op) {
            self.settle(&arrays)?;
        }
        let mut cx = Cx::new(self.thread.device, &self.cpu);
        let arrays = ops::run(op, &arrays, asked.results, &mut cx).map_err(here)?;
        for condition in cx.into_conditions() {
            guards.push(Guard::new(condition, origin.clone()).map_err(here)?);
        }
        let view = ops::Layout::of(op) != ops::Layout::Fresh;
        let mut values = SmallVec::new();
        for mut array in arrays {
            let mut kept = asked.bytes;
            if view && is_wasteful(shared, asked.bytes) {
                array = mlx::contiguous(&array).map_err(here)?;
            } else if view {
                kept = shared.max(kept);
            }
            values.push(Value {
                array,
                guards: guards.clone(),
                evaluated: false,
                origin: Some(origin.clone()),
                kept,
                era,
            });
        }
        self.pending.reserved.join(reserved);
        Ok(values)
    }

    /// Reserves what a call's results, and what it needs on the way, take beside what is in use: has `begin` compute
    /// what is pending, so that its operands can go, then gives the cache back, then has others let go of what
    /// they do not need, and only then refuses. What `begin` leaves pending is counted no more, so it leaves nothing.
    fn make_room(
        &mut self,
        bytes: usize,
        on_the_way: usize,
        begin: impl FnOnce(&mut Runner),
    ) -> Result<Reserved> {
        let need = bytes.saturating_add(on_the_way);
        let claim = memory::claim(need, 0)?;
        if memory::crowded(need) {
            memory::trim();
        }
        if let Some(reserved) = claim {
            return Ok(reserved);
        }
        begin(self);
        if let Err(error) = mlx::synchronize(&self.stream) {
            self.poison(Failure::new(error.clone()));
            return Err(error);
        }
        memory::clear_cache()?;
        if let Some(reserved) = memory::claim(need, 0)? {
            return Ok(reserved);
        }
        let mut moments = if memory::relieve() { MOMENTS } else { 0 };
        loop {
            // What others let go of may be this thread's to drop.
            drop(self.thread.queue().take_trash());
            if let Some(reserved) = memory::claim(need, 0)? {
                return Ok(reserved);
            }
            if moments == 0 {
                return Err(memory::refusal(bytes, on_the_way));
            }
            moments -= 1;
            std::thread::sleep(MOMENT);
        }
    }

    /// Counts what is pending and starts evaluation when it is enough.
    fn account(&mut self, apply: Apply, products: usize) {
        self.pending.slots.extend(apply.outputs);
        if self.pending.add(apply.bytes, products) {
            self.keep_up();
            self.flush();
        }
    }

    fn read(&mut self, slot: &Arc<Slot>) -> Result<Bytes> {
        let array = self.eval(slot).map_err(|failure| failure.error.clone())?;
        self.bytes(array, Runner::flush)
    }

    /// The bytes of an evaluated array; `begin` as for [`Runner::make_room`].
    fn bytes(&mut self, array: Array, begin: impl FnOnce(&mut Runner)) -> Result<Bytes> {
        let device = self.thread.device;
        if mlx::is_row_contiguous(&array) && !mlx::moves_when_read(&array, device) {
            return Bytes::new(array);
        }
        ops::check_count(array.size(), device)?;
        let _room = self.make_room(array.nbytes(), 0, begin)?;
        let dense = mlx::contiguous(&array)?;
        let dense = mlx::private(&dense, device).map_err(mlx::from_mlx)?;
        let finished = self.finish(std::slice::from_ref(&dense));
        finished.map_err(|failure| failure.error.clone())?;
        Bytes::new(dense)
    }
}

/// A job that was taken from the thread's queue. Dropped, it counts as done.
struct Taken<'a>(&'a Thread);

impl Taken<'_> {
    /// Replies to the job, now that it is done.
    fn send<T>(self, reply: Reply<T>, result: Result<T>) {
        drop(self);
        if strikes(Fault::LostReply) {
            return std::mem::forget(reply);
        }
        reply.send(result);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.queue().done(1);
    }
}

/// Fills a slot that somebody still holds.
fn fill(slot: &Weak<Slot>, state: State) {
    if let Some(slot) = slot.upgrade() {
        slot.fill(state);
    }
}

impl Input {
    /// The operand's value; for a foreign one, after its own thread has evaluated it.
    fn value(&self) -> std::result::Result<Value, Arc<Failure>> {
        match self {
            Input::Ready(tensor) => tensor.slot().value(),
            Input::Foreign(tensor, gate) => {
                if !strikes(Fault::Race) {
                    gate.wait();
                }
                tensor.slot().value()
            }
        }
    }
}

/// The error at the call it belongs to.
pub(super) fn at(error: Error, origin: &Origin) -> Error {
    let Origin { call, worker } = origin;
    error.at(&call.op, &call.inputs).on(worker)
}

/// The error at the call that the value came from.
fn at_origin(error: Error, value: &Value) -> Error {
    match &value.origin {
        Some(origin) => at(error, origin),
        None => error,
    }
}

pub(super) fn panicked(panic: &(dyn Any + Send)) -> Error {
    emily_spec::panicked("worker", panic)
}

#[cfg(test)]
mod tests;
