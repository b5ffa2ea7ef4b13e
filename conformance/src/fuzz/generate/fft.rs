//! Calls of Fourier transforms.

use emily_spec::{DType, Fourier, Fourier2, Op, Row, Shape, TensorType, Transform, Transform2};
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::Specimen;
use super::values::{dtype_of, filled_shape, finite, view};
use crate::number;

pub(super) fn fourier(row: &'static Row, kind: Fourier) -> BoxedStrategy<Specimen> {
    let of = move |(shape, length): (Shape, Option<usize>)| {
        let op = (0..shape.rank()).prop_map(move |axis| {
            // A spectrum of one element says nothing of how long its signal is.
            let length = length.or((kind == Fourier::Irfft).then_some(3));
            Op::Fourier(kind, Transform { axis, length })
        });
        call(row, op.boxed(), shape)
    };
    (filled_shape(3), proptest::option::of(1..40usize))
        .prop_flat_map(of)
        .boxed()
}

pub(super) fn fourier2(row: &'static Row, kind: Fourier2) -> BoxedStrategy<Specimen> {
    let of = move |(shape, lengths): (Shape, Option<[usize; 2]>)| {
        let axes = subsequence((0..shape.rank()).collect::<Vec<_>>(), 2).prop_shuffle();
        let op = axes.prop_map(move |axes| {
            let (axes, lengths) = (axes.into(), lengths.map(Into::into));
            Op::Fourier2(kind, Transform2 { axes, lengths })
        });
        call(row, op.boxed(), shape)
    };
    let shape = filled_shape(3).prop_filter("two axes", |shape| shape.rank() >= 2);
    let lengths = proptest::option::of([1..9usize, 1..9usize]);
    (shape, lengths).prop_flat_map(of).boxed()
}

/// A call with finite numbers: what others make of a result's other part is open.
fn call(row: &'static Row, op: BoxedStrategy<Op>, shape: Shape) -> BoxedStrategy<Specimen> {
    let count: usize = shape.iter().product();
    let tensor = dtype_of(row)
        .prop_filter("there is no c128", |dtype| *dtype != DType::F64)
        .prop_flat_map(move |dtype| {
            let ty = TensorType::new(dtype, shape.clone());
            proptest::collection::vec(finite(dtype), count)
                .prop_filter_map("the values fill the tensor", move |values| {
                    number::tensor(ty.clone(), values)
                })
        });
    (op, tensor, view())
        .prop_map(|(op, tensor, view)| Specimen {
            op,
            tensors: vec![tensor],
            view,
        })
        .boxed()
}
