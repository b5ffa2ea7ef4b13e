//! Calls of what neural networks are made of.

use emily_spec::{
    DType, Einsum, Epsilon, Logsumexp, Norm, Op, Rope, Row, Scalar, ScaledDotProductAttention,
    Shape, Softmax,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::values::{dim, dtype_of, shape, stretched};
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

pub(super) fn attention(row: &'static Row) -> BoxedStrategy<Specimen> {
    let scale = proptest::option::of(select(vec![0.0, 0.5, -1.0]));
    let op = (scale, any::<bool>(), any::<bool>()).prop_map(|(scale, causal, sinks)| {
        ScaledDotProductAttention {
            scale: scale.map(Scalar::Float),
            causal,
            sinks,
        }
    });
    let heads = (1..3usize, 1..3usize, 1..4usize);
    let sizes = (dim(), dim(), dim(), dim());
    let dtypes = proptest::collection::vec(dtype_of(row), row.operands.len());
    (op, any::<bool>(), heads, sizes, dtypes)
        .prop_flat_map(move |(op, masked, heads, sizes, dtypes)| {
            let (batch, shared, group) = heads;
            let (queries, keys, features, width) = sizes;
            let heads = shared * group;
            let scores = Shape::from([batch, heads, queries, keys]);
            stretched(&scores).prop_flat_map(move |mask| {
                let mut shapes = vec![
                    Shape::from([batch, heads, queries, features]),
                    Shape::from([batch, shared, keys, features]),
                    Shape::from([batch, shared, keys, width]),
                ];
                shapes.extend(masked.then_some(mask));
                shapes.extend(op.sinks.then(|| Shape::from([heads])));
                let types = dtypes.iter().copied().zip(shapes).collect();
                let op = Op::ScaledDotProductAttention(op.clone());
                specimen(row, Just(op).boxed(), types)
            })
        })
        .boxed()
}

pub(super) fn rope(row: &'static Row) -> BoxedStrategy<Specimen> {
    let attrs = (
        any::<bool>(),
        any::<bool>(),
        proptest::option::of(select(vec![2.0, 500.0])),
        proptest::option::of(select(vec![0.0, 0.5, -3.0])),
    );
    let integers = select(vec![DType::S32, DType::S64, DType::U8, DType::U64]);
    let sizes = (shape(2), dim(), 0..5usize, 0..3usize);
    let dtypes = (dtype_of(row), integers, dtype_of(row));
    (attrs, any::<[bool; 2]>(), sizes, dtypes)
        .prop_flat_map(move |(attrs, [each, with_freqs], sizes, dtypes)| {
            let (traditional, part, base, scale) = attrs;
            let (batch, length, pairs, more) = sizes;
            // An odd number of features is rotated in part.
            let dims = (part || more % 2 == 1).then_some(2 * pairs);
            let features = 2 * pairs + more;
            let rotated = dims.unwrap_or(features) / 2;
            let op = Op::Rope(Rope {
                dims,
                traditional,
                base: base.filter(|_| !with_freqs).map(Scalar::Float),
                scale: scale.map(Scalar::Float),
            });
            let tensor = Shape::new([batch.dims(), &[length, features]].concat());
            let offset = match batch.first() {
                Some(&first) if each => Shape::from([first]),
                Some(_) | None => Shape::scalar(),
            };
            let mut types = vec![(dtypes.0, tensor), (dtypes.1, offset)];
            types.extend(with_freqs.then(|| (dtypes.2, Shape::from([rotated]))));
            specimen(row, Just(op).boxed(), types)
        })
        .boxed()
}

/// Up to three operands, whose axes have four labels, in a type each or all in one.
pub(super) fn einsum(row: &'static Row) -> BoxedStrategy<Specimen> {
    let labels = proptest::collection::vec(0..4usize, 0..=3);
    let operands = proptest::collection::vec((labels, dtype_of(row)), 1..=3);
    let sizes = proptest::collection::vec(0..5usize, 4);
    (operands, sizes, any::<bool>())
        .prop_flat_map(move |(operands, sizes, alike)| {
            let labels: Vec<usize> = operands.iter().flat_map(|(own, _)| own.clone()).collect();
            let mut known = labels.clone();
            known.sort_unstable();
            known.dedup();
            let result = subsequence(known.clone(), 0..=known.len()).prop_shuffle();
            let op = result.prop_map(move |result| {
                Op::Einsum(Einsum {
                    labels: labels.clone().into(),
                    result: result.into(),
                })
            });
            let first = operands[0].1;
            let types = operands.iter().map(|(own, dtype)| {
                let dims: Vec<usize> = own.iter().map(|&label| sizes[label]).collect();
                (if alike { first } else { *dtype }, Shape::new(dims))
            });
            specimen(row, op.boxed(), types.collect())
        })
        .boxed()
}
