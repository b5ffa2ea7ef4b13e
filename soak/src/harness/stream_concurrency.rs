//! Eight workers who share weights.

use std::sync::{Barrier, Mutex, PoisonError};
use std::time::Duration;

use emily_engine::{Device, Handle, Worker, memory};
use emily_spec::{Arithmetic, Result};

use super::network::{Network, one, random};
use super::tally::at_once;
use super::{Tally, Work};

const WORKERS: usize = 8;

/// Of the network: its weights are far larger than all else.
const SIZES: [usize; 3] = [256, 1024, 256];

/// Workers, weights that the first of them has, and for each worker a batch.
pub(super) struct StreamConcurrency {
    workers: Vec<Worker>,
    network: Network,
    batches: Vec<Handle>,
    /// The bits that belong to each worker's sum with its neighbour's result.
    alone: Vec<Vec<u8>>,
    /// What was in use before the weights were there.
    before: usize,
    weights: usize,
}

impl StreamConcurrency {
    pub(super) fn begin(device: Device) -> Result<StreamConcurrency> {
        let workers: Vec<Worker> = (0..WORKERS)
            .map(|_| super::worker(device))
            .collect::<Result<_>>()?;
        let first = &workers[0];
        let before = memory::stats()?.active;
        let network = Network::new(first, SIZES)?;
        let weights = network.first.bytes()? + network.second.bytes()?;
        let batches: Vec<Handle> = (0..WORKERS as u64)
            .map(|worker| random(first, &[4, SIZES[0]], 1.0, 100 + worker))
            .collect::<Result<_>>()?;
        let results: Vec<Handle> = batches
            .iter()
            .map(|rows| network.infer(first, rows))
            .collect::<Result<_>>()?;
        let alone = (0..WORKERS).map(|worker| {
            let pair = [&results[worker], &results[neighbour(worker)]];
            let sum = one(first, &Arithmetic::Add.into(), pair)?;
            Ok(sum.to_bytes()?.to_vec())
        });
        Ok(StreamConcurrency {
            alone: alone.collect::<Result<_>>()?,
            workers,
            network,
            batches,
            before,
            weights,
        })
    }
}

impl StreamConcurrency {
    /// Nothing where they are, else what is in use more than before.
    fn weights_are_there_once(&self) -> Result<Option<usize>> {
        let mut more = 0;
        // A GPU gives back what kernels needed on the way a moment after their results are there.
        for _ in 0..100 {
            more = memory::stats()?.active.saturating_sub(self.before);
            // Batches, and what the last results have not let go of yet, are less than half of them.
            if more < self.weights * 3 / 2 {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(more))
    }
}

impl Work for StreamConcurrency {
    fn turn(&mut self, tally: &mut Tally) {
        let pending: Vec<Mutex<Option<Handle>>> = (0..WORKERS).map(|_| Mutex::default()).collect();
        let told = Barrier::new(WORKERS);
        at_once(WORKERS, tally, |number, tally| {
            let worker = &self.workers[number];
            let own = self.network.infer(worker, &self.batches[number]);
            tally.look(worker);
            let own = tally.check("a forward pass", own);
            *lock(&pending[number]) = own.clone();
            told.wait();
            let other = lock(&pending[neighbour(number)]).clone();
            let (Some(own), Some(other)) = (own, other) else {
                return;
            };
            let sum = one(worker, &Arithmetic::Add.into(), [&own, &other]);
            let sum = tally.check("a neighbour's tensor", sum);
            if let Some(bytes) = sum.and_then(|sum| tally.read(&sum)) {
                tally.same("beside other workers", &bytes, &self.alone[number]);
            }
        });
        drop(pending);
        let once = self.weights_are_there_once();
        if let Some(Some(active)) = tally.check("the allocator's figures", once) {
            tally.fault(format!(
                "weights of {} bytes are in memory more than once: {active} bytes more than before",
                self.weights
            ));
        }
    }

    fn workers(&self) -> Vec<&Worker> {
        self.workers.iter().collect()
    }
}

fn neighbour(worker: usize) -> usize {
    (worker + 1) % WORKERS
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
