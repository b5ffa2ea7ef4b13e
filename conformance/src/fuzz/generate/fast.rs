//! Calls of what neural networks are made of.

use emily_spec::{DType, Logsumexp, Op, Row, Shape, Softmax};
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::values::{dtype_of, shape};
use super::{Specimen, specimen};

pub(super) fn softmax(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |(shape, dtype): (Shape, DType)| {
        let axes = subsequence((0..shape.rank()).collect::<Vec<_>>(), 0..=shape.rank());
        let op = axes.prop_map(|axes| Op::Softmax(Softmax { axes: axes.into() }));
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(3), dtype_of(row)).prop_flat_map(of).boxed()
}

pub(super) fn logsumexp(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |(shape, dtype, keep_axes): (Shape, DType, bool)| {
        let all: Vec<usize> = (0..shape.rank()).collect();
        let axes = proptest::option::of(subsequence(all, 0..=shape.rank()));
        let op = axes.prop_map(move |axes| {
            let axes = axes.map(Into::into);
            Op::Logsumexp(Logsumexp { axes, keep_axes })
        });
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(3), dtype_of(row), any::<bool>())
        .prop_flat_map(of)
        .boxed()
}
