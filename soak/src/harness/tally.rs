//! What a harness counts while it works.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use emily_engine::{Bytes, Handle, Reply, Worker};
use emily_spec::{Error, Result};

use crate::metric::Metric;

/// Requests, replies and faults of one caller.
#[derive(Debug)]
pub struct Tally {
    /// Requests.
    pub asked: u64,
    /// Those that a reply came to.
    pub answered: u64,
    /// What may not happen and did.
    pub faults: Vec<String>,
    /// How long a reply is waited for.
    patience: Duration,
    /// Microseconds that each reply took, since the last sample.
    latencies: Vec<f64>,
    /// The most jobs seen waiting since the last sample.
    depth: usize,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(patience: Duration) -> Tally {
        Tally {
            asked: 0,
            answered: 0,
            faults: Vec::new(),
            patience,
            latencies: Vec::new(),
            depth: 0,
        }
    }

    /// Tells of a fault.
    pub fn fault(&mut self, text: impl Into<String>) {
        self.faults.push(text.into());
    }

    /// Tells of a fault where there is one.
    pub fn check<T>(&mut self, what: &str, result: Result<T>) -> Option<T> {
        result
            .inspect_err(|error| self.fault(format!("{what}: {error}")))
            .ok()
    }

    /// Asks for something and waits for the reply. A reply that does not come in time is a fault.
    pub fn ask<T: Send + 'static>(&mut self, request: impl FnOnce(Reply<T>)) -> Option<Result<T>> {
        let (sender, reply) = mpsc::sync_channel(1);
        self.asked += 1;
        let start = Instant::now();
        request(Reply::new(move |result| {
            // Nobody waits any more where the patience is over.
            let _ = sender.send(result);
        }));
        let Ok(reply) = reply.recv_timeout(self.patience) else {
            self.fault(format!("no reply came within {:?}", self.patience));
            return None;
        };
        self.answered += 1;
        self.latencies.push(1e6 * start.elapsed().as_secs_f64());
        Some(reply)
    }

    /// Reads a tensor; an error is a fault.
    pub fn read(&mut self, handle: &Handle) -> Option<Bytes> {
        let reply = self.ask(|reply| handle.read_with(reply))?;
        self.check("a read failed", reply)
    }

    /// Evaluates a tensor; an error is a fault.
    pub fn eval(&mut self, handle: &Handle) {
        if let Some(reply) = self.ask(|reply| handle.eval_with(reply)) {
            self.check("an evaluation failed", reply);
        }
    }

    /// Reads what has to fail, and gives the error.
    pub fn refused(&mut self, handle: &Handle) -> Option<Error> {
        let reply = self.ask(|reply| handle.read_with(reply))?;
        if reply.is_ok() {
            self.fault("a tensor was read that has no value");
        }
        reply.err()
    }

    /// Holds bytes against what they have to be.
    pub fn same(&mut self, what: &str, got: &[u8], want: &[u8]) {
        if got != want {
            let at = got.iter().zip(want).position(|(got, want)| got != want);
            let at = at.unwrap_or(got.len().min(want.len()));
            self.fault(format!(
                "{what}: other bits, first at byte {at} of {}",
                want.len()
            ));
        }
    }

    /// Looks at how much waits.
    pub fn look(&mut self, worker: &Worker) {
        self.saw(worker.depth());
    }

    /// Takes note of so many jobs that wait.
    pub fn saw(&mut self, depth: usize) {
        self.depth = self.depth.max(depth);
    }

    /// Adds what another caller counted.
    fn join(&mut self, other: Tally) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.faults.extend(other.faults);
        self.latencies.extend(other.latencies);
        self.depth = self.depth.max(other.depth);
    }

    /// What was measured since the last time.
    pub(crate) fn measured(&mut self) -> BTreeMap<Metric, f64> {
        let mut values = BTreeMap::from([(Metric::Depth, self.depth as f64)]);
        self.depth = 0;
        let mut latencies = std::mem::take(&mut self.latencies);
        latencies.sort_by(f64::total_cmp);
        // The rank that so many of a hundred are at or below.
        let mut percentile = |metric, share: usize| {
            let rank = (latencies.len() * share).div_ceil(100);
            values.extend(
                latencies
                    .get(rank.saturating_sub(1))
                    .map(|value| (metric, *value)),
            );
        };
        percentile(Metric::P50, 50);
        percentile(Metric::P99, 99);
        values
    }
}

/// Runs so many callers at once, each with a tally of its own.
pub(super) fn at_once(callers: usize, tally: &mut Tally, call: impl Fn(usize, &mut Tally) + Sync) {
    let patience = tally.patience;
    std::thread::scope(|scope| {
        let call = &call;
        let start = |caller| {
            scope.spawn(move || {
                let mut own = Tally::new(patience);
                call(caller, &mut own);
                own
            })
        };
        let running: Vec<_> = (0..callers).map(start).collect();
        for caller in running {
            match caller.join() {
                Ok(own) => tally.join(own),
                Err(panic) => tally.fault(format!(
                    "a caller panicked: {}",
                    emily_spec::panic_text(&*panic)
                )),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_came_since() {
        let mut tally = Tally::new(Duration::ZERO);
        tally.latencies = (1..=200).rev().map(f64::from).collect();
        let values = tally.measured();
        assert_eq!((values[&Metric::P50], values[&Metric::P99]), (100.0, 198.0));
        assert!(!tally.measured().contains_key(&Metric::P50));
    }

    #[test]
    fn a_reply_that_does_not_come_is_a_fault() {
        let mut tally = Tally::new(Duration::from_millis(10));
        assert!(tally.ask::<()>(std::mem::forget).is_none());
        assert_eq!((tally.asked, tally.answered), (1, 0));
        assert!(tally.faults[0].contains("no reply"), "{:?}", tally.faults);
    }

    #[test]
    fn other_bits_say_where() {
        let mut tally = Tally::new(Duration::ZERO);
        tally.same("a sum", &[1, 2, 3], &[1, 2, 3]);
        assert!(tally.faults.is_empty());
        tally.same("a sum", &[1, 2, 3], &[1, 5, 3]);
        assert!(
            tally.faults[0].contains("byte 1 of 3"),
            "{:?}",
            tally.faults
        );
    }
}
