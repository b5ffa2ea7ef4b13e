//! Calls of what neural networks are made of.

use emily_spec::{DType, Epsilon, Logsumexp, Norm, Op, Row, Scalar, Shape, Softmax};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::values::{dim, dtype_of, shape};
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

/// Not without eps: of equal elements the variance is rounding alone.
pub(super) fn norm(row: &'static Row, op: Norm) -> BoxedStrategy<Specimen> {
    let eps = proptest::option::of(select(vec![1e-3, 0.5, 4.0]));
    let op = eps.prop_map(move |eps| {
        let eps = eps.map(Scalar::Float);
        Op::Norm(op, Epsilon { eps })
    });
    let operands = row.operands.len();
    let dtypes = proptest::collection::vec(dtype_of(row), operands);
    let of = move |(rows, length, dtypes, alike): (Shape, usize, Vec<DType>, bool)| {
        let vector = Shape::from([length]);
        let tensor = Shape::new([rows.dims(), &[length]].concat());
        let types = dtypes.iter().enumerate().map(|(at, &dtype)| {
            let dtype = if alike { dtypes[0] } else { dtype };
            (
                dtype,
                if at == 0 {
                    tensor.clone()
                } else {
                    vector.clone()
                },
            )
        });
        specimen(row, op.clone().boxed(), types.collect())
    };
    let alike = proptest::bool::weighted(0.7);
    (shape(2), dim(), dtypes, alike).prop_flat_map(of).boxed()
}
