//! Element-wise operations on one operand.

mod bits;
mod function;

use std::borrow::Cow;

use emily_spec::{Class, DType, ResultDType, TensorType, Unary};
use mlx_rs::error::Result;
use mlx_rs::ops::{
    acos, acosh, asin, asinh, atan, atanh, ceil, cosh, expm1, select, sinh, tan, tanh,
};
use mlx_rs::{Array, Dtype};

use super::cast::operand;
use super::float::{widened, with_sign_of};
use super::integer::{negate_where, sign_and_magnitude, unsigned};
use super::{Cx, erfc as special, float};
use crate::mlx::{bitwise_xor, clone_array, conjugate, dtype_of, integer, real, to_mlx};

/// A function of each element, cast to the result's dtype unless that is the dtype of something said
/// of the element.
pub(super) fn unary(op: Unary, x: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    let x = match op.row().result {
        ResultDType::Real | ResultDType::Predicate | ResultDType::Index => Cow::Borrowed(x),
        ResultDType::Same
        | ResultDType::Merged
        | ResultDType::Floating
        | ResultDType::Complex
        | ResultDType::Aggregate
        | ResultDType::Asked => operand(x, ty.dtype)?,
    };
    match op {
        Unary::Abs => abs(&x),
        Unary::Negate => negate(&x),
        Unary::Sign => sign(&x),
        Unary::Floor => x.floor(),
        Unary::Ceil => ceil(&x),
        Unary::BitwiseNot => bitwise_xor(&x, &integer(ty.dtype, -1)),
        Unary::CountLeadingZeros => bits::leading_zeros(&x),
        Unary::PopulationCount => bits::population(&x),
        Unary::Real => x.real(),
        Unary::Imag => x.imag(),
        Unary::Conjugate => conjugate(&x),
        Unary::IsNan => any_part(&x, |part| part.ne(part)),
        Unary::IsInfinity => any_part(&x, |part| {
            part.abs()?.eq(real(dtype_of(part), f64::INFINITY))
        }),
        Unary::Round => round(&x),
        Unary::Exp => exp(&x, ty, cx),
        Unary::Sqrt => real_function(&x, Array::sqrt),
        Unary::Rsqrt => real_function(&x, Array::rsqrt),
        Unary::Cbrt => real_function(&x, |x| function::cbrt(x, cx)),
        Unary::Log => real_function(&x, Array::log),
        Unary::Log1p => real_function(&x, Array::log1p),
        Unary::Expm1 => real_function(&x, |x| expm1(x)),
        Unary::Sigmoid => real_function(&x, |x| function::sigmoid(x, cx)),
        Unary::Sin => real_function(&x, |x| function::sin(x, cx)),
        Unary::Cos => real_function(&x, |x| function::cos(x, cx)),
        Unary::Tan => real_function(&x, |x| tan(x)),
        Unary::Asin => real_function(&x, |x| asin(x)),
        Unary::Acos => real_function(&x, |x| acos(x)),
        Unary::Atan => real_function(&x, |x| atan(x)),
        Unary::Sinh => real_function(&x, |x| sinh(x)),
        Unary::Cosh => real_function(&x, |x| cosh(x)),
        Unary::Tanh => real_function(&x, |x| tanh(x)),
        Unary::Asinh => real_function(&x, |x| asinh(x)),
        Unary::Acosh => real_function(&x, |x| acosh(x)),
        Unary::Atanh => real_function(&x, |x| atanh(x)),
        Unary::Erf => real_function(&x, |x| function::erf(x, cx)),
        Unary::ErfInv => real_function(&x, |x| function::erf_inv(x, cx)),
        Unary::Erfc => real_function(&x, |x| special::erfc(x, cx)),
    }
}

/// The magnitude of a signed integer wraps; a complex number's neither overflows nor vanishes.
fn abs(x: &Array) -> Result<Array> {
    match dtype_of(x).class() {
        Class::Unsigned => Ok(clone_array(x)),
        Class::Signed => sign_and_magnitude(x)?.1.view_dtype(x.dtype()),
        Class::Float | Class::Complex => x.abs(),
    }
}

/// Integers wrap, as unsigned ones do in C++.
fn negate(x: &Array) -> Result<Array> {
    let dtype = dtype_of(x);
    match dtype.class() {
        Class::Unsigned | Class::Signed => {
            let bits = x.view_dtype(to_mlx(unsigned(dtype)))?;
            negate_where(&Array::from_bool(true), &bits)?.view_dtype(x.dtype())
        }
        Class::Float | Class::Complex => x.negative(),
    }
}

/// What is neither above nor below zero stays: zeros and NaN.
fn sign(x: &Array) -> Result<Array> {
    let constant = |value: i128| integer(dtype_of(x), value);
    let up = select(x.gt(constant(0))?, constant(1), x)?;
    if dtype_of(x).class() == Class::Unsigned {
        return Ok(up);
    }
    select(x.lt(constant(0))?, constant(-1), up)
}

/// `u8` 1 where this holds of an element or of either of its parts. Integers are cast to `f32`, in
/// which they are finite.
fn any_part(x: &Array, holds: impl Fn(&Array) -> Result<Array>) -> Result<Array> {
    let mask = match dtype_of(x).class() {
        Class::Unsigned | Class::Signed => holds(operand(x, DType::F32)?.as_ref())?,
        Class::Float => holds(x)?,
        Class::Complex => holds(&x.real()?)?.logical_or(holds(&x.imag()?)?)?,
    };
    mask.view_dtype(Dtype::Uint8)
}

/// Halves away from zero, a zero result having the operand's sign; MLX rounds halves to even.
///
/// The fraction of a magnitude is exact, where adding a half would round.
fn round(x: &Array) -> Result<Array> {
    let constant = |value: f64| real(dtype_of(x), value);
    let magnitude = x.abs()?;
    let floor = magnitude.floor()?;
    let up = magnitude.subtract(&floor)?.ge(constant(0.5))?;
    let rounded = select(up, floor.add(constant(1.0))?, &floor)?;
    with_sign_of(&rounded, x)
}

/// e^x.
fn exp(x: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    match ty.dtype.class() {
        Class::Complex => x.exp(),
        Class::Unsigned | Class::Signed | Class::Float => real_function(x, |x| float::exp(x, cx)),
    }
}

/// A function of `f32` and `f64` on any real float: `f16` and `bf16` by way of `f32`.
fn real_function(x: &Array, f: impl Fn(&Array) -> Result<Array>) -> Result<Array> {
    f(&widened(x)?)?.as_dtype(x.dtype())
}
