//! Windows that slide over a tensor.

use std::cmp::Ordering;

use emily_spec::{Result, Scattering, Sliding, TieBreak, Window, WindowScatter};
use ndarray::{ArrayD, Dimension as _, IxDyn};

use super::{accumulate, reduce};
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

/// One element per place of the window. What padding puts in changes nothing, so it is left out.
pub(crate) fn window(
    op: Window,
    attrs: &Sliding,
    input: &WideArray,
    target: Target,
) -> Result<WideAnswer> {
    let under = under_each_place(attrs, input, target);
    match op {
        Window::WindowSum => {
            let sum = |class, terms: &[Wide]| accumulate::sum(class, terms.iter().copied());
            Ok(accumulate::sums(&under, target, sum))
        }
        Window::WindowProduct => reduce::products(under.iter().map(Vec::as_slice), target),
        Window::WindowMax => extrema(&under, target, Ordering::Greater, f64::NEG_INFINITY),
        Window::WindowMin => extrema(&under, target, Ordering::Less, f64::INFINITY),
    }
}

/// Per place, the tensor's elements under the window, row-major.
fn under_each_place(attrs: &Sliding, input: &WideArray, target: Target) -> ArrayD<Vec<Wide>> {
    ArrayD::from_shape_fn(IxDyn(&target.ty.shape), |place| {
        let under = indices_under(attrs, &place).into_iter();
        let elements = under.filter_map(|index| input.get(IxDyn(&index)));
        elements.map(|&x| target.cast(x)).collect()
    })
}

/// The indices under the window at a place, but those before the tensor's first element.
fn indices_under(attrs: &Sliding, place: &IxDyn) -> Vec<Vec<usize>> {
    let at = |axis: usize, within: usize| {
        let index = place[axis] as i128 * attrs.strides[axis] as i128
            + within as i128 * attrs.dilations[axis] as i128
            - i128::from(attrs.low[axis]);
        usize::try_from(index).ok()
    };
    let offsets = ndarray::indices(&*attrs.lengths).into_iter();
    offsets
        .filter_map(|within| {
            (0..within.ndim())
                .map(|axis| at(axis, within[axis]))
                .collect()
        })
        .collect()
}

/// The element that is beyond all others; of none, the number that all are beyond or equal to.
fn extrema(
    under: &ArrayD<Vec<Wide>>,
    target: Target,
    beyond: Ordering,
    least: f64,
) -> Result<WideAnswer> {
    let of = |list: &Vec<Wide>| match list.is_empty() {
        true => Wide::Float(least).cast(target.dtype()),
        false => list[reduce::chosen(list, beyond, TieBreak::Low)],
    };
    array::from_vec(&target.ty.shape, under.iter().map(of).collect()).map(WideAnswer::from)
}

/// The initial value everywhere, to which each place's element of the source is added where the
/// window's last element beyond all others is; what padding puts in is never chosen.
pub(crate) fn scatter(
    op: WindowScatter,
    attrs: &Scattering,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    let (tensor, source, init) = (&inputs[0], &inputs[1], inputs[2][[].as_slice()]);
    let beyond = match op {
        WindowScatter::WindowScatterMax => Ordering::Greater,
        WindowScatter::WindowScatterMin => Ordering::Less,
    };
    let window = attrs.window();
    let mut terms = ArrayD::from_elem(tensor.raw_dim(), vec![target.cast(init)]);
    for (place, &x) in source.indexed_iter() {
        let mut under = indices_under(&window, &place);
        under.retain(|index| tensor.get(IxDyn(index)).is_some());
        let elements: Vec<Wide> = under.iter().map(|index| tensor[IxDyn(index)]).collect();
        if !elements.is_empty() {
            let chosen = &under[reduce::chosen(&elements, beyond, TieBreak::High)];
            terms[IxDyn(chosen)].push(target.cast(x));
        }
    }
    Ok(accumulate::sums(&terms, target, accumulate::sum_from_first))
}
