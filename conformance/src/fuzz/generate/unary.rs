//! Calls on one operand, element by element.

use emily_spec::{AsType, Bitcast, DType, Op, Row, Shape};
use proptest::prelude::*;

use super::values::{any_dtype, dtype_of, shape};
use super::{Specimen, specimen};

/// Calls of one of these ops.
pub(super) fn calls(row: &'static Row, op: BoxedStrategy<Op>) -> BoxedStrategy<Specimen> {
    let types = (shape(3), dtype_of(row));
    types
        .prop_flat_map(move |(shape, dtype)| specimen(row, op.clone(), vec![(dtype, shape)]))
        .boxed()
}

pub(super) fn as_type(row: &'static Row) -> BoxedStrategy<Specimen> {
    let op = any_dtype().prop_map(|dtype| Op::AsType(AsType { dtype }));
    calls(row, op.boxed())
}

pub(super) fn bitcast(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |(shape, from, to): (Shape, DType, DType)| {
        let op = Op::Bitcast(Bitcast { dtype: to });
        specimen(row, Just(op).boxed(), vec![(from, shape)])
    };
    let alike = |(_, from, to): &(Shape, DType, DType)| from.size() == to.size();
    (shape(3), dtype_of(row), dtype_of(row))
        .prop_filter("as wide as each other", alike)
        .prop_flat_map(of)
        .boxed()
}
