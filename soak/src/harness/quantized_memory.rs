//! Products with packed weights.

use emily_engine::{Device, Handle, Worker};
use emily_spec::{Op, Quantize, QuantizedMatmul, Result};

use super::network::random;
use super::{Tally, Work};

const GROUP: usize = 64;
const BITS: usize = 4;

/// A matrix, and rows to multiply with it.
pub(super) struct QuantizedMemory {
    worker: Worker,
    matrix: Handle,
    rows: Handle,
    /// The bits of the product.
    want: Vec<u8>,
}

impl QuantizedMemory {
    pub(super) fn begin(device: Device) -> Result<QuantizedMemory> {
        let worker = super::worker(device)?;
        let mut harness = QuantizedMemory {
            matrix: random(&worker, &[128, 128], 1.0, 1)?,
            rows: random(&worker, &[8, 128], 1.0, 2)?,
            want: Vec::new(),
            worker,
        };
        harness.want = harness.product()?.to_bytes()?.to_vec();
        Ok(harness)
    }

    /// Packs the matrix and multiplies.
    fn product(&self) -> Result<Handle> {
        let quantize = Op::Quantize(Quantize {
            group_size: GROUP,
            bits: BITS,
        });
        let packed = self
            .worker
            .apply(&quantize, std::slice::from_ref(&self.matrix))?;
        let product = Op::QuantizedMatmul(QuantizedMatmul {
            transpose: true,
            group_size: GROUP,
            bits: BITS,
        });
        let mut operands = vec![self.rows.clone()];
        operands.extend(packed);
        Ok(self.worker.apply(&product, &operands)?.swap_remove(0))
    }
}

impl Work for QuantizedMemory {
    fn turn(&mut self, tally: &mut Tally) {
        let product = self.product();
        tally.look(&self.worker);
        let product = tally.check("a product", product);
        if let Some(bytes) = product.and_then(|product| tally.read(&product)) {
            tally.same("a product", &bytes, &self.want);
        }
    }

    fn workers(&self) -> Vec<&Worker> {
        vec![&self.worker]
    }
}
