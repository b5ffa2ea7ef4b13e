//! How many elements MLX counts. Its kernels for the CPU have 31 bits for them: with more they compute
//! nothing, read outside of the tensor, or never end. A tensor may have more: it is uploaded, read and cut
//! into parts, with which everything can be done.

use emily_spec::{Error, ErrorKind, Op, Result, TensorType};

use crate::Device;

/// The most elements of a tensor that the CPU computes with.
const MOST: usize = i32::MAX as usize;

/// Refuses operands and results that MLX would not count right.
///
/// # Errors
/// [`ErrorKind::Memory`].
pub(crate) fn check(
    op: &Op,
    device: Device,
    inputs: &[TensorType],
    results: &[TensorType],
) -> Result<()> {
    if is_view(op) {
        return Ok(());
    }
    let mut types = inputs.iter().chain(results);
    types.try_for_each(|ty| elements(ty.shape.size()?, device))
}

/// Refuses more elements than MLX counts on the device.
///
/// # Errors
/// [`ErrorKind::Memory`].
pub(crate) fn elements(count: usize, device: Device) -> Result<()> {
    match device {
        Device::Cpu if count > MOST => Err(Error::new(
            ErrorKind::Memory,
            format!(
                "{count} elements are over the {MOST} of one tensor that MLX counts on the CPU; cut it \
                 into parts with a slice"
            ),
        )),
        Device::Cpu | Device::Gpu => Ok(()),
    }
}

/// Whether the op looks at the same memory in another way, on which no kernel runs.
fn is_view(op: &Op) -> bool {
    matches!(
        op,
        Op::Bitcast(_) | Op::Broadcast(_) | Op::Slice(_) | Op::Squeeze(_)
    )
}
