//! Whose memory a result lies in, and how many elements MLX counts there.

use emily_spec::{Error, ErrorKind, Op, Result, Shape, TensorType};

use crate::Device;

/// Whose memory a result lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Its own.
    Fresh,
    /// The first operand's, which it keeps: no kernel runs.
    View,
    /// The first operand's where it can be, as the attributes and that operand's own layout have it.
    Either,
}

impl Layout {
    /// Where the op's results lie.
    pub(crate) fn of(op: &Op) -> Layout {
        match op {
            Op::Bitcast(_)
            | Op::Broadcast(_)
            | Op::Reverse(_)
            | Op::Slice(_)
            | Op::Squeeze(_)
            | Op::Transpose(_) => Layout::View,
            // A copy of what does not lie row by row; for a place that the device knows; unless it only cuts.
            Op::Reshape(_) | Op::DynamicSlice(_) | Op::Pad(_) => Layout::Either,
            Op::AllClose(_)
            | Op::ArgReduce(..)
            | Op::Argsort(_)
            | Op::Arithmetic(..)
            | Op::AsType(_)
            | Op::Cholesky(_)
            | Op::Clip(_)
            | Op::Compare(_)
            | Op::Concatenate(_)
            | Op::Constant(_)
            | Op::Conv(_)
            | Op::Cumulative(..)
            | Op::Dequantize(_)
            | Op::Determinant(_)
            | Op::Dot(_)
            | Op::DynamicPutSlice(_)
            | Op::Eigh(_)
            | Op::Einsum(_)
            | Op::Eye(_)
            | Op::Fourier(..)
            | Op::Fourier2(..)
            | Op::FpDequantize(_)
            | Op::FpGatherQmm(_)
            | Op::FpQuantize(_)
            | Op::FpQuantizedMatmul(_)
            | Op::Gather(_)
            | Op::GatherMm(_)
            | Op::GatherQmm(_)
            | Op::Indexed(..)
            | Op::Iota(_)
            | Op::Logsumexp(_)
            | Op::Lu(_)
            | Op::Norm(..)
            | Op::PutSlice(_)
            | Op::Qr(_)
            | Op::Quantifier(..)
            | Op::Quantize(_)
            | Op::QuantizedMatmul(_)
            | Op::Reduce(..)
            | Op::Rope(_)
            | Op::ScaledDotProductAttention(_)
            | Op::Select(_)
            | Op::Softmax(_)
            | Op::Solve(_)
            | Op::Sort(_)
            | Op::Stack(_)
            | Op::Svd(_)
            | Op::Take(_)
            | Op::TakeAlongAxis(_)
            | Op::TopK(_)
            | Op::TriangularSolve(_)
            | Op::Unary(_)
            | Op::Window(..)
            | Op::WindowScatter(..) => Layout::Fresh,
        }
    }
}

/// Refuses operands and results that MLX would not count right: its kernels for the CPU have 31 bits for
/// elements, and with more they compute nothing, read outside of the tensor, or never end. A tensor may
/// have more: it is uploaded, read and cut into parts, with which everything can be done.
///
/// # Errors
/// [`ErrorKind::Memory`].
pub(crate) fn check_counts(
    op: &Op,
    device: Device,
    inputs: &[TensorType],
    results: &[TensorType],
) -> Result<()> {
    match Layout::of(op) {
        Layout::View => Ok(()),
        Layout::Fresh | Layout::Either => {
            let mut types = inputs.iter().chain(results);
            types.try_for_each(|ty| check_count(ty.shape.size()?, device))
        }
    }
}

/// Refuses more elements than MLX counts on the device.
///
/// # Errors
/// [`ErrorKind::Memory`].
pub(crate) fn check_count(elements: usize, device: Device) -> Result<()> {
    // It counts them in as many bits as the elements along an axis.
    const MOST: usize = Shape::MAX_DIM;
    match device {
        Device::Cpu if elements > MOST => Err(Error::new(
            ErrorKind::Memory,
            format!(
                "{elements} elements are over the {MOST} of one tensor that MLX counts on the CPU; cut it \
                 into parts with a slice"
            ),
        )),
        Device::Cpu | Device::Gpu => Ok(()),
    }
}
