//! Nearness.

use emily_spec::{AllClose, Error, ErrorKind, Result, Shape, TensorType};
use ndarray::{ArrayD, IxDyn, Zip};

use crate::array::{self, WideArray};
use crate::value::Wide;

/// Two integers are the numbers they are, and only the bound is rounded, as in Nx: of the right one, of its
/// product with `rtol` and of the sum, each to `f64`. Other operands are cast to their merged dtype.
pub(crate) fn all_close(
    op: &AllClose,
    inputs: &[WideArray],
    types: &[TensorType],
) -> Result<WideArray> {
    let [rtol, atol] = op
        .tolerances()
        .ok_or_else(|| Error::new(ErrorKind::Internal, "inference let a complex tolerance in"))?;
    let shape = Shape::new(inputs[0].shape()).broadcast(&Shape::new(inputs[1].shape()))?;
    let dtype = types[0].dtype.merge(types[1].dtype)?;
    let left = array::broadcast(&inputs[0], &shape)?;
    let right = array::broadcast(&inputs[1], &shape)?;
    let close = Zip::from(&left).and(&right).all(|&a, &b| match (a, b) {
        (Wide::Int(a), Wide::Int(b)) => {
            let bound = atol + rtol * b.unsigned_abs() as f64;
            // A negative bound and NaN allow nothing, not even 0.
            bound >= 0.0 && a.abs_diff(b) <= bound.floor() as u128
        }
        _ => near(op, a.cast(dtype), b.cast(dtype), [rtol, atol]),
    });
    Ok(ArrayD::from_elem(IxDyn(&[]), Wide::Int(close.into())))
}

fn near(op: &AllClose, a: Wide, b: Wide, [rtol, atol]: [f64; 2]) -> bool {
    let (a, b) = (a.complex(), b.complex());
    if a.is_nan() && b.is_nan() {
        op.equal_nan
    } else if a.is_infinite() || b.is_infinite() {
        a == b
    } else {
        (a - b).norm() <= atol + rtol * b.norm()
    }
}
