//! The engine, in process.

use std::sync::{Mutex, PoisonError};

use emily_engine::{Config, Device, Handle, Worker};
use emily_spec::{DType, Op, Result, Tensor};

use super::{Absent, Layer, Reference, caught};
use crate::plan::Call;
use crate::view::Input;

/// The engine on one device, with `f64` allowed where MLX has it.
#[derive(Debug)]
pub struct Native {
    config: Config,
    /// Workers that no trial uses right now.
    idle: Mutex<Vec<Worker>>,
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
            idle: Mutex::default(),
        }
    }

    fn worker(&self) -> Result<Worker> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        match idle {
            Some(worker) => Ok(worker),
            None => Worker::start(self.config),
        }
    }

    fn give_back(&self, worker: Worker) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(worker);
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
        let worker = started.map_err(|error| match error.message.split_once("; ") {
            Some((reason, remedy)) => Absent {
                reason: reason.to_owned(),
                remedy: remedy.to_owned(),
            },
            None => Absent {
                reason: error.message,
                remedy: "cargo xtask doctor".to_owned(),
            },
        })?;
        self.give_back(worker);
        Ok(())
    }

    fn run(&self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
        let worker = self.worker()?;
        let results = read(submit(&worker, op, inputs));
        self.give_back(worker);
        results
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
        let results = results.map(|handles| caught(|| read(handles))).collect();
        self.give_back(worker);
        results
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
