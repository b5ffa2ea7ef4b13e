//! Complex arithmetic where MLX's is not exact enough, out of real parts.

use emily_spec::DType;
use mlx_rs::error::Result;
use mlx_rs::ops::{atan2, maximum, select, stack, tan};
use mlx_rs::{Array, Dtype};

use super::unary::function;
use super::{Cx, float};
use crate::Device;
use crate::mlx::{bitwise_and, clone_array, dtype_of, integer, real, to_mlx};

/// Real and imaginary parts of one float dtype.
struct Parts {
    re: Array,
    im: Array,
}

impl Parts {
    fn of(z: &Array, dtype: DType) -> Result<Parts> {
        Ok(Parts {
            re: z.real()?.as_dtype(to_mlx(dtype))?,
            im: z.imag()?.as_dtype(to_mlx(dtype))?,
        })
    }

    /// The parts side by side in memory are the complex number.
    fn join(&self) -> Result<Array> {
        let [re, im] = [&self.re, &self.im].map(|part| part.as_dtype(Dtype::Float32));
        stack(&[re?, im?], -1)?
            .view_dtype(Dtype::Complex64)?
            .squeeze_axes(&[-1])
    }

    fn map(&self, f: impl Fn(&Array) -> Result<Array>) -> Result<Parts> {
        Ok(Parts {
            re: f(&self.re)?,
            im: f(&self.im)?,
        })
    }

    /// The product, its parts' products being `times`: of elements, or of matrices.
    fn product(&self, b: &Parts, times: impl Fn(&Array, &Array) -> Result<Array>) -> Result<Parts> {
        let a = self;
        Ok(Parts {
            re: times(&a.re, &b.re)?.subtract(times(&a.im, &b.im)?)?,
            im: times(&a.re, &b.im)?.add(times(&a.im, &b.re)?)?,
        })
    }

    /// The principal logarithm. In `f64` the squares of `f32` parts neither overflow nor vanish.
    fn ln(&self) -> Result<Parts> {
        let infinity = real(dtype_of(&self.re), f64::INFINITY);
        let squared = self.squared_modulus()?;
        // An infinite part counts also beside NaN.
        let largest = maximum(nan_to_zero(&self.re.abs()?)?, nan_to_zero(&self.im.abs()?)?)?;
        let squared = select(largest.eq(&infinity)?, &infinity, squared)?;
        Ok(Parts {
            re: squared.log()?.multiply(real(dtype_of(&self.re), 0.5))?,
            im: atan2(&self.im, &self.re)?,
        })
    }

    /// e^re · (cos im + i·sin im). Where im is 0, so is the result's, whatever e^re is; where re is
    /// infinite and im not finite, C's limits: 0 and ∞ + NaN·i.
    ///
    /// MLX's sine and cosine of `f64` have an `f32`'s digits. Its tangent is the C library's, and
    /// with t = tan(im / 2) the two are 2t / (1 + t²) and (1 − t²) / (1 + t²).
    fn exp(&self, cx: &Cx) -> Result<Parts> {
        let constant = |value: f64| real(dtype_of(&self.re), value);
        let (zero, one) = (constant(0.0), constant(1.0));
        let t = tan(self.im.multiply(constant(0.5))?)?;
        let squared = t.multiply(&t)?;
        let scale = float::exp(&self.re, cx)?;
        let per = |x: &Array| scale.multiply(x.divide(one.add(&squared)?)?);
        let (re, im) = (per(&one.subtract(&squared)?)?, per(&t.add(&t)?)?);

        let infinity = constant(f64::INFINITY);
        let real_number = self.im.eq(&zero)?;
        let limit = self
            .re
            .abs()?
            .eq(&infinity)?
            .logical_and(self.im.abs()?.lt(&infinity)?.logical_not()?)?;
        let vanishes = limit.logical_and(scale.eq(&zero)?)?;
        let im = select(vanishes, &zero, im)?;
        Ok(Parts {
            re: select(real_number.logical_or(limit)?, &scale, re)?,
            im: select(real_number, &self.im, im)?,
        })
    }

    fn squared_modulus(&self) -> Result<Array> {
        let square = |part: &Array| part.multiply(part);
        square(&self.re)?.add(square(&self.im)?)
    }

    /// a·conj(b) / |b|².
    fn quotient(&self, b: &Parts) -> Result<Parts> {
        let a = self;
        let squared = b.squared_modulus()?;
        let re = a.re.multiply(&b.re)?.add(a.im.multiply(&b.im)?)?;
        let im = a.im.multiply(&b.re)?.subtract(a.re.multiply(&b.im)?)?;
        Parts { re, im }.map(|part| part.divide(&squared))
    }
}

