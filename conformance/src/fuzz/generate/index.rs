//! Calls that read and write parts of a tensor.

use emily_spec::{
    DType, DynamicPutSlice, DynamicSlice, Gather, Op, PutSlice, Row, Shape, Slice, Tensor,
    TensorType,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::values::{dtype_of, filled_shape, one, shape_of_indices};
use super::{Specimen, specimen};
use crate::number;

/// A shape, and a start, a length and a stride per axis; starts lie outside it too.
fn windows() -> impl Strategy<Value = (Shape, Vec<(i64, usize, usize)>)> {
    filled_shape(3).prop_flat_map(|shape| {
        let axis = |&dim: &usize| (-3..dim as i64 + 3, 1..=dim, 1..4usize);
        let axes: Vec<_> = shape.iter().map(axis).collect();
        (Just(shape), axes)
    })
}

pub(super) fn slice(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |((shape, axes), dtype): ((Shape, Vec<_>), DType)| {
        let op = Op::Slice(Slice {
            starts: axes.iter().map(|&(start, _, _)| start).collect(),
            lengths: axes.iter().map(|&(_, length, _)| length).collect(),
            strides: axes.iter().map(|&(_, _, stride)| stride).collect(),
        });
        specimen(row, Just(op).boxed(), vec![(dtype, shape)])
    };
    (windows(), dtype_of(row)).prop_flat_map(of).boxed()
}

pub(super) fn dynamic_slice(row: &'static Row) -> BoxedStrategy<Specimen> {
    let index = select(vec![DType::S32, DType::S64, DType::S8]);
    let of = move |((shape, axes), dtype, index): ((Shape, Vec<_>), DType, DType)| {
        let op = Op::DynamicSlice(DynamicSlice {
            lengths: axes.iter().map(|&(_, length, _)| length).collect(),
            strides: axes.iter().map(|&(_, _, stride)| stride).collect(),
        });
        let scalar =
            |&(start, _, _): &(i64, usize, usize)| one(index, number::wrapped(index, start.into()));
        let starts: Vec<Tensor> = axes.iter().map(scalar).collect();
        specimen(row, Just(op).boxed(), vec![(dtype, shape)]).prop_map(move |mut specimen| {
            specimen.tensors.extend(starts.clone());
            specimen
        })
    };
    (windows(), dtype_of(row), index).prop_flat_map(of).boxed()
}

/// A tensor's shape and a slice's, the starts, and their dtypes, which seldom differ.
fn written(row: &'static Row) -> impl Strategy<Value = (Vec<(DType, Shape)>, Vec<i64>)> {
    let dtypes = prop_oneof![
        3 => dtype_of(row).prop_map(|dtype| [dtype, dtype]),
        1 => [dtype_of(row), dtype_of(row)],
    ];
    (windows(), dtypes).prop_map(|((shape, axes), [tensor, slice])| {
        let lengths: Vec<usize> = axes.iter().map(|&(_, length, _)| length).collect();
        let starts = axes.iter().map(|&(start, _, _)| start).collect();
        (vec![(tensor, shape), (slice, Shape::new(lengths))], starts)
    })
}

pub(super) fn put_slice(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |(types, starts): (Vec<(DType, Shape)>, Vec<i64>)| {
        let op = Op::PutSlice(PutSlice {
            starts: starts.into(),
        });
        specimen(row, Just(op).boxed(), types)
    };
    written(row).prop_flat_map(of).boxed()
}

pub(super) fn dynamic_put_slice(row: &'static Row) -> BoxedStrategy<Specimen> {
    let index = select(vec![DType::S32, DType::S64, DType::S8]);
    let of = move |((types, starts), index): ((Vec<(DType, Shape)>, Vec<i64>), DType)| {
        let scalar = |&start: &i64| one(index, number::wrapped(index, start.into()));
        let starts: Vec<Tensor> = starts.iter().map(scalar).collect();
        let op = Just(Op::DynamicPutSlice(DynamicPutSlice {}));
        specimen(row, op.boxed(), types).prop_map(move |mut specimen| {
            specimen.tensors.extend(starts.clone());
            specimen
        })
    };
    (written(row), index).prop_flat_map(of).boxed()
}

pub(super) fn gather(row: &'static Row) -> BoxedStrategy<Specimen> {
    let places = filled_shape(3).prop_flat_map(|shape| {
        let all: Vec<usize> = (0..shape.rank()).collect();
        let axes = subsequence(all, 1..=shape.rank());
        (Just(shape), axes, shape_of_indices())
    });
    let index = select(vec![DType::S32, DType::S64, DType::U8]);
    let of = move |((shape, axes, batch), dtype, index): ((Shape, Vec<usize>, Shape), _, DType)| {
        let count: usize = batch.iter().product();
        // Seldom one too far: an error on every layer.
        let tuple: Vec<_> = axes
            .iter()
            .map(|&axis| {
                let dim = shape[axis] as u64;
                prop_oneof![99 => 0..dim, 1 => dim..=dim]
            })
            .collect();
        let tuples = proptest::collection::vec(tuple, count);
        let indices = TensorType::new(index, [batch.dims(), &[axes.len()]].concat());
        let data = specimen(
            row,
            Just(Op::Gather(Gather { axes: axes.into() })).boxed(),
            vec![(dtype, shape)],
        );
        (data, tuples).prop_filter_map(
            "the indices fill their tensor",
            move |(mut data, tuples)| {
                data.tensors
                    .push(number::tensor(indices.clone(), tuples.concat())?);
                Some(data)
            },
        )
    };
    (places, dtype_of(row), index).prop_flat_map(of).boxed()
}
