//! What has come together up to each element.

use std::cmp::Ordering;

use emily_spec::{Cumulative, Result, Scan, TieBreak};
use ndarray::{ArrayD, Axis};

use super::{accumulate, reduce};
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

/// Each element's reduction with all those before it.
pub(crate) fn cumulative(
    op: Cumulative,
    attrs: &Scan,
    input: &WideArray,
    target: Target,
) -> Result<WideAnswer> {
    let up_to = up_to_each(attrs, input, target);
    match op {
        Cumulative::CumulativeSum => {
            Ok(accumulate::sums(&up_to, target, accumulate::sum_from_first))
        }
        Cumulative::CumulativeProduct => reduce::products(up_to.iter().map(Vec::as_slice), target),
        Cumulative::CumulativeMax => extrema(&up_to, target, Ordering::Greater),
        Cumulative::CumulativeMin => extrema(&up_to, target, Ordering::Less),
    }
}

/// Per element, the elements from the end that the scan begins at up to itself.
fn up_to_each(attrs: &Scan, input: &WideArray, target: Target) -> ArrayD<Vec<Wide>> {
    let mut lists = ArrayD::from_elem(input.raw_dim(), Vec::new());
    let axis = Axis(attrs.axis);
    for (lane, mut lists) in input.lanes(axis).into_iter().zip(lists.lanes_mut(axis)) {
        let mut list = Vec::new();
        let forwards = 0..lane.len();
        let order: Vec<usize> = match attrs.reverse {
            true => forwards.rev().collect(),
            false => forwards.collect(),
        };
        for i in order {
            list.push(target.cast(lane[i]));
            lists[i] = list.clone();
        }
    }
    lists
}

fn extrema(up_to: &ArrayD<Vec<Wide>>, target: Target, beyond: Ordering) -> Result<WideAnswer> {
    let of = |list: &Vec<Wide>| list[reduce::chosen(list, beyond, TieBreak::Low)];
    array::from_vec(&target.ty.shape, up_to.iter().map(of).collect()).map(WideAnswer::from)
}
