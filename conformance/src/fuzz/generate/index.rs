//! Calls that read and write parts of a tensor.

use emily_spec::{
    DType, DynamicPutSlice, DynamicSlice, Gather, Indexed, IndexedAxes, Op, PutSlice, Row, Shape,
    Slice, Take, TakeAlongAxis, Tensor, TensorType,
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

/// A tensor's dtype and shape and a slice's, and where the slice starts.
type Written = (Vec<(DType, Shape)>, Vec<i64>);

/// Slices that fit, and seldom have another dtype.
fn written(row: &'static Row) -> impl Strategy<Value = Written> {
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
    let of = move |(types, starts): Written| {
        let op = Op::PutSlice(PutSlice {
            starts: starts.into(),
        });
        specimen(row, Just(op).boxed(), types)
    };
    written(row).prop_flat_map(of).boxed()
}

pub(super) fn dynamic_put_slice(row: &'static Row) -> BoxedStrategy<Specimen> {
    let index = select(vec![DType::S32, DType::S64, DType::S8]);
    let of = move |((types, starts), index): (Written, DType)| {
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

/// Tuples of indices, one per axis; seldom one too far, an error on every layer.
fn tuples(
    shape: &Shape,
    axes: &[usize],
    count: usize,
) -> impl Strategy<Value = Vec<Vec<u64>>> + use<> {
    let tuple: Vec<_> = axes
        .iter()
        .map(|&axis| {
            let dim = shape[axis] as u64;
            prop_oneof![99 => 0..dim, 1 => dim..=dim]
        })
        .collect();
    proptest::collection::vec(tuple, count)
}

/// A shape and some of its axes.
fn indexed_axes() -> impl Strategy<Value = (Shape, Vec<usize>)> {
    filled_shape(3).prop_flat_map(|shape| {
        let all: Vec<usize> = (0..shape.rank()).collect();
        let axes = subsequence(all, 1..=shape.rank());
        (Just(shape), axes)
    })
}

pub(super) fn indexed(row: &'static Row, op: Indexed) -> BoxedStrategy<Specimen> {
    let index = select(vec![DType::S32, DType::S64, DType::U8]);
    let dtypes = prop_oneof![
        3 => dtype_of(row).prop_map(|dtype| [dtype, dtype]),
        1 => [dtype_of(row), dtype_of(row)],
    ];
    type Drawn = ((Shape, Vec<usize>), usize, [DType; 2], DType);
    let of = move |((shape, axes), count, [tensor, updates], index): Drawn| {
        let tuples = tuples(&shape, &axes, count);
        let indices = TensorType::new(index, [count, axes.len()]);
        let room = shape.reduce(&axes, false);
        let updated = Shape::new([&[count], room.dims()].concat());
        let op = Op::Indexed(op, IndexedAxes { axes: axes.into() });
        let types = vec![(tensor, shape), (updates, updated)];
        let data = specimen(row, Just(op).boxed(), types);
        (data, tuples).prop_filter_map(
            "the indices fill their tensor",
            move |(mut data, tuples)| {
                let indices = number::tensor(indices.clone(), tuples.concat())?;
                data.tensors.insert(1, indices);
                Some(data)
            },
        )
    };
    (indexed_axes(), 0..6usize, dtypes, index)
        .prop_flat_map(of)
        .boxed()
}

/// A shape and one of its axes.
fn indexed_axis() -> impl Strategy<Value = (Shape, usize)> {
    filled_shape(3).prop_flat_map(|shape| {
        let axis = 0..shape.rank();
        (Just(shape), axis)
    })
}

pub(super) fn take(row: &'static Row) -> BoxedStrategy<Specimen> {
    let places = (indexed_axis(), shape_of_indices());
    let of = move |((shape, axis), indices): ((Shape, usize), Shape)| {
        one_axis(row, Op::Take(Take { axis }), shape, axis, indices)
    };
    places.prop_flat_map(of).boxed()
}

pub(super) fn take_along_axis(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |((shape, axis), count): ((Shape, usize), usize)| {
        let mut dims = shape.to_vec();
        dims[axis] = count;
        let op = Op::TakeAlongAxis(TakeAlongAxis { axis });
        one_axis(row, op, shape, axis, Shape::new(dims))
    };
    (indexed_axis(), 0..6usize).prop_flat_map(of).boxed()
}

/// Calls with indices of this shape along one axis.
fn one_axis(
    row: &'static Row,
    op: Op,
    shape: Shape,
    axis: usize,
    indices: Shape,
) -> impl Strategy<Value = Specimen> {
    let all = tuples(&shape, &[axis], indices.iter().product());
    let index = select(vec![DType::S32, DType::S64, DType::U8]);
    let data = dtype_of(row).prop_flat_map(move |dtype| {
        specimen(row, Just(op.clone()).boxed(), vec![(dtype, shape.clone())])
    });
    (data, all, index).prop_filter_map(
        "the indices fill their tensor",
        move |(mut data, all, index)| {
            let ty = TensorType::new(index, indices.clone());
            data.tensors.push(number::tensor(ty, all.concat())?);
            Some(data)
        },
    )
}

pub(super) fn gather(row: &'static Row) -> BoxedStrategy<Specimen> {
    let places = (indexed_axes(), shape_of_indices());
    let index = select(vec![DType::S32, DType::S64, DType::U8]);
    type Drawn = (((Shape, Vec<usize>), Shape), DType, DType);
    let of = move |(((shape, axes), batch), dtype, index): Drawn| {
        let tuples = tuples(&shape, &axes, batch.iter().product());
        let indices = TensorType::new(index, [batch.dims(), &[axes.len()]].concat());
        let op = Op::Gather(Gather { axes: axes.into() });
        let data = specimen(row, Just(op).boxed(), vec![(dtype, shape)]);
        (data, tuples).prop_filter_map(
            "the indices fill their tensor",
            move |(mut data, tuples)| {
                let indices = number::tensor(indices.clone(), tuples.concat())?;
                data.tensors.push(indices);
                Some(data)
            },
        )
    };
    (places, dtype_of(row), index).prop_flat_map(of).boxed()
}
