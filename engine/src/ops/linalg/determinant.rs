//! Determinants.

use emily_spec::{DType, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{concatenate, select};
use mlx_rs::{Array, Dtype, linalg};

use super::decompose::{finite, moderate, or_nan};
use super::{block, rows, sizes, wide};
use crate::mlx::{arange, clone_array, integer, slice_axis};
use crate::ops::cast::cast;
use crate::ops::{Cx, dims, length};

/// Up to 3 × 3 by Leibniz's formula, which of small whole numbers is exact; larger ones by elimination.
/// Both in `f64`, which the CPU has: on the way numbers may be beyond `f32`.
pub(in crate::ops) fn determinant(x: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    let x = wide(x, ty.dtype)?;
    let determinant = cx.on_cpu([&x], |[x]| match x.dim(-1) {
        ..=3 => cast(&expanded(&cast(x, DType::F64)?)?, ty.dtype)?.squeeze_axes(&[-2, -1]),
        _ => cast(&by_pivots(&cast(x, DType::F64)?)?, ty.dtype),
    })?;
    determinant.reshape(&dims(&ty.shape))
}

/// Along the first row.
fn expanded(x: &Array) -> Result<Array> {
    let n = x.dim(-1);
    if n == 1 {
        return Ok(clone_array(x));
    }
    let below = rows(x, &(1..n))?;
    let term = |column: i32| {
        let left = slice_axis(&below, x.ndim() - 1, 0..column)?;
        let right = slice_axis(&below, x.ndim() - 1, column + 1..n)?;
        let minor = expanded(&concatenate(&[left, right], -1)?)?;
        block(x, &(0..1), &(column..column + 1))?.multiply(minor)
    };
    (1..n).try_fold(term(0)?, |total, column| match column % 2 {
        0 => total.add(term(column)?),
        _ => total.subtract(term(column)?),
    })
}

/// The product of the pivots, turned by each exchange of rows; NaN of what is not finite, which elimination
/// may not come across.
pub(super) fn by_pivots(x: &Array) -> Result<Array> {
    let [_, n, _] = sizes(x);
    length(n.saturating_mul(n))?;
    let (finite, x) = finite(x)?;
    let (moderate, back) = moderate(&x, &[-2])?;
    let (factors, exchanged) = linalg::lu_factor(moderate)?;
    let pivots = factors.diagonal(None, -2, -1)?;
    let pivots = pivots.multiply(back.squeeze_axes(&[-2])?)?;
    let product = pivots.prod_axes(&[-1], false)?;
    let exchanges = exchanged.ne(arange(x.dim(-1), exchanged.dtype())?)?;
    let count = exchanges
        .as_dtype(Dtype::Int32)?
        .sum_axes(&[-1], false)?
        .as_dtype(Dtype::Int32)?;
    let odd = count
        .remainder(integer(DType::S32, 2))?
        .eq(integer(DType::S32, 1))?;
    let determinant = select(odd, product.negative()?, &product)?;
    or_nan(&finite.squeeze_axes(&[-2, -1])?, &determinant)
}
