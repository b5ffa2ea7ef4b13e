//! Workers: where ops are queued, and the threads that run them.
//!
//! A [`Worker`] is a caller's lane on a [`Thread`]. Threads come from a fixed pool per device and
//! live as long as the process, each with one MLX stream, because MLX never frees a stream. Workers
//! beyond the pool's size share threads.

mod failure;
mod guard;
mod handle;
mod inline;
mod poison;
mod pool;
mod progress;
mod queue;
mod reply;
mod runner;
mod scheduling;
mod slot;
mod sync;
mod thread;
mod turn;

use std::sync::Arc;

use emily_spec::{Context, DType, Error, ErrorKind, Op, Result, TensorType};

use smallvec::SmallVec;

use crate::memory::Reserved;
use crate::{Config, Device, Prepared, ending, host, memory, mlx, ops, reaper};

pub(crate) use guard::Guards;
pub use handle::Handle;
pub(crate) use pool::wind_down;
pub use queue::Backlog;
pub use reply::Reply;
pub(crate) use runner::Origin;
use slot::{Slot, State, Use, Value};
pub(crate) use thread::{Apply, Gate, Input, Job, LARGE, Lane, Run, Thread};

/// A lane on which ops run in the order of submission.
///
/// Clones are the same lane. Dropping the last one leaves queued work in place; [`Worker::stop`]
/// refuses it.
#[derive(Clone, Debug)]
pub struct Worker {
    thread: Arc<Thread>,
    lane: Arc<Lane>,
    f64: bool,
    /// Whether small ops are computed in the call.
    inline: bool,
}

