//! Calls without operands.

use emily_spec::{Constant, Eye, Iota, Op, Scalar, Shape};
use proptest::prelude::*;

use super::values::{any_dtype, dim, maybe_axis, shape};
use super::{Specimen, nullary};

pub(super) fn iota() -> BoxedStrategy<Specimen> {
    let op = (any_dtype(), shape(3)).prop_flat_map(|(dtype, shape)| {
        maybe_axis(&shape).prop_map(move |axis| {
            Op::Iota(Iota {
                dtype,
                shape: shape.clone(),
                axis,
            })
        })
    });
    op.prop_map(nullary).boxed()
}

pub(super) fn eye() -> BoxedStrategy<Specimen> {
    let shape = (shape(1), dim(), dim());
    let op = (any_dtype(), shape).prop_map(|(dtype, (batch, rows, columns))| {
        let shape = Shape::new([&batch[..], &[rows, columns]].concat());
        Op::Eye(Eye { dtype, shape })
    });
    op.prop_map(nullary).boxed()
}

pub(super) fn constant() -> BoxedStrategy<Specimen> {
    let value = prop_oneof![
        3 => (-300..300i64).prop_map(|value| Scalar::Int(value.into())),
        1 => any::<i64>().prop_map(|value| Scalar::Int(value.into())),
        1 => any::<u64>().prop_map(|value| Scalar::Int(value.into())),
        3 => (-300.0..300.0f64).prop_map(Scalar::Float),
        2 => any::<f64>().prop_map(Scalar::Float),
        1 => (any::<f64>(), any::<f64>()).prop_map(|(re, im)| Scalar::Complex(re, im)),
    ];
    let op = (any_dtype(), shape(3), value);
    op.prop_map(|(dtype, shape, value)| {
        nullary(Op::Constant(Constant {
            dtype,
            shape,
            value,
        }))
    })
    .boxed()
}
