//! Calls of cumulative reductions.

use emily_spec::{Cumulative, DType, Op, Row, Scan, Shape};
use proptest::prelude::*;

use super::values::{dim, dtype_of};
use super::{Specimen, specimen};

pub(super) fn cumulative(row: &'static Row, op: Cumulative) -> BoxedStrategy<Specimen> {
    let shape = proptest::collection::vec(dim(), 1..=3).prop_map(Shape::new);
    let of = move |(shape, dtype, reverse): (Shape, DType, bool)| {
        let axis = 0..shape.rank();
        let op = axis.prop_map(move |axis| Op::Cumulative(op, Scan { axis, reverse }));
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape, dtype_of(row), any::<bool>())
        .prop_flat_map(of)
        .boxed()
}
