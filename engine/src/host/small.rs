//! Which calls are so small that handing them to another thread costs more than computing them.

use emily_spec::{Arithmetic, Dot, Op, Shape, TensorType, Unary};

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
    let tenths = match op {
        Op::Unary(op) => elements.saturating_mul(unary(*op)),
        Op::Arithmetic(op, _) => elements.saturating_mul(arithmetic(*op)),
        Op::Compare(_) | Op::Reduce(..) => elements.saturating_mul(MOVED),
        Op::Softmax(_) | Op::Norm(..) => elements.saturating_mul(FUNCTION),
        Op::Dot(op) => products(op, inputs, results).saturating_add(elements.saturating_mul(MOVED)),
        Op::AllClose(_)
        | Op::ArgReduce(..)
        | Op::Argsort(_)
        | Op::AsType(_)
        | Op::Bitcast(_)
        | Op::Broadcast(_)
        | Op::Cholesky(_)
        | Op::Clip(_)
        | Op::Concatenate(_)
        | Op::Constant(_)
        | Op::Conv(_)
        | Op::Cumulative(..)
        | Op::Dequantize(_)
        | Op::Determinant(_)
        | Op::DynamicPutSlice(_)
        | Op::DynamicSlice(_)
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
        | Op::Pad(_)
        | Op::PutSlice(_)
        | Op::Qr(_)
        | Op::Quantifier(..)
        | Op::Quantize(_)
        | Op::QuantizedMatmul(_)
        | Op::Reshape(_)
        | Op::Reverse(_)
        | Op::Rope(_)
        | Op::ScaledDotProductAttention(_)
        | Op::Select(_)
        | Op::Slice(_)
        | Op::Solve(_)
        | Op::Sort(_)
        | Op::Squeeze(_)
        | Op::Stack(_)
        | Op::Svd(_)
        | Op::Take(_)
        | Op::TakeAlongAxis(_)
        | Op::TopK(_)
        | Op::Transpose(_)
        | Op::TriangularSolve(_)
        | Op::Window(..)
        | Op::WindowScatter(..) => return false,
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

/// The time that a product's multiplications take, in tenths of a nanosecond: one each, as small ones are
/// mostly padding.
fn products(op: &Dot, inputs: &[TensorType], results: &[TensorType]) -> usize {
    let [axes, _] = op.contract();
    let terms = axes.iter().map(|&axis| inputs[0].shape[axis]);
    let terms = terms.fold(1, usize::saturating_mul);
    elements(&results[0].shape).saturating_mul(terms)
}

fn elements(shape: &Shape) -> usize {
    shape.iter().fold(1, |all, &dim| all.saturating_mul(dim))
}