/// A function of each part.
pub(super) fn of_parts(z: &Array, f: impl Fn(&Array) -> Result<Array>) -> Result<Array> {
    Parts::of(z, DType::F32)?.map(f)?.join()
}

/// The complex numbers with these parts, which are `f32`.
pub(super) fn joined(re: &Array, im: &Array) -> Result<Array> {
    let (re, im) = (clone_array(re), clone_array(im));
    Parts { re, im }.join()
}

/// Matrix products. BLAS's complex one scales its result by 1 + 0·i, which makes both parts NaN
/// where either is infinite; the parts' products cost the same.
pub(super) fn matmul(z: &Array, w: &Array) -> Result<Array> {
    let (z, w) = (Parts::of(z, DType::F32)?, Parts::of(w, DType::F32)?);
    z.product(&w, |a, b| a.matmul(b))?.join()
}

/// z · w in `f64`, where the parts' products neither round nor overflow.
pub(super) fn multiply(z: &Array, w: &Array) -> Result<Array> {
    let parts = |x: &Array| Parts::of(x, DType::F64);
    parts(z)?.product(&parts(w)?, |a, b| a.multiply(b))?.join()
}

/// z / w in `f64`, where the squares of `f32` parts neither overflow nor vanish.
pub(super) fn divide(z: &Array, w: &Array) -> Result<Array> {
    let parts = |x: &Array| Parts::of(x, DType::F64);
    parts(z)?.quotient(&parts(w)?)?.join()
}

/// z / w in `f32`, for devices without `f64`: both are scaled by powers of two, which is exact, so
/// that their larger parts lie between 1 and 2.
pub(super) fn divide_scaled(z: &Array, w: &Array) -> Result<Array> {
    let (a, b) = (Parts::of(z, DType::F32)?, Parts::of(w, DType::F32)?);
    let (scale_a, scale_b) = (scale(&a)?, scale(&b)?);
    let a = a.map(|part| part.divide(&scale_a))?;
    let b = b.map(|part| part.divide(&scale_b))?;
    let scale = scale_a.divide(&scale_b)?;
    a.quotient(&b)?.map(|part| part.multiply(&scale))?.join()
}

/// 1 / √z, which is 0 at every infinity.
pub(super) fn rsqrt(z: &Array, _: &Cx) -> Result<Array> {
    let root = Parts::of(&z.sqrt()?, DType::F64)?;
    let constant = |value: f64| real(DType::F64, value);
    let one = Parts {
        re: constant(1.0),
        im: constant(0.0),
    };
    let infinity = constant(f64::INFINITY);
    let infinite = |part: &Array| part.abs()?.eq(&infinity);
    let vanishes = infinite(&root.re)?.logical_or(infinite(&root.im)?)?;
    one.quotient(&root)?
        .map(|part| select(&vanishes, constant(0.0), part))?
        .join()
}

/// e^(ln z / 3); a zero is its own root.
pub(super) fn cbrt(z: &Array, cx: &Cx) -> Result<Array> {
    let third = |part: &Array| part.divide(real(DType::F64, 3.0));
    let root = Parts::of(z, DType::F64)?.ln()?.map(third)?;
    let zero = z.eq(real(dtype_of(z), 0.0))?;
    select(zero, z, root.exp(cx)?.join()?)
}

/// ln(1 + z). Near 0 the logarithm of the modulus is half that of 1 + re·(2 + re) + im².
pub(super) fn log1p(z: &Array) -> Result<Array> {
    let z = Parts::of(z, DType::F64)?;
    let constant = |value: f64| real(DType::F64, value);
    let squared =
        z.re.multiply(z.re.add(constant(2.0))?)?
            .add(z.im.multiply(&z.im)?)?;
    let near = mlx_rs::ops::log1p(squared)?.multiply(constant(0.5))?;
    let is_near = maximum(z.re.abs()?, z.im.abs()?)?.lt(constant(0.5))?;
    let far = Parts {
        re: z.re.add(constant(1.0))?,
        im: z.im,
    }
    .ln()?;
    let re = select(is_near, near, far.re)?;
    Parts { re, im: far.im }.join()
}

/// e^z − 1. Near 0 its real part is (e^re − 1)·cos im − 2·sin²(im / 2), of which nothing cancels.
pub(super) fn expm1(z: &Array, cx: &Cx) -> Result<Array> {
    let z = Parts::of(z, DType::F64)?;
    let constant = |value: f64| real(DType::F64, value);
    let power = z.exp(cx)?;
    let half = function::sin(&z.im.multiply(constant(0.5))?, cx)?;
    let near = mlx_rs::ops::expm1(&z.re)?
        .multiply(function::cos(&z.im, cx)?)?
        .subtract(half.multiply(&half)?.multiply(constant(2.0))?)?;
    let far = power.re.subtract(constant(1.0))?;
    let re = select(z.re.abs()?.lt(constant(1.0))?, near, far)?;
    Parts { re, im: power.im }.join()
}

