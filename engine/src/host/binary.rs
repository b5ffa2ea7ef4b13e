//! Functions of two elements: which the host computes, and how.

use emily_spec::{Arithmetic, Compare, DType, TensorType};

use super::elementwise::{Pairing, binary};
use super::float::{Float, of_float};
use super::level::Level;
use super::{exact, lanes, math};
use crate::mlx::Kernel;

/// The kernel of arithmetic on operands of the result's dtype, if there is one. What a processor has an instruction for
/// is there in `f32` for small tensors only: MLX's loops are as fast, and write over operands that nobody needs any more.
pub(super) fn arithmetic(op: Arithmetic, inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    let stays_with_mlx = ty.dtype == DType::F32 && is_instruction(op);
    if stays_with_mlx || inputs.iter().any(|input| input.dtype != ty.dtype) {
        return exact::arithmetic(op, inputs, ty);
    }
    match of_float!(ty.dtype, arithmetic_of(op, ty)) {
        Some(kernel) => kernel,
        None => exact::arithmetic(op, inputs, ty),
    }
}

/// Whether this is one instruction of every processor.
fn is_instruction(op: Arithmetic) -> bool {
    match op {
        Arithmetic::Add | Arithmetic::Subtract | Arithmetic::Multiply | Arithmetic::Divide => true,
        Arithmetic::Max
        | Arithmetic::Min
        | Arithmetic::Pow
        | Arithmetic::Quotient
        | Arithmetic::Remainder
        | Arithmetic::Atan2
        | Arithmetic::BitwiseAnd
        | Arithmetic::BitwiseOr
        | Arithmetic::BitwiseXor
        | Arithmetic::LeftShift
        | Arithmetic::RightShift => false,
    }
}

/// The kernel of a comparison of operands of one dtype, if there is one.
pub(super) fn compare(op: Compare, inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    if inputs[0].dtype != inputs[1].dtype {
        return None;
    }
    of_float!(inputs[0].dtype, compare_of(op, ty)).or_else(|| exact::compare(op, inputs, ty))
}

/// Small floats are rounded twice, from the exact result to `f32` and on, which for these does no harm: 24
/// digits are more than twice 11 and two.
fn arithmetic_of<T: Float>(op: Arithmetic, ty: &TensorType) -> Option<Kernel> {
    Some(match op {
        Arithmetic::Add => binary::<T, Add>(ty),
        Arithmetic::Subtract => binary::<T, Subtract>(ty),
        Arithmetic::Multiply => binary::<T, Multiply>(ty),
        Arithmetic::Divide => binary::<T, Divide>(ty),
        Arithmetic::Max => binary::<T, Max>(ty),
        Arithmetic::Min => binary::<T, Min>(ty),
        Arithmetic::Pow => binary::<T, Pow>(ty),
        Arithmetic::Quotient
        | Arithmetic::Remainder
        | Arithmetic::Atan2
        | Arithmetic::BitwiseAnd
        | Arithmetic::BitwiseOr
        | Arithmetic::BitwiseXor
        | Arithmetic::LeftShift
        | Arithmetic::RightShift => return None,
    })
}

fn compare_of<T: Float>(op: Compare, ty: &TensorType) -> Kernel {
    match op {
        Compare::Equal => binary::<T, Equal>(ty),
        Compare::NotEqual => binary::<T, NotEqual>(ty),
        Compare::Greater => binary::<T, Greater>(ty),
        Compare::Less => binary::<T, Less>(ty),
        Compare::GreaterEqual => binary::<T, GreaterEqual>(ty),
        Compare::LessEqual => binary::<T, LessEqual>(ty),
        Compare::LogicalAnd => binary::<T, LogicalAnd>(ty),
        Compare::LogicalOr => binary::<T, LogicalOr>(ty),
        Compare::LogicalXor => binary::<T, LogicalXor>(ty),
    }
}

macro_rules! arithmetic {
    ($($name:ident: |$a:ident, $b:ident| $value:expr;)*) => {
        $(
            struct $name;

            impl<T: Float> Pairing<T> for $name {
                type Result = T;

                #[inline(always)]
                fn at<L: Level>($a: f32, $b: f32) -> T {
                    T::narrow($value)
                }
            }
        )*
    };
}

arithmetic! {
    Add: |a, b| a + b;
    Subtract: |a, b| a - b;
    Multiply: |a, b| a * b;
    Divide: |a, b| a / b;
    Max: |a, b| lanes::larger(a, b);
    Min: |a, b| lanes::smaller(a, b);
    Pow: |a, b| math::pow::<L>(a.into(), b.into()) as f32;
}

macro_rules! compare {
    ($($name:ident: |$a:ident, $b:ident| $holds:expr;)*) => {
        $(
            struct $name;

            impl<T: Float> Pairing<T> for $name {
                type Result = u8;

                #[inline(always)]
                fn at<L: Level>($a: f32, $b: f32) -> u8 {
                    u8::from($holds)
                }
            }
        )*
    };
}

compare! {
    Equal: |a, b| a == b;
    NotEqual: |a, b| a != b;
    Greater: |a, b| a > b;
    Less: |a, b| a < b;
    GreaterEqual: |a, b| a >= b;
    LessEqual: |a, b| a <= b;
    // NaN is no zero.
    LogicalAnd: |a, b| a != 0.0 && b != 0.0;
    LogicalOr: |a, b| a != 0.0 || b != 0.0;
    LogicalXor: |a, b| (a != 0.0) != (b != 0.0);
}
