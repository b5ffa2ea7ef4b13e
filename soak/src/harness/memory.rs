//! Forward passes.

use emily_engine::{Device, Handle, Worker};
use emily_spec::Result;

use super::network::{Network, random};
use super::{Tally, Work};

/// A network and a batch for it.
pub(super) struct Memory {
    worker: Worker,
    network: Network,
    rows: Handle,
}

impl Memory {
    pub(super) fn begin(device: Device) -> Result<Memory> {
        let worker = super::worker(device)?;
        Ok(Memory {
            network: Network::new(&worker, [64, 128, 64])?,
            rows: random(&worker, &[32, 64], 1.0, 9)?,
            worker,
        })
    }
}

impl Work for Memory {
    fn turn(&mut self, tally: &mut Tally) {
        let result = self.network.infer(&self.worker, &self.rows);
        tally.look(&self.worker);
        if let Some(result) = tally.check("a forward pass", result) {
            tally.read(&result);
        }
    }

    fn workers(&self) -> Vec<&Worker> {
        vec![&self.worker]
    }
}