impl Worker {
    /// A worker on the least loaded thread of the device's pool.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device is not there, [`ErrorKind::Internal`] when the MLX that was loaded is not
    /// the release this engine is written for or a thread cannot be made, [`ErrorKind::Argument`] where the environment
    /// chooses kernels that there are not, [`ErrorKind::Stopped`] while the process ends.
    pub fn start(config: Config) -> Result<Worker> {
        ending::check_not_begun()?;
        config.device.check()?;
        host::check_environment()?;
        let version = mlx::version();
        if version != crate::MLX_VERSION {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "MLX {version} was loaded where {} is needed; check MLX_HOME and the \
                     library path",
                    crate::MLX_VERSION
                ),
            ));
        }
        // It is looked for once, which takes a while, and uploads need it.
        let _limit = memory::limit();
        let (thread, lane) = pool::join(config.device)?;
        Ok(Worker {
            thread,
            lane,
            f64: config.f64,
            inline: inline::is_on(config.device),
        })
    }

    /// The device its ops run on.
    pub fn device(&self) -> Device {
        self.thread.device
    }

    /// The name that errors give it.
    pub fn name(&self) -> &str {
        &self.lane.name
    }

    /// Jobs that wait on this worker's thread.
    pub fn depth(&self) -> usize {
        self.thread.depth()
    }

    /// The backlog of this worker's thread, where its queue is over its bound. [`Worker::flush`], [`Worker::call`],
    /// [`Worker::ask`] and [`Worker::make_room`] queue whatever the bound is, as who calls them waits for the reply
    /// before it asks for more; who does not waits for this.
    pub fn backlog(&self) -> Option<Backlog> {
        Backlog::now(&self.thread)
    }

    /// A tensor from row-major little-endian bytes, which are copied now. Where memory is short, many bytes
    /// wait until the worker has made room.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for a wrong byte count, [`ErrorKind::Dtype`] for `f64` where it is
    /// not on, [`ErrorKind::Memory`], [`ErrorKind::Stopped`].
    pub fn from_bytes(&self, ty: TensorType, bytes: &[u8]) -> Result<Handle> {
        loop {
            if let Some(tensor) = self.try_from_bytes(&ty, bytes)? {
                return Ok(tensor);
            }
            handle::wait(|reply| self.make_room(bytes.len(), reply))?;
        }
    }

    /// [`Worker::from_bytes`] without waiting: `None` where room has to be made first, by
    /// [`Worker::make_room`].
    ///
    /// # Errors
    /// As [`Worker::from_bytes`].
    pub fn try_from_bytes(&self, ty: &TensorType, bytes: &[u8]) -> Result<Option<Handle>> {
        self.lane.check_running()?;
        self.check_dtype(ty.dtype)?;
        ty.check_byte_count(bytes.len())?;
        let Some(room) = self.room(bytes.len())? else {
            return Ok(None);
        };
        let value = Value::computed(mlx::upload(ty, bytes)?, bytes.len());
        memory::given(bytes.len());
        drop(room);
        Ok(Some(Handle(Slot::new(
            ty.clone(),
            self.thread.clone(),
            State::Ready(value),
        ))))
    }

    /// Has the worker make room for so many bytes, after what was submitted before: it computes what is
    /// pending, gives its cache back, and has others let go of what they do not need.
    ///
    /// # Errors
    /// What `reply` receives: [`ErrorKind::Memory`] where that is not enough.
    pub fn make_room(&self, bytes: usize, reply: Reply<()>) {
        self.thread.push(Job::Room(bytes, reply));
    }

    /// Room for so many bytes, where there is some now.
    fn room(&self, bytes: usize) -> Result<Option<Reserved>> {
        // Who brings few bytes has less time than giving memory back takes.
        if let Some(room) = self.claim(bytes, bytes < SMALL)? {
            return Ok(Some(room));
        }
        if bytes > memory::limit() {
            return Err(memory::refusal(bytes, 0));
        }
        // What is being given back leaves room, for which few bytes need not wait.
        match bytes < SMALL {
            true => memory::claim(bytes, reaper::waiting()),
            false => Ok(None),
        }
    }

    /// Room for so many bytes, where there is some now and nothing else has to go. What the C library keeps is given
    /// back where that is time, by the worker's thread for who is in haste.
    fn claim(&self, bytes: usize, is_hasty: bool) -> Result<Option<Reserved>> {
        let room = memory::claim(bytes, 0)?;
        if room.is_some() && memory::crowded(bytes) {
            match is_hasty {
                true => self.call(memory::trim),
                false => memory::trim(),
            }
        }
        Ok(room)
    }

    /// Queues an op and returns its results' handles, without waiting for anything. A small one on a CPU, whose
    /// operands are there, is computed in the call instead.
    ///
    /// The backlog is there when the queue is over its bound: wait for it before submitting more.
    ///
    /// # Errors
    /// What [`Op::infer`] says of the operands, [`ErrorKind::Dtype`] for `f64` where it is not on,
    /// [`ErrorKind::Memory`] for a result over the limit, [`ErrorKind::Stopped`]. What depends on
    /// values is reported when the result is read.
    pub fn submit(&self, op: Op, inputs: &[Handle]) -> Result<(Vec<Handle>, Option<Backlog>)> {
        let mut types = Vec::new();
        let reserved = types.try_reserve_exact(inputs.len());
        reserved.map_err(memory::none_for(inputs.len()))?;
        types.extend(inputs.iter().map(|input| input.ty().clone()));
        let here = |error: Error| error.at(&op, &types);
        self.lane.check_running().map_err(here)?;
        let results = op.infer(&types)?;
        let bytes = self.check(&results, inputs).map_err(here)?;
        let on_the_way = (self.temporaries(&op, &types, &results, bytes)).map_err(here)?;
        let need = [bytes, on_the_way];
        if let Some(output) = self.at_once(&op, inputs, &types, &results, need) {
            return Ok((vec![output], None));
        }
        let outputs: Vec<Handle> = results
            .iter()
            .map(|ty| Handle(Slot::new(ty.clone(), self.thread.clone(), State::Pending)))
            .collect();
        let (operands, mut full) = self.import(inputs)?;
        let apply = Apply {
            origin: Origin {
                call: Arc::new(Context {
                    op,
                    inputs: types,
                    worker: None,
                }),
                worker: self.lane.name.clone(),
            },
            results,
            bytes,
            on_the_way,
            inputs: operands,
            outputs: outputs.iter().map(|out| Arc::downgrade(&out.0)).collect(),
            lane: self.lane.clone(),
        };
        full.extend(self.thread.push_bounded(Job::Apply(apply)));
        Ok((outputs, Backlog::of(full)))
    }

    /// [`Worker::submit`], waiting while the queue is over its bound.
    ///
    /// # Errors
    /// As [`Worker::submit`].
    pub fn apply(&self, op: &Op, inputs: &[Handle]) -> Result<Vec<Handle>> {
        let (outputs, backlog) = self.submit(op.clone(), inputs)?;
        if let Some(backlog) = backlog {
            backlog.wait();
        }
        Ok(outputs)
    }

    /// Queues a whole program and returns its results' handles, without waiting for anything: one job, which
    /// builds the graph that its ops would build one by one.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for another number of inputs, [`ErrorKind::Dtype`] and [`ErrorKind::Shape`] for inputs
    /// of other types than the parameters', and as [`Worker::submit`] for ops that run in any case; what is wrong with
    /// one in a branch or a loop is told by what reads its results.
    pub fn run(
        &self,
        program: &Arc<Prepared>,
        inputs: &[Handle],
    ) -> Result<(Vec<Handle>, Option<Backlog>)> {
        self.lane.check_running()?;
        program.check_inputs(inputs.iter().map(Handle::ty))?;
        for input in inputs {
            input.0.check_held()?;
        }
        if program.has_f64() {
            self.check_dtype(DType::F64)?;
        }
        program.check_sizes(self.device())?;
        let outputs: Vec<Handle> = (program.results())
            .map(|ty| Handle(Slot::new(ty.clone(), self.thread.clone(), State::Pending)))
            .collect();
        let (inputs, mut full) = self.import(inputs)?;
        let run = Run {
            program: program.clone(),
            inputs,
            outputs: outputs.iter().map(|out| Arc::downgrade(&out.0)).collect(),
            lane: self.lane.clone(),
        };
        full.extend(self.thread.push_bounded(Job::Program(Box::new(run))));
        Ok((outputs, Backlog::of(full)))
    }

    /// Starts the evaluation of everything that was submitted before, then calls `done` on the
    /// worker's thread. What fails is told by the handle that is read, not here.
    pub fn flush(&self, done: Reply<()>) {
        self.thread.push(Job::Flush(done));
    }

    /// Runs `f` on the worker's thread, after what was submitted before.
    pub fn call(&self, f: impl FnOnce() + Send + 'static) {
        self.thread.push(Job::Call(Box::new(f)));
    }

    /// Runs `f` as [`Worker::call`] does, and calls `reply` with its result.
    ///
    /// # Errors
    /// What `reply` receives: [`ErrorKind::Stopped`], at once on this thread where the worker was
    /// stopped before, and what `f` gives; [`ErrorKind::Internal`] where it panics.
    pub fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> Result<T> + Send + 'static,
        reply: Reply<T>,
    ) {
        if let Err(error) = self.lane.check_running() {
            return reply.send(Err(error));
        }
        let lane = self.lane.clone();
        self.call(move || reply.send(lane.check_running().and_then(|()| f())));
    }

    /// Refuses new work and fails what is queued with [`ErrorKind::Stopped`]. What is already
    /// computed, or in the lazy graph, can still be read. Waits for nothing.
    pub fn stop(&self) {
        self.lane.stop();
    }

    /// The operands as a job has them, and the threads whose queues that leaves over their bounds.
    ///
    /// A foreign tensor that is not computed yet is computed by its own thread first. That order is fixed
    /// here, at the call, so that two threads can never wait for each other in a circle.
    fn import(&self, inputs: &[Handle]) -> Result<(SmallVec<[Input; 3]>, Full)> {
        let mut operands = SmallVec::new();
        let reserved = operands.try_reserve_exact(inputs.len());
        reserved.map_err(memory::none_for(inputs.len()))?;
        let mut full = SmallVec::new();
        let operand = |Handle(slot): &Handle| {
            if Arc::ptr_eq(&slot.thread, &self.thread) || slot.is_computed() {
                return Input::Ready(Use::of(slot));
            }
            let gate = Arc::new(Gate::default());
            let evaluate = Job::Eval(Use::of(slot), Gate::opener(&gate));
            full.extend(slot.thread.push_bounded(evaluate));
            Input::Foreign(Use::of(slot), gate)
        };
        operands.extend(inputs.iter().map(operand));
        Ok((operands, full))
    }

    /// The results' size in bytes.
    fn check(&self, results: &[TensorType], inputs: &[Handle]) -> Result<usize> {
        let mut bytes = 0usize;
        for result in results {
            self.check_dtype(result.dtype)?;
            let size = result.byte_size()?;
            memory::check(size)?;
            bytes = bytes.saturating_add(size);
        }
        for input in inputs {
            self.check_dtype(input.ty().dtype)?;
            input.0.check_held()?;
        }
        Ok(bytes)
    }

    /// The most bytes that a call takes beside its operands and results while it runs here: fewer than
    /// [`Op::cost`] says where a kernel of ours computes it.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] for sizes beyond what is countable.
    pub fn on_the_way(
        &self,
        op: &Op,
        inputs: &[TensorType],
        results: &[TensorType],
    ) -> Result<usize> {
        ops::on_the_way(op, self.device(), inputs, results)
    }

    /// The bytes that a call needs beside its operands and results while it runs.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] where they are over the limit together with the results, or there are more
    /// elements than MLX counts.
    fn temporaries(
        &self,
        op: &Op,
        inputs: &[TensorType],
        results: &[TensorType],
        bytes: usize,
    ) -> Result<usize> {
        ops::check_counts(op, self.device(), inputs, results)?;
        let temporaries = self.on_the_way(op, inputs, results)?;
        if bytes.saturating_add(temporaries) > memory::limit() {
            return Err(memory::refusal(bytes, temporaries));
        }
        Ok(temporaries)
    }

    fn check_dtype(&self, dtype: DType) -> Result<()> {
        if dtype != DType::F64 || (self.f64 && self.device() == Device::Cpu) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Dtype,
            "f64 is not supported: MLX has it on the CPU only. Use f32, or, on the cpu device, \
             turn the f64 option on",
        ))
    }
}

/// Threads whose queues are over their bounds.
type Full = SmallVec<[Arc<Thread>; 1]>;

/// Uploads of fewer bytes have less time than it takes to give memory back to the system.
const SMALL: usize = 256 << 10;

impl Lane {
    fn check_running(&self) -> Result<()> {
        ending::check_not_begun()?;
        if self.stopped() {
            return Err(self.stopped_error());
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "schedules"))]
mod schedules;
#[cfg(test)]
mod tests;
