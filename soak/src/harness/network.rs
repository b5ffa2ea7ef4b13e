//! A small network, and the ops it is made of.

use emily_engine::{Handle, Worker};
use emily_spec::{Arithmetic, DType, Dot, Op, Result, Shape, Softmax, TensorType, Unary};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Two layers: softmax(tanh(x · w₁ + b₁) · w₂ + b₂).
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) first: Layer,
    pub(super) second: Layer,
}

/// Weights and a bias.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) weights: Handle,
    pub(super) bias: Handle,
}

impl Network {
    /// Random weights, the same each time.
    pub(super) fn new(worker: &Worker, [inputs, hidden, outputs]: [usize; 3]) -> Result<Network> {
        let layer = |inputs: usize, outputs, seed| {
            let scale = 1.0 / (inputs as f32).sqrt();
            Ok(Layer {
                weights: random(worker, &[inputs, outputs], scale, seed)?,
                bias: random(worker, &[outputs], scale, seed + 1)?,
            })
        };
        Ok(Network {
            first: layer(inputs, hidden, 1)?,
            second: layer(hidden, outputs, 3)?,
        })
    }

    /// The result for these rows, on this worker.
    pub(super) fn infer(&self, worker: &Worker, rows: &Handle) -> Result<Handle> {
        let hidden = one(
            worker,
            &Unary::Tanh.into(),
            [&self.first.apply(worker, rows)?],
        )?;
        let scores = self.second.apply(worker, &hidden)?;
        one(
            worker,
            &Op::Softmax(Softmax { axes: [1].into() }),
            [&scores],
        )
    }
}

impl Layer {
    /// rows · weights + bias.
    pub(super) fn apply(&self, worker: &Worker, rows: &Handle) -> Result<Handle> {
        let product = one(worker, &dot(1, 0), [rows, &self.weights])?;
        one(worker, &Arithmetic::Add.into(), [&product, &self.bias])
    }

    /// Its size in bytes.
    pub(super) fn bytes(&self) -> Result<usize> {
        Ok(self.weights.ty().byte_size()? + self.bias.ty().byte_size()?)
    }
}

/// The product that sums over these axes of the operands.
pub(super) fn dot(left: usize, right: usize) -> Op {
    Op::Dot(Dot {
        contract_left: [left].into(),
        batch_left: None,
        contract_right: [right].into(),
        batch_right: None,
        dtype: None,
    })
}

/// The one result of an op.
pub(super) fn one<const N: usize>(
    worker: &Worker,
    op: &Op,
    operands: [&Handle; N],
) -> Result<Handle> {
    let operands = operands.map(Clone::clone);
    Ok(worker.apply(op, &operands)?.swap_remove(0))
}

/// Random numbers between −scale and scale, those of the seed.
pub(super) fn random(worker: &Worker, shape: &[usize], scale: f32, seed: u64) -> Result<Handle> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let count: usize = shape.iter().product();
    let bytes: Vec<u8> = (0..count)
        .flat_map(|_| random.random_range(-scale..scale).to_le_bytes())
        .collect();
    worker.from_bytes(TensorType::new(DType::F32, Shape::new(shape)), &bytes)
}
