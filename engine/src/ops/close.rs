//! Nearness.

use emily_spec::{AllClose, Class, DType, Error, ErrorKind};
use mlx_rs::error::Result;
use mlx_rs::ops::{maximum, minimum, select};
use mlx_rs::{Array, Dtype};

use super::cast::operand;
use super::integer::sign_and_magnitude;
use super::less::less_or_equal;
use super::{Cx, complex, dims, fits};
use crate::Device;
use crate::mlx::{dtype_of, integer, real, refusal, shape_of, to_mlx};

/// What may be between two elements, computed in the widest float of the device.
struct Bound {
    rtol: f64,
    atol: f64,
    dtype: DType,
}

impl Bound {
    /// For a right operand of this magnitude.
    fn around(&self, magnitude: &Array) -> Result<Array> {
        let relative = self
            .wide(magnitude)?
            .multiply(real(self.dtype, self.rtol))?;
        relative.add(real(self.dtype, self.atol))
    }

    fn wide(&self, x: &Array) -> Result<Array> {
        x.as_dtype(to_mlx(self.dtype))
    }
}

/// `u8` 1 where all elements are near. Two integers are the numbers they are; other operands are cast to
/// their merged dtype.
pub(super) fn all_close(op: &AllClose, inputs: &[Array], cx: &Cx) -> Result<Array> {
    let (left, right) = (&inputs[0], &inputs[1]);
    let pairs = shape_of(left).broadcast(&shape_of(right));
    let pairs = pairs.map_err(refusal)?;
    fits(&dims(&pairs), size_of::<u64>(), cx)?;
    let [rtol, atol] = op.tolerances().ok_or_else(|| {
        refusal(Error::new(
            ErrorKind::Argument,
            "a tolerance must be a real number",
        ))
    })?;
    let bound = Bound {
        rtol,
        atol,
        dtype: match cx.device {
            Device::Cpu => DType::F64,
            Device::Gpu => DType::F32,
        },
    };
    let merged = dtype_of(left).merge(dtype_of(right));
    let merged = merged.map_err(refusal)?;
    let near = match merged.class() {
        Class::Unsigned | Class::Signed => near_integers(left, right, &bound)?,
        Class::Float | Class::Complex => {
            let (left, right) = (operand(left, merged)?, operand(right, merged)?);
            near_floats(op, &left, &right, &bound)?
        }
    };
    // All of none are near; a scalar has no axis to reduce.
    match (near.size(), near.ndim()) {
        (0, _) => Ok(integer(DType::U8, 1)),
        (_, 0) => near.view_dtype(Dtype::Uint8),
        _ => near.all(None)?.view_dtype(Dtype::Uint8),
    }
}

/// The distance as an exact `u64`: a difference of magnitudes, or of two signs their sum, of which 2^64 may
/// have been carried away. They are taken from the bound, which as a float between 2^63 and 2^65 loses
/// nothing; a smaller bound becomes negative, and a larger one stays above every `u64`.
fn near_integers(left: &Array, right: &Array, bound: &Bound) -> Result<Array> {
    let ((a_negative, a), (b_negative, b)) = (wide_magnitude(left)?, wide_magnitude(right)?);
    let bounds = bound.around(&b)?;
    let apart = maximum(&a, &b)?.subtract(minimum(&a, &b)?)?;
    let across = a.add(&b)?;
    let beyond = bounds.subtract(real(bound.dtype, 2f64.powi(64)))?;
    let remaining = select(across.lt(&a)?, beyond, &bounds)?;
    select(
        a_negative.eq(b_negative)?,
        less_or_equal(&apart, &bounds)?,
        less_or_equal(&across, &remaining)?,
    )
}

/// Where an integer is negative, and its magnitude as a `u64`.
fn wide_magnitude(x: &Array) -> Result<(Array, Array)> {
    match dtype_of(x).class() {
        Class::Signed => sign_and_magnitude(&x.as_dtype(Dtype::Int64)?),
        Class::Unsigned | Class::Float | Class::Complex => {
            Ok((Array::from_bool(false), x.as_dtype(Dtype::Uint64)?))
        }
    }
}

/// Infinities are near where they are equal, NaN where the call says so.
fn near_floats(op: &AllClose, left: &Array, right: &Array, bound: &Bound) -> Result<Array> {
    let (a, b) = (parts(left, bound)?, parts(right, bound)?);
    let apart = a.iter().zip(&b).map(|(a, b)| a.subtract(b));
    let apart: Vec<Array> = apart.collect::<Result<_>>()?;
    let near = modulus(&apart, bound)?.le(bound.around(&modulus(&b, bound)?)?)?;
    let infinite = |x: &Array| x.abs()?.eq(real(bound.dtype, f64::INFINITY));
    let infinite = any(&a, infinite)?.logical_or(any(&b, infinite)?)?;
    let mut equal = Array::from_bool(true);
    for (a, b) in a.iter().zip(&b) {
        equal = equal.logical_and(a.eq(b)?)?;
    }
    let near = select(infinite, equal, near)?;
    if !op.equal_nan {
        return Ok(near);
    }
    let nan = |x: &Array| x.ne(x);
    near.logical_or(any(&a, nan)?.logical_and(any(&b, nan)?)?)
}

/// The real part, and of complex numbers the imaginary one.
fn parts(x: &Array, bound: &Bound) -> Result<Vec<Array>> {
    match dtype_of(x).class() {
        Class::Complex => Ok(vec![bound.wide(&x.real()?)?, bound.wide(&x.imag()?)?]),
        Class::Unsigned | Class::Signed | Class::Float => Ok(vec![bound.wide(x)?]),
    }
}

/// The modulus of what has these parts. In `f64` the squares of `f32` parts neither overflow nor
/// vanish; in `f32` they would, and MLX's own modulus does not square.
fn modulus(parts: &[Array], bound: &Bound) -> Result<Array> {
    match parts {
        [re, im] if bound.dtype == DType::F64 => re.square()?.add(im.square()?)?.sqrt(),
        [re, im] => complex::joined(re, im)?.abs(),
        _ => parts[0].abs(),
    }
}

/// True where this holds of a part.
fn any(parts: &[Array], holds: impl Fn(&Array) -> Result<Array>) -> Result<Array> {
    let mut result = holds(&parts[0])?;
    for part in &parts[1..] {
        result = result.logical_or(holds(part)?)?;
    }
    Ok(result)
}
