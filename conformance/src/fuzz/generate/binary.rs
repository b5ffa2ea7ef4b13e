//! Calls on two operands, element by element.

use emily_spec::{Arithmetic, Compare, DType, Op, Row, Shape, Typed};
use proptest::prelude::*;

use super::values::{dtype_of, rarely_a_dtype, shape, stretched};
use super::{Specimen, specimen};

pub(super) fn arithmetic(row: &'static Row, op: Arithmetic) -> BoxedStrategy<Specimen> {
    let dtype = rarely_a_dtype();
    calls(
        row,
        dtype
            .prop_map(move |dtype| Op::Arithmetic(op, Typed { dtype }))
            .boxed(),
    )
}

pub(super) fn compare(row: &'static Row, op: Compare) -> BoxedStrategy<Specimen> {
    calls(row, Just(op.into()).boxed())
}

fn calls(row: &'static Row, op: BoxedStrategy<Op>) -> BoxedStrategy<Specimen> {
    let shapes = shape(3).prop_flat_map(|whole| (stretched(&whole), stretched(&whole)));
    let dtypes = prop_oneof![
        3 => dtype_of(row).prop_map(|dtype| (dtype, dtype)),
        1 => (dtype_of(row), dtype_of(row)),
    ];
    let of = move |((left, right), (a, b)): ((Shape, Shape), (DType, DType))| {
        specimen(row, op.clone(), vec![(a, left), (b, right)])
    };
    (shapes, dtypes).prop_flat_map(of).boxed()
}
