//! Calls that move elements.

use emily_spec::{Broadcast, Concatenate, DType, Op, Row, Select, Shape, Transpose};
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::values::{any_dtype, dim, dtype_of, rarely_a_dtype, shape, stretched};
use super::{Specimen, specimen};

pub(super) fn transpose(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |(shape, dtype): (Shape, DType)| {
        let axes: Vec<usize> = (0..shape.rank()).collect();
        let op = Just(axes)
            .prop_shuffle()
            .prop_map(|axes| Op::Transpose(Transpose { axes: axes.into() }));
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(4), dtype_of(row)).prop_flat_map(of).boxed()
}

pub(super) fn broadcast(row: &'static Row) -> BoxedStrategy<Specimen> {
    let trailing = shape(3).prop_flat_map(|whole| {
        let op = Op::Broadcast(Broadcast {
            shape: whole.clone(),
            axes: None,
        });
        (stretched(&whole), Just(op))
    });
    let explicit = shape(3).prop_flat_map(|whole| {
        let all: Vec<usize> = (0..whole.rank()).collect();
        let kept = subsequence(all, 0..=whole.rank());
        let ones = proptest::collection::vec(any::<bool>(), whole.rank());
        (kept, ones).prop_map(move |(axes, ones)| {
            let dims: Vec<usize> = axes
                .iter()
                .map(|&axis| if ones[axis] { 1 } else { whole[axis] })
                .collect();
            (
                Shape::new(dims),
                Op::Broadcast(Broadcast {
                    shape: whole.clone(),
                    axes: Some(axes.into()),
                }),
            )
        })
    });
    let of = move |((shape, op), dtype)| specimen(row, Just(op).boxed(), vec![(dtype, shape)]);
    (prop_oneof![trailing, explicit], dtype_of(row))
        .prop_flat_map(of)
        .boxed()
}

pub(super) fn concatenate(row: &'static Row) -> BoxedStrategy<Specimen> {
    let parts = proptest::collection::vec((dim(), dtype_of(row)), 1..4);
    let of = move |(shape, mixed, parts, dtype): (Shape, bool, Vec<(usize, DType)>, _)| {
        (0..shape.rank()).prop_flat_map(move |axis| {
            let first = parts[0].1;
            let inputs = parts.iter().map(|&(dim, own)| {
                let mut dims = shape.to_vec();
                dims[axis] = dim;
                (if mixed { own } else { first }, Shape::new(dims))
            });
            specimen(
                row,
                Just(Op::Concatenate(Concatenate { axis, dtype })).boxed(),
                inputs.collect(),
            )
        })
    };
    let shape = shape(3).prop_map(|shape| {
        if shape.rank() == 0 {
            Shape::from([2])
        } else {
            shape
        }
    });
    (shape, any::<bool>(), parts, rarely_a_dtype())
        .prop_flat_map(of)
        .boxed()
}

pub(super) fn choose(row: &'static Row) -> BoxedStrategy<Specimen> {
    let shapes = shape(3).prop_flat_map(|whole| {
        let pred = prop_oneof![Just(whole.clone()), Just(Shape::scalar())];
        (pred, stretched(&whole), stretched(&whole))
    });
    let pred_dtype = prop_oneof![4 => Just(DType::U8), 1 => any_dtype()];
    let dtypes = (pred_dtype, dtype_of(row), dtype_of(row), any::<bool>());
    let of = move |((p, t, f), (pd, td, fd, mixed), dtype): ((Shape, Shape, Shape), _, _)| {
        let fd = if mixed { fd } else { td };
        specimen(
            row,
            Just(Op::Select(Select { dtype })).boxed(),
            vec![(pd, p), (td, t), (fd, f)],
        )
    };
    (shapes, dtypes, rarely_a_dtype()).prop_flat_map(of).boxed()
}
