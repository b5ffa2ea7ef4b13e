//! Element-wise operations on one operand.

mod bits;
pub(super) mod function;

use std::borrow::Cow;

use emily_spec::{Class, DType, ResultDType, TensorType, Unary};
use mlx_rs::error::Result;
use mlx_rs::ops::{
    acos, acosh, asin, asinh, atan, atan2, atanh, ceil, cosh, expm1, select, sinh, tan, tanh,
};
use mlx_rs::{Array, Dtype};

use super::cast::operand;
use super::float::{widened, with_sign_of};
use super::integer::{negate_where, sign_and_magnitude, unsigned};
use super::{Cx, complex, erfc as special, float};
use crate::Device;
use crate::mlx::{bitwise_xor, clone_array, conjugate, dtype_of, integer, real, to_mlx};

/// A function of each element, cast to the result's dtype unless that is the dtype of something said
/// of the element.
pub(super) fn unary(op: Unary, x: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    let x = match op.row().result {
        ResultDType::Real | ResultDType::Predicate | ResultDType::Codes | ResultDType::Index => {
            Cow::Borrowed(x)
        }
        ResultDType::RealFloating if dtype_of(x).is_complex() => Cow::Borrowed(x),
        ResultDType::Same
        | ResultDType::Merged
        | ResultDType::Floating
        | ResultDType::RealFloating
        | ResultDType::Parts
        | ResultDType::Complex
        | ResultDType::Aggregate
        | ResultDType::Asked => operand(x, ty.dtype)?,
    };
    match op {
        Unary::Abs => abs(&x),
        Unary::Negate => negate(&x, cx),
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
        Unary::LogicalNot => x.eq(integer(dtype_of(&x), 0))?.view_dtype(Dtype::Uint8),
        Unary::Phase => phase(&x),
        Unary::Round => round(&x),
        Unary::Exp => function(&x, cx, |z, _| z.exp(), |x| float::exp(x, cx)),
        Unary::Sqrt => function(&x, cx, |z, _| z.sqrt(), Array::sqrt),
        Unary::Rsqrt => function(&x, cx, complex::rsqrt, Array::rsqrt),
        Unary::Cbrt => function(&x, cx, complex::cbrt, |x| function::cbrt(x, cx)),
        Unary::Log => function(&x, cx, |z, _| z.log(), Array::log),
        Unary::Log1p => function(&x, cx, |z, _| complex::log1p(z), Array::log1p),
        Unary::Expm1 => function(&x, cx, complex::expm1, |x| expm1(x)),
        Unary::Sigmoid => function(&x, cx, complex::sigmoid, |x| function::sigmoid(x, cx)),
        Unary::Sin => function(&x, cx, |z, _| z.sin(), |x| function::sin(x, cx)),
        Unary::Cos => function(&x, cx, |z, _| z.cos(), |x| function::cos(x, cx)),
        Unary::Tan => function(&x, cx, |z, _| tan(z), |x| tan(x)),
        Unary::Asin => function(&x, cx, |z, _| asin(z), |x| asin(x)),
        Unary::Acos => function(&x, cx, |z, _| acos(z), |x| acos(x)),
        Unary::Atan => function(&x, cx, |z, _| atan(z), |x| atan(x)),
        Unary::Sinh => function(&x, cx, |z, _| sinh(z), |x| sinh(x)),
        Unary::Cosh => function(&x, cx, |z, _| cosh(z), |x| cosh(x)),
        Unary::Tanh => function(&x, cx, |z, _| tanh(z), |x| tanh(x)),
        Unary::Asinh => function(&x, cx, |z, _| asinh(z), |x| asinh(x)),
        Unary::Acosh => function(&x, cx, |z, _| acosh(z), |x| acosh(x)),
        Unary::Atanh => function(&x, cx, |z, _| atanh(z), |x| atanh(x)),
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

/// Integers wrap, as unsigned ones do in C++. On CUDA MLX takes a complex number from 0 + 0·i, which
/// is +0 where a part is.
fn negate(x: &Array, cx: &Cx) -> Result<Array> {
    let dtype = dtype_of(x);
    match (dtype.class(), cx.device) {
        (Class::Unsigned | Class::Signed, _) => {
            let bits = x.view_dtype(to_mlx(unsigned(dtype)))?;
            negate_where(&Array::from_bool(true), &bits)?.view_dtype(x.dtype())
        }
        (Class::Complex, Device::Gpu) => complex::of_parts(x, Array::negative),
        (Class::Float, _) | (Class::Complex, Device::Cpu) => x.negative(),
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

/// A real number's imaginary part is +0.
fn phase(x: &Array) -> Result<Array> {
    if dtype_of(x).is_complex() {
        return atan2(x.imag()?, x.real()?);
    }
    let wide = widened(x)?;
    atan2(real(dtype_of(&wide), 0.0), wide)?.as_dtype(x.dtype())
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

/// A function of real and one of complex numbers.
///
/// Complex ones are the C library's, to which MLX's kernels go on the CPU: they keep both parts'
/// digits, and follow C's Annex G at infinities and branch cuts.
fn function(
    x: &Array,
    cx: &Cx,
    complex: impl Fn(&Array, &Cx) -> Result<Array>,
    real: impl Fn(&Array) -> Result<Array>,
) -> Result<Array> {
    match dtype_of(x).class() {
        Class::Complex => {
            let cpu = Cx::new(Device::Cpu, cx.cpu);
            cx.on_cpu([x], |[x]| complex(x, &cpu))
        }
        Class::Unsigned | Class::Signed | Class::Float => real_function(x, real),
    }
}

/// A function of `f32` and `f64` on any real float: `f16` and `bf16` by way of `f32`.
fn real_function(x: &Array, f: impl Fn(&Array) -> Result<Array>) -> Result<Array> {
    f(&widened(x)?)?.as_dtype(x.dtype())
}
