//! Uploads and reads.

use emily_engine::{Device, Worker, memory};
use emily_spec::{DType, Result, TensorType};

use super::{Tally, Work};

const SIZE: usize = 4 << 20;

/// What the allocator's own bookkeeping may come to.
const SLACK: usize = 64 << 10;

/// The bytes that make the round.
pub(super) struct ZeroCopyRoundtrip {
    worker: Worker,
    bytes: Vec<u8>,
}

impl ZeroCopyRoundtrip {
    pub(super) fn begin(device: Device) -> Result<ZeroCopyRoundtrip> {
        Ok(ZeroCopyRoundtrip {
            worker: super::worker(device)?,
            bytes: (0..SIZE).map(|i| (i % 251) as u8).collect(),
        })
    }

    /// Uploads and reads, and holds the allocator's figures against what has to be in use.
    fn round(&self, tally: &mut Tally) -> Result<()> {
        let before = memory::stats()?.active;
        let ty = TensorType::new(DType::U8, [SIZE]);
        let tensor = self.worker.from_bytes(ty, &self.bytes)?;
        holds(tally, "uploaded", before + SIZE)?;
        let Some(bytes) = tally.read(&tensor) else {
            return Ok(());
        };
        // Reading CUDA's memory in place would move it from under what other streams compute.
        if self.worker.device() == Device::Cpu || cfg!(target_os = "macos") {
            holds(tally, "read", before + SIZE)?;
        }
        tensor.release();
        drop(tensor);
        holds(tally, "the tensor gone", before + SIZE)?;
        tally.same("after the round", &bytes, &self.bytes);
        drop(bytes);
        holds(tally, "the bytes gone", before)
    }
}

/// Holds what is in use against what has to be.
fn holds(tally: &mut Tally, when: &str, want: usize) -> Result<()> {
    let active = memory::stats()?.active;
    if active.abs_diff(want) > SLACK {
        tally.fault(format!("{when}: {active} bytes are in use, not {want}"));
    }
    Ok(())
}

impl Work for ZeroCopyRoundtrip {
    fn turn(&mut self, tally: &mut Tally) {
        let round = self.round(tally);
        tally.check("a round", round);
    }

    fn workers(&self) -> Vec<&Worker> {
        vec![&self.worker]
    }
}
