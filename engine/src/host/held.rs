//! What kernels need beside operands and results.

use emily_spec::{Op, TensorType};

use super::{Own, is_on, kernel, last_axes, pool};

/// Where an op says what it costs, that is of MLX's kernels. Fewer bytes than these, as of most calls, are not worth
/// looking for what ours need.
const MUCH: u64 = 1 << 16;

/// The bytes that the op's kernel takes beside operands and results at most, if the host has one of these operands
/// and it is known; `most` is what the op says of any.
pub(crate) fn held(op: &Op, inputs: &[TensorType], results: &[TensorType], most: u64) -> u64 {
    let [ty] = results else {
        return most;
    };
    if most < MUCH || !is_on() {
        return most;
    }
    let Some(bytes) = Own::of(op).and_then(|own| own.held(inputs)) else {
        return most;
    };
    match kernel(op, inputs, ty) {
        Some(_) => bytes.min(most),
        None => most,
    }
}

impl Own<'_> {
    fn held(&self, inputs: &[TensorType]) -> Option<u64> {
        match self {
            // Views are read where they lie.
            Own::Unary(_) | Own::Arithmetic(_) | Own::Compare(_) | Own::Select | Own::Clip => {
                Some(0)
            }
            Own::Softmax(op) => rows(inputs, last_axes(&inputs[0], &op.axes)?),
            Own::Norm(..) => rows(inputs, *inputs[0].shape.last()?),
            // Of these nobody has measured it.
            Own::Dot(_)
            | Own::Conv(_)
            | Own::Attention(_)
            | Own::Logsumexp(_)
            | Own::ArgReduce(..)
            | Own::Cumulative(..)
            | Own::Reduce(..) => None,
        }
    }
}

/// A copy of each operand, where it is a view, a weight and a bias as `f32`, and by thread a row as `f64`. By reading the
/// kernels: these are no buffers of MLX's, whose counter the tests hold prices against.
fn rows(inputs: &[TensorType], length: usize) -> Option<u64> {
    let copies = inputs.iter().map(TensorType::byte_size);
    let copies: usize = copies.sum::<Result<_, _>>().ok()?;
    let count: usize = inputs[0].shape.iter().product();
    let at_once = pool::threads().min(count.div_ceil(length.max(1)));
    Some((copies + 8 * length * (at_once + 1)) as u64)
}
