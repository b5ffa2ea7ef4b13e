//! Products of matrices that are picked by index.

use crate::cost::{count, largest, limbs};
use crate::grad::SMOOTH;
use crate::op::{Attributes, ops};
use crate::row::{check_integer, row};
use crate::tolerance::sum_tolerance;
use crate::{
    Arity, Cost, DType, Error, ErrorKind, Family, Judged, Price, Range, Result, ResultDType, Role,
    Row, Shape, TensorType,
};

ops! {
    /// The products of matrices picked by index, as a mixture of experts takes them: for each pair of
    /// indices, which are broadcast, that matrix of a times that one of b. The indices count the matrices of
    /// an operand, whatever its leading axes, in row-major order. An index out of range is an index error.
    /// Integers are exact; small floats are accumulated in `f32`.
    pub struct GatherMm = Row {
        name: "gather_mm",
        operands: &["a", "b", "lhs_indices", "rhs_indices"],
        roles: &[Role::Data, Role::Data, Role::Index],
        arity: Arity::Exactly(4),
        result: ResultDType::Merged,
        judged: Judged::Values(sum_tolerance),
        range: Range::Sums,
        grad: Some(SMOOTH),
        price: Price::each(2),
        ..row(Family::Linalg)
    }; {
    }
}

impl Attributes for GatherMm {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let ([m, k], [inner, n]) = (matrix(&inputs[0])?, matrix(&inputs[1])?);
        if k != inner {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "a {} has rows of {k} elements, and b {} columns of {inner}",
                    inputs[0].shape, inputs[1].shape
                ),
            ));
        }
        let picked = picked(&inputs[2], &inputs[3])?;
        let dtype = row.result_dtype(&inputs[..2], None)?;
        let dims = [&picked[..], &[m, n]].concat();
        Ok(vec![TensorType::new(dtype, dims)])
    }

    /// Operands are copied where their dtype is not what is computed in, and of
    /// other dtypes than MLX's kernel takes the matrices that are picked.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        let ([m, k], [_, n]) = (matrix(&inputs[0])?, matrix(&inputs[1])?);
        let products = picked(&inputs[2], &inputs[3])?.size()?;
        let dtype = results[0].dtype;
        let pairs = if dtype == DType::F32 || dtype.is_small_float() {
            0
        } else {
            count([products, m, k]).saturating_add(count([products, k, n]))
        };
        let whole = (inputs[0].shape.size()? as u64).saturating_add(inputs[1].shape.size()? as u64);
        let width = dtype.size().max(4) as u64;
        let copies = pairs.saturating_add(whole).saturating_mul(2 * width);
        let limbs = limbs(dtype, pairs, largest(results)?);
        Ok(Cost {
            temporaries: cost
                .temporaries
                .saturating_add(copies)
                .saturating_add(limbs),
        })
    }
}

/// The rows and columns of matrices.
fn matrix(input: &TensorType) -> Result<[usize; 2]> {
    match input.shape.split_last_chunk::<2>() {
        Some((_, &own)) => Ok(own),
        None => Err(Error::new(
            ErrorKind::Shape,
            format!("a matrix needs two axes or more, got {}", input.shape),
        )),
    }
}

/// The shape of pairs of indices.
pub(in crate::op) fn picked(lhs: &TensorType, rhs: &TensorType) -> Result<Shape> {
    check_integer(lhs.dtype, "an index")?;
    check_integer(rhs.dtype, "an index")?;
    lhs.shape.broadcast(&rhs.shape)
}
