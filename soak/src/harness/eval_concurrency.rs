//! Eight callers who evaluate the same tensors at once.

use emily_engine::{Device, Handle, Worker};
use emily_spec::{Arithmetic, Result};

use super::network::{Network, one, random};
use super::tally::at_once;
use super::{Tally, Work};

const CALLERS: usize = 8;

/// Links of the chain that is evaluated in a turn.
const LINKS: usize = 8;

/// Of the network: its products are so large that they are queued, and not computed in the call.
const SIZES: [usize; 3] = [64, 128, 64];

/// What the chain is made of, and the bits of each of its links.
pub(super) struct EvalConcurrency {
    worker: Worker,
    network: Network,
    rows: Handle,
    alone: Vec<Vec<u8>>,
}

impl EvalConcurrency {
    pub(super) fn begin(device: Device) -> Result<EvalConcurrency> {
        let worker = super::worker(device)?;
        let mut harness = EvalConcurrency {
            network: Network::new(&worker, SIZES)?,
            rows: random(&worker, &[16, SIZES[0]], 1.0, 9)?,
            alone: Vec::new(),
            worker,
        };
        for link in harness.chain()? {
            harness.alone.push(link.to_bytes()?.to_vec());
        }
        Ok(harness)
    }

    /// Each link is the network's result for the one before, and that added.
    fn chain(&self) -> Result<Vec<Handle>> {
        let mut last = self.rows.clone();
        let link = |_| {
            let result = self.network.infer(&self.worker, &last)?;
            last = one(&self.worker, &Arithmetic::Add.into(), [&last, &result])?;
            Ok(last.clone())
        };
        (0..LINKS).map(link).collect()
    }
}

impl Work for EvalConcurrency {
    fn turn(&mut self, tally: &mut Tally) {
        let Some(chain) = tally.check("a chain", self.chain()) else {
            return;
        };
        tally.look(&self.worker);
        at_once(CALLERS, tally, |caller, tally| {
            // Each begins elsewhere, and evaluates, starts or reads first.
            for step in 0..LINKS {
                let link = (step * 3 + caller) % LINKS;
                match (caller + step) % 3 {
                    0 => tally.eval(&chain[link]),
                    1 => drop(tally.ask(|reply| self.worker.flush(reply))),
                    _ => {}
                }
                if let Some(bytes) = tally.read(&chain[link]) {
                    tally.same("evaluated by others too", &bytes, &self.alone[link]);
                }
            }
        });
    }

    fn workers(&self) -> Vec<&Worker> {
        vec![&self.worker]
    }
}
