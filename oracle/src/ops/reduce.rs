//! Reductions.

use std::cmp::Ordering;

use emily_spec::{ArgReduce, ArgReduction, Reduce, Reduction, Result, TieBreak};
use ndarray::{Array2, ArrayView1};

use super::accumulate;
use super::sort::order;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;
use crate::{Magnitude, Of};

/// One element per row, a row being the elements along the reduced axes.
pub(crate) fn reduce(
    op: Reduce,
    attrs: &Reduction,
    input: &WideArray,
    target: Target,
) -> Result<WideAnswer> {
    let all: Vec<_> = (0..input.ndim()).collect();
    let rows = array::rows(input, attrs.axes.as_deref().unwrap_or(&all))?;
    let alone = attrs.reduces_nothing();
    match op {
        Reduce::Sum => sum(&rows, alone, target),
    }
}

/// The terms are cast to the result's dtype before they are added to 0; what stands alone is not
/// added to anything.
fn sum(rows: &Array2<Wide>, alone: bool, target: Target) -> Result<WideAnswer> {
    let (values, sizes): (_, Vec<f64>) = rows
        .rows()
        .into_iter()
        .map(|row| {
            let total = accumulate::sum(target.class(), row.iter().map(|&x| target.cast(x)));
            let value = match alone {
                true => target.cast(row[0]),
                false => total.value,
            };
            (value, total.magnitude)
        })
        .unzip();
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values)?,
        // Adding floats is exact below the normal range, so nothing is lost there.
        magnitude: (!target.dtype().is_integer()).then(|| Magnitude {
            of: Of::Terms,
            worst: sizes.clone(),
            sizes,
            random: 1.0,
        }),
    })
}

/// Along the axis, or over the flattened tensor. NaN is the largest; zeros are equal.
pub(crate) fn arg_reduce(
    op: ArgReduce,
    attrs: &ArgReduction,
    input: &WideArray,
    target: Target,
) -> Result<WideArray> {
    let choose = match op {
        ArgReduce::Argmax => largest,
    };
    let axes = match attrs.axis {
        Some(axis) => vec![axis],
        None => (0..input.ndim()).collect(),
    };
    let rows = array::rows(input, &axes)?;
    let best = rows
        .rows()
        .into_iter()
        .map(|row| Wide::Int(choose(row, attrs.tie_break) as i128))
        .collect();
    array::from_vec(&target.ty.shape, best)
}

/// The index of the largest element of a row that has one.
fn largest(row: ArrayView1<Wide>, tie_break: TieBreak) -> usize {
    let mut best = 0;
    for (i, &x) in row.iter().enumerate() {
        let wins = match (order(x, row[best]), tie_break) {
            (Ordering::Greater, _) | (Ordering::Equal, TieBreak::High) => true,
            (Ordering::Equal, TieBreak::Low) | (Ordering::Less, _) => false,
        };
        if wins {
            best = i;
        }
    }
    best
}
