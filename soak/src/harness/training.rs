//! Training steps.

use emily_engine::{Device, Handle, Worker};
use emily_spec::{Arithmetic, DType, Op, Reduce, Reduction, Result, TensorType, Unary};

use super::network::{Layer, Network, dot, one, random};
use super::{Tally, Work};

const BATCH: usize = 64;
const OUTPUTS: usize = 16;

/// The step along the slope.
const RATE: f32 = 0.05;

/// A network that learns to give the targets for the rows: outputs tanh(x · w₁ + b₁) · w₂ + b₂, and the
/// loss Σ (outputs − targets)² / n.
pub(super) struct Training {
    worker: Worker,
    network: Network,
    rows: Handle,
    targets: Handle,
    one: Handle,
    rate: Handle,
    /// 2 / n.
    share: Handle,
    /// Of the first step.
    first: Option<f32>,
}

impl Training {
    pub(super) fn begin(device: Device) -> Result<Training> {
        let worker = super::worker(device)?;
        let number =
            |value: f32| worker.from_bytes(TensorType::new(DType::F32, []), &value.to_le_bytes());
        Ok(Training {
            network: Network::new(&worker, [32, 64, OUTPUTS])?,
            rows: random(&worker, &[BATCH, 32], 1.0, 9)?,
            targets: random(&worker, &[BATCH, OUTPUTS], 1.0, 10)?,
            one: number(1.0)?,
            rate: number(RATE)?,
            share: number(2.0 / (BATCH * OUTPUTS) as f32)?,
            first: None,
            worker,
        })
    }

    /// Moves the weights, and gives the loss that they had.
    fn step(&mut self) -> Result<Handle> {
        let worker = &self.worker;
        let multiply = |left: &Handle, right: &Handle| {
            one(worker, &Arithmetic::Multiply.into(), [left, right])
        };
        let subtract = |left: &Handle, right: &Handle| {
            one(worker, &Arithmetic::Subtract.into(), [left, right])
        };
        let Network { first, second } = &self.network;

        let inner = first.apply(worker, &self.rows)?;
        let hidden = one(worker, &Unary::Tanh.into(), [&inner])?;
        let outputs = second.apply(worker, &hidden)?;
        let error = subtract(&outputs, &self.targets)?;
        let loss = sum(worker, &multiply(&error, &error)?, None)?;

        let slope = multiply(&error, &self.share)?;
        let squares = multiply(&hidden, &hidden)?;
        let inner_slope = multiply(
            &one(worker, &dot(1, 1), [&slope, &second.weights])?,
            &subtract(&self.one, &squares)?,
        )?;
        let moved = |layer: &Layer, inputs: &Handle, slope: &Handle| {
            let down = |parameter: &Handle, slope: Handle| {
                subtract(parameter, &multiply(&slope, &self.rate)?)
            };
            Ok(Layer {
                weights: down(&layer.weights, one(worker, &dot(0, 0), [inputs, slope])?)?,
                bias: down(&layer.bias, sum(worker, slope, Some(0))?)?,
            })
        };
        let second = moved(second, &hidden, &slope)?;
        let first = moved(first, &self.rows, &inner_slope)?;
        self.network = Network { first, second };
        Ok(loss)
    }
}

impl Work for Training {
    fn turn(&mut self, tally: &mut Tally) {
        let loss = self.step();
        tally.look(&self.worker);
        let Some(loss) = tally.check("a training step", loss) else {
            return;
        };
        let Some(bytes) = tally.read(&loss) else {
            return;
        };
        let Ok(number) = <[u8; 4]>::try_from(&*bytes) else {
            return tally.fault("the loss is no number");
        };
        let loss = f32::from_le_bytes(number);
        let first = *self.first.get_or_insert(loss);
        if loss.is_nan() || loss > first {
            tally.fault(format!("the loss rose from {first} to {loss}"));
        }
    }

    fn workers(&self) -> Vec<&Worker> {
        vec![&self.worker]
    }
}

/// The sum over an axis, or all.
fn sum(worker: &Worker, tensor: &Handle, axis: Option<usize>) -> Result<Handle> {
    let reduction = Reduction {
        axes: axis.map(|axis| [axis].into()),
        keep_axes: false,
        dtype: None,
    };
    one(worker, &Op::Reduce(Reduce::Sum, reduction), [tensor])
}
