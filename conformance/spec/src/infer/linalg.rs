//! Products and decompositions.

use super::merged;
use crate::{DType, Error, ErrorKind, QrMode, Result, Row, TensorType};

pub(super) fn dot(
    inputs: &[TensorType],
    contract: [&[usize]; 2],
    batch: [&[usize]; 2],
    dtype: Option<DType>,
) -> Result<Vec<TensorType>> {
    let shapes = [&inputs[0].shape, &inputs[1].shape];
    for side in 0..2 {
        let named = [batch[side], contract[side]].concat();
        shapes[side].check_axes(&named)?;
        if !batch[side].iter().copied().eq(0..batch[side].len()) {
            return Err(Error::new(
                ErrorKind::Argument,
                format!(
                    "batch axes {:?} must be the leading axes in order; transpose first",
                    batch[side]
                ),
            ));
        }
    }
    for (name, [left, right]) in [("contracted", contract), ("batch", batch)] {
        if left.len() != right.len() {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("{name} axes {left:?} and {right:?} do not pair up"),
            ));
        }
        for (&l, &r) in left.iter().zip(right) {
            if shapes[0][l] != shapes[1][r] {
                return Err(Error::new(
                    ErrorKind::Shape,
                    format!(
                        "{name} axes differ in size: axis {l} of {} and axis {r} of {}",
                        shapes[0], shapes[1]
                    ),
                ));
            }
        }
    }
    let mut dims: Vec<usize> = batch[0].iter().map(|&axis| shapes[0][axis]).collect();
    for side in 0..2 {
        let named = [batch[side], contract[side]].concat();
        dims.extend(shapes[side].reduce(&named, false).iter());
    }
    Ok(vec![TensorType::new(merged(inputs, dtype)?, dims)])
}

pub(super) fn qr(row: &Row, input: &TensorType, mode: QrMode) -> Result<Vec<TensorType>> {
    row.check_dtype(input.dtype)?;
    let Some((batch, &[m, n])) = input.shape.split_last_chunk::<2>() else {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("a matrix needs two axes, got {}", input.shape),
        ));
    };
    if m == 0 || n == 0 {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("no decomposition of an empty matrix {}", input.shape),
        ));
    }
    let k = match mode {
        QrMode::Reduced => m.min(n),
        QrMode::Complete => m,
    };
    let dtype = input.dtype.to_floating();
    let factor = |rows, columns| TensorType::new(dtype, [batch, &[rows, columns]].concat());
    Ok(vec![factor(m, k), factor(k, n)])
}
