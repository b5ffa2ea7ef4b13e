//! Attention, out of matrix products.
//!
//! MLX's own has a scale of `f32`, also for `f64`, and on the CPU multiplies `f16` and `bf16` in their
//! few digits.

use emily_spec::{
    AttentionOperands, Error, ErrorKind, ScaledDotProductAttention, Softmax, TensorType,
};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::{broadcast_to, concatenate, select, tri, zeros_dtype};

use super::softmax;
use crate::mlx::{clone_array, dtype_of, integer, real, refusal, shape_of, slice_axis, to_mlx};
use crate::ops::cast::cast;
use crate::ops::float::widened;
use crate::ops::{Cx, dims, fits, length};

/// What each query takes of the values.
pub(in crate::ops) fn attention(
    op: &ScaledDotProductAttention,
    inputs: &[Array],
    ty: &TensorType,
    cx: &Cx,
) -> Result<Array> {
    let Some(AttentionOperands { data, mask, sinks }) = op.operands(inputs) else {
        return Err(refusal(Error::new(
            ErrorKind::Internal,
            "attention has no such operands",
        )));
    };
    if ty.shape.contains(&0) || data[1].dim(2) == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let wide = |x: &Array| widened(&cast(x, ty.dtype)?);
    let (query, key, value) = (wide(data[0])?, wide(data[1])?, wide(data[2])?);
    let (batch, heads, queries, features) =
        (query.dim(0), query.dim(1), query.dim(2), query.dim(3));
    let (shared, keys) = (key.dim(1), key.dim(2));
    // The queries of the heads that share one of keys are rows of one matrix.
    let rows = length((heads / shared) as usize * queries as usize)?;

    fits(&[batch, heads, queries, keys], query.item_size(), cx)?;
    let scale = op.factor(features as usize).unwrap_or(f64::NAN);
    let scaled = query
        .multiply(real(dtype_of(&query), scale))?
        .reshape(&[batch, shared, rows, features])?;
    let scores = scaled
        .matmul(key.swap_axes(-1, -2)?)?
        .reshape(&[batch, heads, queries, keys])?;
    let mut scores = masked(op, &scores, mask)?;
    if let Some(sinks) = sinks {
        let sinks = cast(sinks, dtype_of(&scores))?.reshape(&[1, heads, 1, 1])?;
        let column = broadcast_to(&sinks, &[batch, heads, queries, 1])?;
        scores = concatenate(&[scores, column], 3)?;
    }
    let along_keys = Softmax { axes: [3].into() };
    let all = TensorType::new(dtype_of(&scores), shape_of(&scores));
    let weights = softmax(&along_keys, &scores, &all, cx)?;
    let weights = slice_axis(&weights, 3, 0..keys)?.reshape(&[batch, shared, rows, keys])?;
    weights
        .matmul(&value)?
        .reshape(&dims(&ty.shape))?
        .as_dtype(to_mlx(ty.dtype))
}

/// Scores, −∞ where a key is masked.
fn masked(op: &ScaledDotProductAttention, scores: &Array, mask: Option<&Array>) -> Result<Array> {
    let dtype = dtype_of(scores);
    let unseen = real(dtype, f64::NEG_INFINITY);
    let masked = match mask {
        None => clone_array(scores),
        Some(mask) if dtype_of(mask).is_integer() => {
            let chosen = mask.ne(integer(dtype_of(mask), 0))?;
            select(chosen, scores, &unseen)?
        }
        Some(mask) => scores.add(cast(mask, dtype)?)?,
    };
    if !op.causal {
        return Ok(masked);
    }
    let (queries, keys) = (scores.dim(2), scores.dim(3));
    let seen = tri::<bool>(queries, Some(keys), Some(keys - queries))?;
    select(&seen, &masked, &unseen)
}