/// 1 / (1 + e^−z) in the right half plane and e^z / (1 + e^z) in the left, where the exponentials do
/// not overflow.
pub(super) fn sigmoid(z: &Array, cx: &Cx) -> Result<Array> {
    let z = Parts::of(z, DType::F64)?;
    let constant = |value: f64| real(DType::F64, value);
    let (zero, one) = (constant(0.0), constant(1.0));
    let left = z.re.lt(&zero)?;
    let power = z
        .map(|part| select(&left, part, part.negative()?))?
        .exp(cx)?;
    let above = Parts {
        re: select(&left, &power.re, &one)?,
        im: select(&left, &power.im, &zero)?,
    };
    let below = Parts {
        re: power.re.add(&one)?,
        im: power.im,
    };
    above.quotient(&below)?.join()
}

fn nan_to_zero(x: &Array) -> Result<Array> {
    select(x.eq(x)?, x, real(dtype_of(x), 0.0))
}

/// The power of two at or below the larger part; 1 where that is zero, subnormal or not finite.
fn scale(z: &Parts) -> Result<Array> {
    let larger = maximum(z.re.abs()?, z.im.abs()?)?;
    let exponent = bitwise_and(
        &larger.view_dtype(Dtype::Int32)?,
        &integer(DType::S32, 0x7f80_0000),
    )?;
    let power = exponent.view_dtype(Dtype::Float32)?;
    let usual = power
        .gt(real(DType::F32, 0.0))?
        .logical_and(power.lt(real(DType::F32, f64::INFINITY))?)?;
    select(usual, &power, real(DType::F32, 1.0))
}

/// z^w = e^(w · ln z) on the principal branch. At z = 0, which has no logarithm, 0⁰ is 1, and 0^w
/// is 0 where w's real part is positive and NaN elsewhere.
pub(super) fn pow(z: &Array, w: &Array, cx: &Cx) -> Result<Array> {
    let constant = |value: f64| real(dtype_of(z), value);
    let (zero, one) = (constant(0.0), constant(1.0));
    let no_base = z.eq(&zero)?;
    let base = select(&no_base, &one, z)?;
    let power = match cx.device {
        Device::Cpu => pow_by_parts(&base, w, cx)?,
        Device::Gpu => base.power(w)?,
    };
    let positive = w.real()?.gt(real(DType::F32, 0.0))?;
    let nan = Array::from_complex(mlx_rs::complex64::new(f32::NAN, f32::NAN));
    let of_zero = select(positive, &zero, nan)?;
    let power = select(no_base, of_zero, power)?;
    select(w.eq(&zero)?, one, power)
}

/// In `f64`, because in `f32` the rounding of a large w · ln z is an error of many units.
fn pow_by_parts(z: &Array, w: &Array, cx: &Cx) -> Result<Array> {
    let (z, w) = (Parts::of(z, DType::F64)?, Parts::of(w, DType::F64)?);
    w.product(&z.ln()?, |a, b| a.multiply(b))?.exp(cx)?.join()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use mlx_rs::{complex64, with_stream};

    use super::*;
    use crate::mlx;

    /// The CPU divides in `f64`, so no case reaches this function there.
    #[test]
    fn scaled_quotients_neither_overflow_nor_vanish() {
        let quotients = [
            // (3 + 4i) / (1 + 2i) = (11 − 2i) / 5.
            ([3.0, 4.0], [1.0, 2.0], [2.2, -0.4]),
            ([1e30, 0.0], [0.0, 1e30], [0.0, -1.0]),
            ([1e-30, 1e-30], [1e-30, -1e-30], [0.0, 1.0]),
            ([3e38, 3e38], [3e38, 0.0], [1.0, 1.0]),
            ([0.0, 0.0], [1.0, 0.0], [0.0, 0.0]),
        ];
        let cpu = mlx::new_stream(Device::Cpu).unwrap();
        with_stream(&cpu, || {
            for (z, w, want) in quotients {
                let number = |[re, im]: [f32; 2]| Array::from_complex(complex64::new(re, im));
                let got = divide_scaled(&number(z), &number(w)).unwrap();
                let got: complex64 = got.item_exact();
                assert_relative_eq!(got.re, want[0], max_relative = 2e-7);
                assert_relative_eq!(got.im, want[1], max_relative = 2e-7);
            }
        });
    }
}
