//! Sums of products by labels, index by index.

use std::collections::BTreeMap;

use emily_spec::{Class, Einsum, Result};
use ndarray::Dimension;
use num_complex::Complex;

use crate::array::WideArray;
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::ops::accumulate::{self, Inner};
use crate::value::Wide;

/// For each index of the result, the sum over all indices of the other labels.
pub(crate) fn einsum(op: &Einsum, inputs: &[WideArray], target: Target) -> Result<WideAnswer> {
    let operands = op.operands(inputs.iter().map(WideArray::ndim));
    let inputs: Vec<WideArray> = inputs
        .iter()
        .map(|input| input.mapv(|x| target.cast(x)))
        .collect();
    let mut sizes = BTreeMap::new();
    for (labels, input) in operands.iter().zip(&inputs) {
        sizes.extend(labels.iter().copied().zip(input.shape().iter().copied()));
    }
    let summed: Vec<usize> = sizes
        .keys()
        .copied()
        .filter(|label| !op.result.contains(label))
        .collect();
    let of_summed: Vec<usize> = summed.iter().map(|label| sizes[label]).collect();

    let tiny = Format::of(target.dtype()).map_or(0.0, Format::tiny);
    let mut elements = Vec::new();
    for place in ndarray::indices(target.ty.shape.dims()) {
        let mut index: BTreeMap<usize, usize> = BTreeMap::new();
        index.extend(op.result.iter().copied().zip(place.slice().iter().copied()));
        let mut terms = Vec::new();
        for others in ndarray::indices(&of_summed[..]) {
            index.extend(summed.iter().copied().zip(others.slice().iter().copied()));
            let factors = operands.iter().zip(&inputs).map(|(labels, input)| {
                let at: Vec<usize> = labels.iter().map(|label| index[label]).collect();
                input[&at[..]]
            });
            terms.push(term(target.class(), factors));
        }
        // Of one operand there is nothing to multiply, not even by 0 · i.
        let total = match inputs[..] {
            [_] => accumulate::sum(target.class(), terms.iter().map(|(a, _)| *a)),
            _ => accumulate::dot(target.class(), terms.iter().copied()),
        };
        let sizes = terms
            .iter()
            .map(|(a, b)| a.complex().norm() * b.complex().norm());
        let vanishing = sizes.clone().any(|size| size < tiny && size > 0.0);
        let value = match terms[..] {
            // A lone one is not added to 0, and keeps its sign.
            [(a, _)] if summed.is_empty() && inputs.len() == 1 => a,
            [(a, b)] if summed.is_empty() => product(target.class(), a, b),
            _ => total.value,
        };
        elements.push(Inner {
            value,
            size: sizes.sum(),
            lost: if vanishing { tiny } else { 0.0 },
            // That of any zero is, by the row.
            open_zeros: [false; 2],
        });
    }
    // A rounding for each factor and for each term, in whatever order they are multiplied and added.
    let count = of_summed.iter().product::<usize>() + inputs.len();
    accumulate::inner_products(target, count, elements.into_iter())
}

/// A product of all factors, as that of all but the last with the last.
fn term(class: Class, factors: impl Iterator<Item = Wide>) -> (Wide, Wide) {
    let one = match class {
        Class::Unsigned | Class::Signed => Wide::Int(1),
        Class::Float => Wide::Float(1.0),
        Class::Complex => Wide::Complex(Complex::new(1.0, 0.0)),
    };
    let factors: Vec<Wide> = factors.collect();
    match factors.split_last() {
        None => (one, one),
        Some((last, [])) => (*last, one),
        Some((last, [first, others @ ..])) => {
            let most = others.iter().fold(*first, |a, b| product(class, a, *b));
            (most, *last)
        }
    }
}

fn product(class: Class, a: Wide, b: Wide) -> Wide {
    match class {
        Class::Unsigned | Class::Signed => Wide::Int(a.int().wrapping_mul(b.int())),
        Class::Float => Wide::Float(a.float() * b.float()),
        Class::Complex => Wide::Complex(a.complex() * b.complex()),
    }
}
