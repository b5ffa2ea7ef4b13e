//! Element-wise operations on two operands, cast to the result's dtype first.

use emily_spec::{Arithmetic, Class, Compare, DType, ErrorKind, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{atan2, maximum, minimum, select};
use mlx_rs::{Array, Dtype};

use super::cast::operand;
use super::equal::equal;
use super::float::{widened, with_sign_of};
use super::integer::{negate_where, sign_and_magnitude, unsigned};
use super::less::{less, less_or_equal};
use super::{Cx, complex};
use crate::Device;
use crate::mlx::{
    bitwise_and, bitwise_or, bitwise_xor, clone_array, dtype_of, integer, left_shift, real,
    right_shift, to_mlx,
};

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
        Arithmetic::BitwiseAnd => bitwise_and(&a, &b),
        Arithmetic::BitwiseOr => bitwise_or(&a, &b),
        Arithmetic::BitwiseXor => bitwise_xor(&a, &b),
        Arithmetic::LeftShift => shift_left(&a, &b, ty.dtype, cx),
        Arithmetic::RightShift => shift_right(&a, &b, ty.dtype, cx),
        Arithmetic::Max => larger(&a, &b, cx),
        Arithmetic::Min => smaller(&a, &b, cx),
    }
}

/// `u8` 1 where the comparison holds; a mask is one byte already.
pub(super) fn compare(op: Compare, inputs: &[Array]) -> Result<Array> {
    let (a, b) = (&inputs[0], &inputs[1]);
    let mask = match op {
        Compare::Equal => equal(a, b),
        Compare::NotEqual => equal(a, b)?.logical_not(),
        Compare::Greater => less(b, a),
        Compare::Less => less(a, b),
        Compare::GreaterEqual => less_or_equal(b, a),
        Compare::LessEqual => less_or_equal(a, b),
        Compare::LogicalAnd => not_zero(a)?.logical_and(not_zero(b)?),
        Compare::LogicalOr => not_zero(a)?.logical_or(not_zero(b)?),
        Compare::LogicalXor => not_zero(a)?.ne(not_zero(b)?),
    };
    mask?.view_dtype(Dtype::Uint8)
}

pub(super) fn multiply(a: &Array, b: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
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

/// `a · 2^b` modulo 2^bits; 0 for a count of the width or more, which MLX takes modulo the width.
fn shift_left(a: &Array, b: &Array, dtype: DType, cx: &mut Cx) -> Result<Array> {
    let count = counts(a, b, dtype, "cannot left shift by a negative count", cx)?;
    // Unsigned, where C++ defines what becomes of the bits.
    let bits = a.view_dtype(to_mlx(unsigned(dtype)))?;
    within_width(&left_shift(&bits, &count)?, &count, dtype)?.view_dtype(to_mlx(dtype))
}

/// `a / 2^b` rounded down, whatever the count: 0 or −1 in the end.
fn shift_right(a: &Array, b: &Array, dtype: DType, cx: &mut Cx) -> Result<Array> {
    let count = counts(a, b, dtype, "cannot right shift by a negative count", cx)?;
    if dtype.class() == Class::Unsigned {
        return within_width(&right_shift(a, &count)?, &count, dtype);
    }
    let last = integer(unsigned(dtype), width(dtype) - 1);
    right_shift(a, &minimum(count, last)?.view_dtype(to_mlx(dtype))?)
}

/// Counts as unsigned integers; a negative one is an error.
fn counts(a: &Array, b: &Array, dtype: DType, message: &str, cx: &mut Cx) -> Result<Array> {
    if dtype.class() == Class::Unsigned {
        return Ok(clone_array(b));
    }
    let negative = b.lt(integer(dtype, 0))?;
    refuse(&negative, a, ErrorKind::Argument, message, cx);
    b.view_dtype(to_mlx(unsigned(dtype)))
}

/// `shifted` where the count is less than the width, else 0.
fn within_width(shifted: &Array, count: &Array, dtype: DType) -> Result<Array> {
    let unsigned = unsigned(dtype);
    let inside = count.lt(integer(unsigned, width(dtype)))?;
    select(inside, shifted, integer(unsigned, 0))
}

fn width(dtype: DType) -> i128 {
    8 * dtype.size() as i128
}

/// The larger element, the left one where they are equal; NaN where either is.
///
/// MLX's CPU kernel has the second of two equal elements, a GPU's the positive zero.
pub(super) fn larger(a: &Array, b: &Array, cx: &Cx) -> Result<Array> {
    match cx.device {
        Device::Cpu => maximum(b, a),
        Device::Gpu => unless_left_stays(a, b, &b.gt(a)?),
    }
}

/// As [`larger`], the other way.
pub(super) fn smaller(a: &Array, b: &Array, cx: &Cx) -> Result<Array> {
    match cx.device {
        Device::Cpu => minimum(b, a),
        Device::Gpu => unless_left_stays(a, b, &b.lt(a)?),
    }
}

/// `b` where it is beyond `a`, or NaN.
fn unless_left_stays(a: &Array, b: &Array, beyond: &Array) -> Result<Array> {
    select(beyond.logical_or(b.ne(b)?)?, b, a)
}

/// True of every number but the zeros, NaN too.
pub(super) fn not_zero(x: &Array) -> Result<Array> {
    x.ne(real(dtype_of(x), 0.0))
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
    refuse(&zero, a, ErrorKind::Numeric, message, cx);
    select(zero, integer(dtype, 1), b)
}

/// Makes the marked elements an error. Where the other operand is empty no element takes part.
fn refuse(marked: &Array, other: &Array, kind: ErrorKind, message: &str, cx: &mut Cx) {
    if other.size() > 0 {
        cx.fail_where(clone_array(marked), kind, message);
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
            refuse(&negative, base, ErrorKind::Numeric, message, cx);
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
