//! The engine, in process.

use std::ops::Deref;
use std::sync::{Condvar, Mutex, PoisonError};

use emily_engine::{Config, Device, Handle, Worker};
use emily_spec::{DType, Op, Result, Tensor};

use super::{Absent, Layer, Reference, caught};
use crate::plan::Call;
use crate::view::Input;

/// How many trials use a GPU at a time. Threads that wait for CUDA spin: on an H200 with 16 cores, three
/// trials at a time did all 8,153 in three minutes, where sixteen had done 1,233 of them in seven.
const AT_ONCE_ON_A_GPU: usize = 3;

/// The engine on one device, with `f64` allowed where MLX has it.
#[derive(Debug)]
pub struct Native {
    config: Config,
    pool: Mutex<Pool>,
    given_back: Condvar,
}

/// The workers of a layer.
#[derive(Debug, Default)]
struct Pool {
    /// Those that no trial uses right now.
    idle: Vec<Worker>,
    /// How many trials have one.
    lent: usize,
}

/// A worker that a trial has until it drops this.
struct Lent<'a> {
    native: &'a Native,
    worker: Option<Worker>,
}

impl Deref for Lent<'_> {
    type Target = Worker;

    fn deref(&self) -> &Worker {
        self.worker.as_ref().expect("it is given back on drop only")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = self.native.pool();
        pool.lent -= 1;
        pool.idle.extend(self.worker.take());
        self.native.given_back.notify_one();
    }
}

impl Native {
    /// On the CPU, with `f64`.
    pub fn cpu() -> Native {
        Native::on(Config {
            device: Device::Cpu,
            f64: true,
        })
    }

    /// On the GPU, where MLX has no `f64`.
    pub fn gpu() -> Native {
        Native::on(Config {
            device: Device::Gpu,
            f64: false,
        })
    }

    fn on(config: Config) -> Native {
        Native {
            config,
            pool: Mutex::default(),
            given_back: Condvar::new(),
        }
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker, once one may be had.
    fn worker(&self) -> Result<Lent<'_>> {
        let most = match self.config.device {
            Device::Gpu => AT_ONCE_ON_A_GPU,
            Device::Cpu => usize::MAX,
        };
        let mut pool = self
            .given_back
            .wait_while(self.pool(), |pool| pool.lent >= most)
            .unwrap_or_else(PoisonError::into_inner);
        let idle = pool.idle.pop();
        pool.lent += 1;
        drop(pool);
        let mut lent = Lent {
            native: self,
            worker: idle,
        };
        if lent.worker.is_none() {
            lent.worker = Some(Worker::start(self.config)?);
        }
        Ok(lent)
    }
}

impl Layer for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn device(&self) -> &'static str {
        self.config.device.name()
    }

    fn reference(&self) -> Reference {
        Reference::Oracle
    }

    fn has(&self, dtype: DType) -> bool {
        self.config.f64 || dtype != DType::F64
    }

    fn available(&self) -> std::result::Result<(), Absent> {
        let started = self.config.device.check().and_then(|()| self.worker());
        started.map_err(|error| match error.message.split_once("; ") {
            Some((reason, remedy)) => Absent {
                reason: reason.to_owned(),
                remedy: remedy.to_owned(),
            },
            None => Absent {
                reason: error.message,
                remedy: "cargo xtask doctor".to_owned(),
            },
        })?;
        Ok(())
    }

    fn run(&self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
        let worker = self.worker()?;
        read(submit(&worker, op, inputs))
    }

    /// All calls are submitted before the first result is read, as a program does.
    fn run_all(&self, calls: &[&Call]) -> Vec<Result<Vec<Tensor>>> {
        let worker = match self.worker() {
            Ok(worker) => worker,
            Err(error) => return calls.iter().map(|_| Err(error.clone())).collect(),
        };
        let submitted: Vec<_> = calls
            .iter()
            .map(|call| caught(|| submit(&worker, &call.op, &call.inputs)))
            .collect();
        let results = submitted.into_iter();
        results.map(|handles| caught(|| read(handles))).collect()
    }
}

fn submit(worker: &Worker, op: &Op, inputs: &[Input]) -> Result<Vec<Handle>> {
    let handles = inputs
        .iter()
        .map(|input| build(worker, input))
        .collect::<Result<Vec<_>>>()?;
    worker.apply(op, &handles)
}

fn read(results: Result<Vec<Handle>>) -> Result<Vec<Tensor>> {
    results?.iter().map(Handle::read).collect()
}

/// The operand, as a strided view where the input says so.
fn build(worker: &Worker, input: &Input) -> Result<Handle> {
    let base = worker.from_bytes(input.base.ty().clone(), input.base.bytes())?;
    input.views.iter().try_fold(base, |handle, view| {
        let mut results = worker.apply(view, &[handle])?;
        // Views have one result.
        Ok(results.swap_remove(0))
    })
}
