//! Reductions.

use std::cmp::Ordering;

use emily_spec::{
    ArgReduce, ArgReduction, Axes, Class, DType, Quantifier, Reduce, Reduction, Result, TieBreak,
};
use ndarray::{Array2, ArrayView1};

use super::accumulate;
use super::sort::order;
use super::unary::moduli;
use crate::Magnitude;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::value::Wide;

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
        Reduce::Product => product(&rows, target),
        Reduce::ReduceMax => extremum(&rows, target, Ordering::Greater).map(WideAnswer::from),
        Reduce::ReduceMin => extremum(&rows, target, Ordering::Less).map(WideAnswer::from),
    }
}

/// The factors are cast to the result's dtype first.
fn product(rows: &Array2<Wide>, target: Target) -> Result<WideAnswer> {
    let cast = |row: ArrayView1<Wide>| row.iter().map(|&x| target.cast(x)).collect();
    let rows: Vec<Vec<Wide>> = rows.rows().into_iter().map(cast).collect();
    products(rows.iter().map(Vec::as_slice), target)
}

/// The product of each list of factors; of none it is 1.
pub(super) fn products<'a>(
    lists: impl Iterator<Item = &'a [Wide]>,
    target: Target,
) -> Result<WideAnswer> {
    let times = |a: Wide, b: Wide| match target.class() {
        Class::Unsigned | Class::Signed => Wide::Int(a.int().wrapping_mul(b.int())),
        Class::Float => Wide::Float(a.float() * b.float()),
        Class::Complex => Wide::Complex(a.complex() * b.complex()),
    };
    let one = target.cast(Wide::Int(1));
    let of = |factors: &[Wide]| factors.iter().copied().reduce(times).unwrap_or(one);
    let (values, counts): (Vec<Wide>, Vec<usize>) =
        lists.map(|factors| (of(factors), factors.len())).unzip();
    let magnitude = Format::of(target.dtype()).map(|format| {
        let counts = counts.iter();
        let roundings = counts.map(|&count| roundings(target.dtype(), count));
        moduli(&values, roundings, format)
    });
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values)?,
        magnitude,
    })
}

/// How many units a product of n factors may be off: half a one for each of its n − 1 roundings, √5 of
/// those in a complex product (Brent, Percival and Zimmermann, *Error bounds on complex
/// floating-point multiplication*), and half a one of the reference's own. The small floats multiply
/// in `f32`, of whose roundings they see a thousandth, and are rounded once.
fn roundings(dtype: DType, factors: usize) -> f64 {
    let n = factors as f64;
    match dtype.class() {
        Class::Float if dtype.size() == 2 => 1.0 + n / 2.0 * 2f64.powi(-13),
        Class::Complex => 0.5 + n * 5f64.sqrt() / 2.0,
        Class::Float | Class::Unsigned | Class::Signed => 0.5 + n / 2.0,
    }
}

/// The first of the elements that are beyond all others; NaN is beyond everything.
fn extremum(rows: &Array2<Wide>, target: Target, beyond: Ordering) -> Result<WideArray> {
    let of = |row: ArrayView1<Wide>| {
        let cast: Vec<Wide> = row.iter().map(|&x| target.cast(x)).collect();
        cast[chosen(&cast, beyond, TieBreak::Low)]
    };
    let values = rows.rows().into_iter().map(of).collect();
    array::from_vec(&target.ty.shape, values)
}

/// NaN is no zero. All of nothing are other than zero, and none of it is.
pub(crate) fn quantify(
    op: Quantifier,
    attrs: &Axes,
    input: &WideArray,
    target: Target,
) -> Result<WideArray> {
    let all: Vec<_> = (0..input.ndim()).collect();
    let rows = array::rows(input, attrs.axes.as_deref().unwrap_or(&all))?;
    let holds = |row: ArrayView1<Wide>| match op {
        Quantifier::All => row.iter().all(|x| !x.is_zero()),
        Quantifier::Any => row.iter().any(|x| !x.is_zero()),
    };
    let values = rows
        .rows()
        .into_iter()
        .map(|row| Wide::Int(holds(row).into()));
    array::from_vec(&target.ty.shape, values.collect())
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
        magnitude: (!target.dtype().is_integer())
            .then(|| Magnitude::of_terms(target.dtype(), sizes, |size| size)),
    })
}

/// Along the axis, or over the flattened tensor. NaN is chosen before all others; zeros are equal.
pub(crate) fn arg_reduce(
    op: ArgReduce,
    attrs: &ArgReduction,
    input: &WideArray,
    target: Target,
) -> Result<WideArray> {
    let beyond = match op {
        ArgReduce::Argmax => Ordering::Greater,
        ArgReduce::Argmin => Ordering::Less,
    };
    let axes = match attrs.axis {
        Some(axis) => vec![axis],
        None => (0..input.ndim()).collect(),
    };
    let rows = array::rows(input, &axes)?;
    let best = rows
        .rows()
        .into_iter()
        .map(|row| Wide::Int(chosen(&row.to_vec(), beyond, attrs.tie_break) as i128))
        .collect();
    array::from_vec(&target.ty.shape, best)
}

/// The index of the element of a row, which has one, that is beyond all others, as NaN is.
pub(super) fn chosen(row: &[Wide], beyond: Ordering, tie_break: TieBreak) -> usize {
    let is_nan = |x: Wide| matches!(x, Wide::Float(x) if x.is_nan());
    let mut best = 0;
    for (i, &x) in row.iter().enumerate() {
        let order = match (is_nan(x), is_nan(row[best])) {
            (true, false) => beyond,
            (false, true) => beyond.reverse(),
            (true, true) | (false, false) => order(x, row[best]),
        };
        if order == beyond || (order.is_eq() && tie_break == TieBreak::High) {
            best = i;
        }
    }
    best
}
