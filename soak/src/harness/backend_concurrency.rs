//! Eight callers of one worker.

use emily_engine::{Device, Handle, Worker};
use emily_spec::Result;

use super::network::{Network, random};
use super::tally::at_once;
use super::{Tally, Work};

const CALLERS: usize = 8;

/// Requests of each caller in a turn.
const REQUESTS: usize = 4;

/// A worker that all share, and for each caller a batch and the bits that belong to it.
pub(super) struct BackendConcurrency {
    worker: Worker,
    network: Network,
    batches: Vec<(Handle, Vec<u8>)>,
}

impl BackendConcurrency {
    pub(super) fn begin(device: Device) -> Result<BackendConcurrency> {
        let worker = super::worker(device)?;
        let network = Network::new(&worker, [64, 128, 64])?;
        let batch = |caller| {
            let rows = random(&worker, &[16, 64], 1.0, 100 + caller as u64)?;
            let alone = network.infer(&worker, &rows)?.to_bytes()?.to_vec();
            Ok((rows, alone))
        };
        Ok(BackendConcurrency {
            batches: (0..CALLERS).map(batch).collect::<Result<_>>()?,
            network,
            worker,
        })
    }
}

impl Work for BackendConcurrency {
    fn turn(&mut self, tally: &mut Tally) {
        at_once(CALLERS, tally, |caller, tally| {
            let (rows, alone) = &self.batches[caller];
            for _ in 0..REQUESTS {
                let result = self.network.infer(&self.worker, rows);
                tally.look(&self.worker);
                let result = tally.check("a forward pass", result);
                if let Some(bytes) = result.and_then(|result| tally.read(&result)) {
                    tally.same("beside other callers", &bytes, alone);
                }
            }
        });
    }

    fn workers(&self) -> Vec<&Worker> {
        vec![&self.worker]
    }
}
