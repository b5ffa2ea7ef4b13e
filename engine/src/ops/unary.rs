//! Element-wise operations on one operand.

use emily_spec::{Class, TensorType, Unary};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::select;

use super::cast::operand;
use super::float::{widened, with_sign_of};
use super::{Cx, erfc as special, float};
use crate::mlx::{dtype_of, real};

/// A function of each element, cast to the result's dtype.
pub(super) fn unary(op: Unary, x: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    let x = operand(x, ty.dtype)?;
    match op {
        Unary::Round => round(&x),
        Unary::Exp => exp(&x, ty, cx),
        Unary::Erfc => real_function(&x, |x| special::erfc(x, cx)),
    }
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
