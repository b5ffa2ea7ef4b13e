//! Runs one harness in this process, and tells.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use emily_engine::{Device, Worker, memory};
use emily_spec::{DType, Op, TensorType};

use crate::harness::{Harness, Tally, Work};
use crate::metric::Metric;
use crate::process;
use crate::record::{Begin, End, Fault, Layer, Line, Sample};

/// How often a run is measured.
const SAMPLES: u32 = 256;

/// Bytes of a tensor that is large to the engine.
const LARGE: usize = 4 << 20;

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// So many iterations.
    Iterations(u64),
    /// As many as fit.
    Time(Duration),
}

/// A run of one harness.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which.
    pub harness: Harness,
    /// How long.
    pub length: Length,
    /// Where its ops run.
    pub device: Device,
    /// How long a reply is waited for before it counts as lost.
    pub patience: Duration,
}

impl Length {
    /// How much of it is done.
    fn done(self, iterations: u64, time: Duration) -> f64 {
        match self {
            Length::Iterations(all) => iterations as f64 / all.max(1) as f64,
            Length::Time(all) => time.as_secs_f64() / all.as_secs_f64(),
        }
    }
}

/// Runs a harness and writes its record. It ends with the first iteration that has a fault.
///
/// # Errors
/// When the harness cannot begin, the record cannot be written, or the allocator does not say what it
/// holds.
pub fn run(plan: &Plan, mut out: impl Write) -> anyhow::Result<()> {
    let begin = Begin {
        harness: plan.harness.to_string(),
        layer: Layer::Engine,
        device: plan.device.to_string(),
    };
    Line::Begin(begin).write(&mut out)?;
    let before = rehearse(plan)?;

    let mut work = plan.harness.begin(plan.device)?;
    let mut tally = Tally::new(plan.patience);
    let start = Instant::now();
    let (mut iterations, mut samples, mut failed) = (0, 0, false);
    memory::reset_peak()?;
    loop {
        let done = plan.length.done(iterations, start.elapsed());
        if done >= f64::from(samples) / f64::from(SAMPLES) {
            settle(&work.workers(), plan.patience)?;
            let mut values = measure()?;
            memory::reset_peak()?;
            values.extend(tally.measured());
            let sample = Sample {
                iteration: iterations,
                seconds: start.elapsed().as_secs_f64(),
                done: done.min(1.0),
                values,
            };
            Line::Sample(sample).write(&mut out)?;
            samples = (done.min(1.0) * f64::from(SAMPLES)) as u32 + 1;
        }
        if done >= 1.0 || failed {
            break;
        }
        work.turn(&mut tally);
        iterations += 1;
        for text in tally.faults.drain(..) {
            failed = true;
            Line::Fault(Fault { text }).write(&mut out)?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let left = end(work, plan.patience)?
        .into_iter()
        .filter_map(|(metric, value)| Some((metric, value - before.get(&metric)?)));
    let end = End {
        iterations,
        seconds,
        asked: tally.asked,
        answered: tally.answered,
        left: left.collect(),
    };
    Line::End(end).write(&mut out)
}

/// Does a little of the work first, so that what a process makes once is there; and measures what remains.
fn rehearse(plan: &Plan) -> anyhow::Result<BTreeMap<Metric, f64>> {
    let mut work = plan.harness.begin(plan.device)?;
    let mut tally = Tally::new(plan.patience);
    for _ in 0..plan.harness.rehearsal() {
        work.turn(&mut tally);
    }
    // The engine starts threads for its kernels with the first large one, and one for large buffers when the first of
    // them ends.
    if let Some(worker) = work.workers().first() {
        let ty = TensorType::new(DType::F32, [LARGE / 4]);
        let x = worker.from_bytes(ty, &vec![0; LARGE])?;
        let largest = Op::read("reduce_max", serde_json::json!({}))?;
        worker.apply(&largest, &[x])?.swap_remove(0).eval()?;
    }
    // What goes wrong already does so again, where it is told.
    end(work, plan.patience)
}

/// Lets go of everything, gives the cache back, and measures.
fn end(work: Box<dyn Work>, patience: Duration) -> anyhow::Result<BTreeMap<Metric, f64>> {
    let workers: Vec<Worker> = work.workers().into_iter().cloned().collect();
    drop(work);
    let all: Vec<&Worker> = workers.iter().collect();
    settle(&all, patience)?;
    if let Some(worker) = workers.first() {
        let (sender, cleared) = mpsc::channel();
        worker.call(move || {
            // The receiver waits right below.
            let _ = sender.send(memory::clear_cache());
        });
        cleared
            .recv()
            .context("the worker did not clear the cache")??;
    }
    drop(workers);
    measure()
}

/// Waits until the workers have done, and dropped, what was left to them.
fn settle(workers: &[&Worker], patience: Duration) -> anyhow::Result<()> {
    let (sender, settled) = mpsc::channel();
    // What one lets go of may be another's to drop.
    for _ in 0..2 {
        for worker in workers {
            let sender = sender.clone();
            worker.call(move || {
                // Nobody waits any more where the patience is over.
                let _ = sender.send(());
            });
        }
        for _ in workers {
            settled
                .recv_timeout(patience)
                .context("a worker does not come to what it is asked")?;
        }
    }
    Ok(())
}

/// What the allocator and the operating system say.
fn measure() -> anyhow::Result<BTreeMap<Metric, f64>> {
    let stats = memory::stats()?;
    let mut values = process::measure();
    values.extend([
        (Metric::Active, stats.active as f64),
        (Metric::Cache, stats.cache as f64),
        (Metric::Peak, stats.peak as f64),
    ]);
    Ok(values)
}
