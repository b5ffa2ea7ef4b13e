//! Orders.

use std::cmp::Ordering;

use emily_spec::{Argsort, Direction, Sort, TopK};
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

/// The first of what sorting downwards gives, and their indices.
pub(crate) fn top_k(op: &TopK, input: &WideArray) -> [WideArray; 2] {
    let axis = Axis(input.ndim() - 1);
    let mut dims = input.raw_dim();
    dims[axis.index()] = op.k;
    let mut values = ArrayD::from_elem(dims.clone(), Wide::Int(0));
    let mut indices = ArrayD::from_elem(dims, Wide::Int(0));
    Zip::from(input.lanes(axis))
        .and(values.lanes_mut(axis))
        .and(indices.lanes_mut(axis))
        .for_each(|lane, mut values, mut indices| {
            let sorted = sorted(lane, Direction::Desc);
            for (place, i) in sorted.into_iter().take(op.k).enumerate() {
                values[place] = lane[i];
                indices[place] = Wide::Int(i as i128);
            }
        });
    [values, indices]
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
