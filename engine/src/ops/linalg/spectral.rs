//! Eigenvalues and eigenvectors.

use emily_spec::TensorType;
use mlx_rs::error::Result;
use mlx_rs::ops::argsort_axis;
use mlx_rs::{Array, linalg, with_stream};

use super::decompose::{finite, narrowed, or_nan};
use super::wide;
use crate::ops::Cx;

/// λ and V. MLX has them ascending.
pub(in crate::ops) fn eigh(x: &Array, results: &[TensorType], cx: &Cx) -> Result<Vec<Array>> {
    let x = wide(x, results[0].dtype)?;
    let factors = with_stream(cx.cpu, || -> Result<_> {
        let (finite, x) = finite(&x)?;
        let (values, vectors) = linalg::eigh(&x, None)?;
        let order = argsort_axis(values.abs()?.negative()?, -1)?;
        let values = values.take_along_axis(&order, -1)?;
        let vectors = vectors.take_along_axis(order.expand_dims(-2)?, -1)?;
        let values = or_nan(&finite.squeeze_axes(&[-1])?, &values)?;
        Ok([values, or_nan(&finite, &vectors)?])
    })?;
    narrowed(factors, results)
}
