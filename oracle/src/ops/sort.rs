//! Orders.

use std::cmp::Ordering;

use emily_spec::{Argsort, Direction, Sort};
use ndarray::{ArrayD, ArrayView1, Axis, Zip};

use crate::array::WideArray;
use crate::value::Wide;

pub(crate) fn argsort(op: &Argsort, input: &WideArray) -> WideArray {
    let mut result = ArrayD::from_elem(input.raw_dim(), Wide::Int(0));
    if input.ndim() == 0 {
        return result;
    }
    Zip::from(input.lanes(Axis(op.axis)))
        .and(result.lanes_mut(Axis(op.axis)))
        .for_each(|values, mut indices| {
            let sorted = sorted(values, op.direction).into_iter();
            for (index, i) in indices.iter_mut().zip(sorted) {
                *index = Wide::Int(i as i128);
            }
        });
    result
}

pub(crate) fn sort(op: &Sort, input: &WideArray) -> WideArray {
    let mut result = input.clone();
    if input.ndim() == 0 {
        return result;
    }
    Zip::from(input.lanes(Axis(op.axis)))
        .and(result.lanes_mut(Axis(op.axis)))
        .for_each(|values, mut places| {
            let sorted = sorted(values, op.direction).into_iter();
            for (place, i) in places.iter_mut().zip(sorted) {
                *place = values[i];
            }
        });
    result
}

/// The indices in order. Stable in both directions: equal elements keep theirs.
fn sorted(values: ArrayView1<Wide>, direction: Direction) -> Vec<usize> {
    let mut sorted: Vec<_> = (0..values.len()).collect();
    sorted.sort_by(|&i, &j| match direction {
        Direction::Asc => order(values[i], values[j]),
        Direction::Desc => order(values[j], values[i]),
    });
    sorted
}

/// The order of real elements of one dtype: the zeros are equal, NaNs too and above everything.
pub(super) fn order(a: Wide, b: Wide) -> Ordering {
    match (a, b) {
        (Wide::Int(a), Wide::Int(b)) => a.cmp(&b),
        // Inference refuses complex operands.
        _ => {
            let (a, b) = (a.float(), b.float());
            a.partial_cmp(&b)
                .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
    }
}
