//! What the engine's tests share.

pub(crate) mod programs;

use std::sync::mpsc;

use emily_engine::{Config, Device, Worker, memory};

/// A worker on the processor that takes every dtype.
pub(crate) fn worker() -> Worker {
    let config = Config {
        device: Device::Cpu,
        f64: true,
    };
    Worker::start(config).expect("a worker on the processor")
}

/// Waits for everything queued on the worker, then gives the cache back.
#[allow(dead_code, reason = "only those that measure memory need it")]
pub(crate) fn settle(worker: &Worker) {
    let (sender, done) = mpsc::channel();
    worker.call(move || {
        memory::clear_cache().expect("MLX gives the cache back");
        sender.send(()).expect("it is waited for");
    });
    done.recv().expect("the worker answers");
}
