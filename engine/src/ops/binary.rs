//! Element-wise operations on two operands, cast to the result's dtype first.

use emily_spec::{Arithmetic, Class, Compare, DType, ErrorKind, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{atan2, maximum, minimum, select};
use mlx_rs::{Array, Dtype};

use super::cast::operand;
use super::equal::equal;
use super::float::{widened, with_sign_of};
use super::integer::{negate_where, sign_and_magnitude};
use super::{Cx, complex};
use crate::Device;
use crate::mlx::{clone_array, dtype_of, integer, real, to_mlx};

/// Arithmetic on the operands cast to the result's dtype.
pub(super) fn arithmetic(
    op: Arithmetic,
    inputs: &[Array],
    ty: &TensorType,
    cx: &mut Cx,
) -> Result<Array> {
    let a = operand(&inputs[0], ty.dtype)?;
    let b = operand(&inputs[1], ty.dtype)?;
    match op {
        // Integers wrap.
        Arithmetic::Add => a.add(b),
        Arithmetic::Subtract => a.subtract(b),
        Arithmetic::Multiply => multiply(&a, &b, ty, cx),
        Arithmetic::Quotient => quotient(&a, &b, ty, cx),
        Arithmetic::Divide => divide(&a, &b, ty, cx),
        Arithmetic::Remainder => remainder(&a, &b, ty, cx),
        Arithmetic::Pow => pow(&a, &b, ty, cx),
        Arithmetic::Atan2 => atan2(widened(&a)?, widened(&b)?)?.as_dtype(to_mlx(ty.dtype)),
        Arithmetic::Max => larger(&a, &b, cx),
        Arithmetic::Min => smaller(&a, &b, cx),
    }
}

/// `u8` 1 where the comparison holds; a mask is one byte already.
pub(super) fn compare(op: Compare, inputs: &[Array]) -> Result<Array> {
    let mask = match op {
        Compare::Equal => equal(&inputs[0], &inputs[1]),
    };
    mask?.view_dtype(Dtype::Uint8)
}

fn multiply(a: &Array, b: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    match (ty.dtype.class(), cx.device) {
        // In f32 the parts' products overflow where the part does not.
        (Class::Complex, Device::Cpu) => complex::multiply(a, b),
        (Class::Complex, Device::Gpu) => a.multiply(b),
        (Class::Unsigned | Class::Signed | Class::Float, _) => a.multiply(b),
    }
}

/// The quotient of the magnitudes, negative where one of the operands is: truncated whatever MLX does
/// to a negative quotient, and without the trap where the least integer meets −1.
fn quotient(a: &Array, b: &Array, ty: &TensorType, cx: &mut Cx) -> Result<Array> {
    let b = refuse_zero(a, b, "integer division by zero", cx)?;
    if ty.dtype.class() == Class::Unsigned {
        return a.floor_divide(b);
    }
    let (a_negative, a) = sign_and_magnitude(a)?;
    let (b_negative, b) = sign_and_magnitude(&b)?;
    let negative = a_negative.ne(b_negative)?;
    negate_where(&negative, &a.floor_divide(b)?)?.view_dtype(to_mlx(ty.dtype))
}

/// The larger element, the left one where they are equal; NaN where either is.
///
/// MLX's CPU kernel has the second of two equal elements, a GPU's the positive zero.
fn larger(a: &Array, b: &Array, cx: &Cx) -> Result<Array> {
    match cx.device {
        Device::Cpu => maximum(b, a),
        Device::Gpu => unless_left_stays(a, b, &b.gt(a)?),
    }
}

/// As [`larger`], the other way.
fn smaller(a: &Array, b: &Array, cx: &Cx) -> Result<Array> {
    match cx.device {
        Device::Cpu => minimum(b, a),
        Device::Gpu => unless_left_stays(a, b, &b.lt(a)?),
    }
}

/// `b` where it is beyond `a`, or NaN.
fn unless_left_stays(a: &Array, b: &Array, beyond: &Array) -> Result<Array> {
    select(beyond.logical_or(b.ne(b)?)?, b, a)
}

/// The result is floating, so that integers become floats before they divide.
fn divide(a: &Array, b: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    match (ty.dtype.class(), cx.device) {
        (Class::Complex, Device::Cpu) => complex::divide(a, b),
        (Class::Complex, Device::Gpu) => complex::divide_scaled(a, b),
        (Class::Unsigned | Class::Signed | Class::Float, _) => a.divide(b),
    }
}

/// The remainder of the magnitudes, with the dividend's sign.
///
/// MLX's remainder has the divisor's sign; of magnitudes it is C's `fmod` and `%`. Unsigned
/// magnitudes also have no trap where the least integer meets −1.
fn remainder(a: &Array, b: &Array, ty: &TensorType, cx: &mut Cx) -> Result<Array> {
    match ty.dtype.class() {
        Class::Unsigned => {
            let b = refuse_zero(a, b, "integer remainder by zero", cx)?;
            a.remainder(b)
        }
        Class::Signed => {
            let b = refuse_zero(a, b, "integer remainder by zero", cx)?;
            let (negative, a) = sign_and_magnitude(a)?;
            let (_, b) = sign_and_magnitude(&b)?;
            negate_where(&negative, &a.remainder(b)?)?.view_dtype(to_mlx(ty.dtype))
        }
        Class::Float | Class::Complex => {
            // Some C libraries' fmod gives −0 for magnitudes whose quotient is past 2^1023.
            let magnitude = a.abs()?.remainder(b.abs()?)?.abs()?;
            with_sign_of(&magnitude, a)
        }
    }
}

/// Makes a zero divisor that meets a dividend an error, and puts 1 in its place: a division by
/// zero ends the process.
fn refuse_zero(a: &Array, b: &Array, message: &str, cx: &mut Cx) -> Result<Array> {
    let dtype = dtype_of(b);
    let zero = b.eq(integer(dtype, 0))?;
    refuse(&zero, a, message, cx);
    select(zero, integer(dtype, 1), b)
}

/// Makes the marked elements an error. Where the other operand is empty no element takes part.
fn refuse(marked: &Array, other: &Array, message: &str, cx: &mut Cx) {
    if other.size() > 0 {
        cx.fail_where(clone_array(marked), ErrorKind::Numeric, message);
    }
}

/// Integer powers wrap; a negative exponent is an error.
fn pow(base: &Array, exponent: &Array, ty: &TensorType, cx: &mut Cx) -> Result<Array> {
    match ty.dtype.class() {
        Class::Unsigned => integer_pow(base, exponent, ty.dtype),
        Class::Signed => {
            let zero = integer(ty.dtype, 0);
            let negative = exponent.lt(&zero)?;
            let message = "an integer to a negative integer power; cast one operand to a float";
            refuse(&negative, base, message, cx);
            integer_pow(base, &select(negative, zero, exponent)?, ty.dtype)
        }
        Class::Float => float_pow(base, exponent, ty.dtype),
        Class::Complex => complex::pow(base, exponent, cx),
    }
}

/// IEEE 754's `pow`: 1 to any power and anything to the power 0 are 1, also for a signalling NaN,
/// of which some C libraries make a quiet one.
fn float_pow(base: &Array, exponent: &Array, dtype: DType) -> Result<Array> {
    let one = real(dtype, 1.0);
    let power = widened(base)?
        .power(widened(exponent)?)?
        .as_dtype(to_mlx(dtype))?;
    let is_one = base.eq(&one)?.logical_or(exponent.eq(real(dtype, 0.0))?)?;
    select(is_one, one, power)
}

/// Powers modulo 2^bits, in unsigned integers of at least 32 bits, where C++ defines wrapping.
fn integer_pow(base: &Array, exponent: &Array, dtype: DType) -> Result<Array> {
    let mlx = if dtype.size() == 8 {
        Dtype::Uint64
    } else {
        Dtype::Uint32
    };
    base.as_dtype(mlx)?
        .power(exponent.as_dtype(mlx)?)?
        .as_dtype(to_mlx(dtype))
}
