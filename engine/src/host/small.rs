//! Which calls are so small that handing them to another thread costs more than computing them.

use emily_spec::{Arithmetic, Op, Shape, TensorType, Unary};

use super::Own;
use super::level::{self, Set};

/// The most that a call may take which is computed where it is made, in nanoseconds.
const LIMIT: usize = 20_000;

/// Whether the host's kernel, if there is one, computes the op in a moment, on whatever operands.
///
/// Estimates are for a processor with wide vectors, and rather too high.
pub(crate) fn is_small(op: &Op, inputs: &[TensorType], results: &[TensorType]) -> bool {
    let slower = match level::chosen() {
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => 1,
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => 2,
        Set::Portable => 4,
    };
    let largest = inputs.iter().chain(results).map(|ty| elements(&ty.shape));
    let elements = largest.max().unwrap_or(0);
    let tenths = match Own::of(op) {
        Some(Own::Unary(op)) => elements.saturating_mul(unary(op)),
        Some(Own::Arithmetic(op)) => elements.saturating_mul(arithmetic(op)),
        Some(Own::Compare(_) | Own::Reduce(..) | Own::Select | Own::Clip) => {
            elements.saturating_mul(MOVED)
        }
        Some(Own::Softmax(_) | Own::Norm(..)) => elements.saturating_mul(FUNCTION),
        Some(Own::Dot(op)) => {
            // One each, as small ones are mostly padding.
            let products = op.multiplications(&inputs[0].shape, &results[0].shape);
            products.saturating_add(elements.saturating_mul(MOVED))
        }
        // Of these nobody has estimated it.
        Some(
            Own::Conv(_)
            | Own::Attention(_)
            | Own::Logsumexp(_)
            | Own::ArgReduce(..)
            | Own::Cumulative(..),
        )
        | None => return false,
    };
    tenths.saturating_mul(slower) <= LIMIT * 10
}

/// An element that is read or written, in tenths of a nanosecond: of views too, one by one.
const MOVED: usize = 15;

/// An element's function, likewise.
const FUNCTION: usize = 50;

/// A function that goes to the C library for some elements.
const FAR: usize = 400;

fn unary(op: Unary) -> usize {
    match op {
        Unary::Sin | Unary::Cos | Unary::Tan => FAR,
        Unary::Exp
        | Unary::Expm1
        | Unary::Log
        | Unary::Log1p
        | Unary::Sigmoid
        | Unary::Tanh
        | Unary::Sinh
        | Unary::Cosh
        | Unary::Erf
        | Unary::ErfInv
        | Unary::Erfc
        | Unary::Rsqrt
        | Unary::Sqrt
        | Unary::Cbrt
        | Unary::Asin
        | Unary::Acos
        | Unary::Atan
        | Unary::Asinh
        | Unary::Acosh
        | Unary::Atanh
        | Unary::Phase => FUNCTION,
        Unary::Abs
        | Unary::Negate
        | Unary::Sign
        | Unary::Floor
        | Unary::Ceil
        | Unary::Round
        | Unary::BitwiseNot
        | Unary::CountLeadingZeros
        | Unary::PopulationCount
        | Unary::Real
        | Unary::Imag
        | Unary::Conjugate
        | Unary::IsNan
        | Unary::IsInfinity
        | Unary::LogicalNot => MOVED,
    }
}

fn arithmetic(op: Arithmetic) -> usize {
    match op {
        Arithmetic::Pow | Arithmetic::Atan2 => FAR,
        Arithmetic::Add
        | Arithmetic::Subtract
        | Arithmetic::Multiply
        | Arithmetic::Divide
        | Arithmetic::Max
        | Arithmetic::Min
        | Arithmetic::Quotient
        | Arithmetic::Remainder
        | Arithmetic::BitwiseAnd
        | Arithmetic::BitwiseOr
        | Arithmetic::BitwiseXor
        | Arithmetic::LeftShift
        | Arithmetic::RightShift => MOVED,
    }
}

fn elements(shape: &Shape) -> usize {
    shape.iter().fold(1, |all, &dim| all.saturating_mul(dim))
}
