//! Calls that order.

use emily_spec::{Argsort, DType, Direction, Op, Row, Shape, Sort, TopK};
use proptest::prelude::*;
use proptest::sample::select;

use super::values::{dtype_of, filled_shape, rarely_an_integer, shape};
use super::{Specimen, specimen};

pub(super) fn argsort(row: &'static Row) -> BoxedStrategy<Specimen> {
    let direction = select(vec![Direction::Asc, Direction::Desc]);
    let of = move |(shape, dtype, direction): (Shape, DType, Direction)| {
        let op = (0..shape.rank().max(1), rarely_an_integer()).prop_map(move |(axis, dtype)| {
            Op::Argsort(Argsort {
                axis,
                direction,
                dtype,
            })
        });
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(3), dtype_of(row), direction)
        .prop_flat_map(of)
        .boxed()
}

pub(super) fn sort(row: &'static Row) -> BoxedStrategy<Specimen> {
    let direction = select(vec![Direction::Asc, Direction::Desc]);
    let of = move |(shape, dtype, direction): (Shape, DType, Direction)| {
        let axis = 0..shape.rank().max(1);
        let op = axis.prop_map(move |axis| Op::Sort(Sort { axis, direction }));
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(3), dtype_of(row), direction)
        .prop_flat_map(of)
        .boxed()
}

pub(super) fn top_k(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |(shape, dtype): (Shape, DType)| {
        let k = 1..=shape.last().copied().unwrap_or(1);
        let op = k.prop_map(|k| Op::TopK(TopK { k }));
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (filled_shape(3), dtype_of(row)).prop_flat_map(of).boxed()
}
