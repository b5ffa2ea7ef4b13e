//! Calls on one operand, element by element.

use emily_spec::{AsType, Op, Row};
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
