//! Calls that move elements.

use emily_spec::{
    Broadcast, Clip, Concatenate, DType, Op, Pad, Reshape, Reverse, Row, Select, Shape, Squeeze,
    Stack, Transpose,
};
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

pub(super) fn reshape(row: &'static Row) -> BoxedStrategy<Specimen> {
    // The same dimensions in another order, with two neighbours as one and a 1 somewhere.
    let shapes = shape(4).prop_flat_map(|from| {
        let dims = Just(from.to_vec()).prop_shuffle();
        (Just(from), dims, any::<bool>(), any::<bool>())
    });
    let of = move |((from, mut dims, join, one), dtype): ((Shape, Vec<usize>, bool, bool), _)| {
        if join && dims.len() > 1 {
            dims[0] *= dims.remove(1);
        }
        if one {
            dims.push(1);
        }
        let shape = Shape::new(dims);
        let op = Op::Reshape(Reshape { shape });
        specimen(row, Just(op).boxed(), vec![(dtype, from)])
    };
    (shapes, dtype_of(row)).prop_flat_map(of).boxed()
}

/// Some of a shape's axes.
fn some_axes(shape: Shape) -> impl Strategy<Value = (Shape, Vec<usize>)> {
    let all: Vec<usize> = (0..shape.rank()).collect();
    let some = subsequence(all, 0..=shape.rank());
    (Just(shape), some)
}

pub(super) fn squeeze(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |((shape, axes), dtype): ((Shape, Vec<usize>), DType)| {
        let mut dims = shape.to_vec();
        axes.iter().for_each(|&axis| dims[axis] = 1);
        let op = Op::Squeeze(Squeeze { axes: axes.into() });
        specimen(row, Just(op).boxed(), vec![(dtype, Shape::new(dims))])
    };
    (shape(4).prop_flat_map(some_axes), dtype_of(row))
        .prop_flat_map(of)
        .boxed()
}

pub(super) fn reverse(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |((shape, axes), dtype): ((Shape, Vec<usize>), DType)| {
        let op = Op::Reverse(Reverse { axes: axes.into() });
        specimen(row, Just(op).boxed(), vec![(dtype, shape)])
    };
    (shape(3).prop_flat_map(some_axes), dtype_of(row))
        .prop_flat_map(of)
        .boxed()
}

pub(super) fn pad(row: &'static Row) -> BoxedStrategy<Specimen> {
    let paddings = shape(3).prop_flat_map(|shape| {
        // Less than nothing is left rarely enough.
        let axis = |&dim: &usize| (-(dim as i64)..4, -1..4i64, 0..3usize);
        let axes: Vec<_> = shape.iter().map(axis).collect();
        (Just(shape), axes)
    });
    type Paddings = (Shape, Vec<(i64, i64, usize)>);
    let of = move |((shape, axes), own, other, dtype): (Paddings, DType, DType, _)| {
        let op = Op::Pad(Pad {
            low: axes.iter().map(|&(low, _, _)| low).collect(),
            high: axes.iter().map(|&(_, high, _)| high).collect(),
            interior: axes.iter().map(|&(_, _, interior)| interior).collect(),
            dtype,
        });
        let operands = vec![(own, shape), (other, Shape::scalar())];
        specimen(row, Just(op).boxed(), operands)
    };
    (paddings, dtype_of(row), dtype_of(row), rarely_a_dtype())
        .prop_flat_map(of)
        .boxed()
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

pub(super) fn stack(row: &'static Row) -> BoxedStrategy<Specimen> {
    let dtypes = proptest::collection::vec(dtype_of(row), 1..4);
    let of = move |(shape, mixed, dtypes, dtype): (Shape, bool, Vec<DType>, _)| {
        (0..=shape.rank()).prop_flat_map(move |axis| {
            let first = dtypes[0];
            let inputs = dtypes
                .iter()
                .map(|&own| (if mixed { own } else { first }, shape.clone()));
            let op = Op::Stack(Stack { axis, dtype });
            specimen(row, Just(op).boxed(), inputs.collect())
        })
    };
    (shape(3), any::<bool>(), dtypes, rarely_a_dtype())
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

pub(super) fn clip(row: &'static Row) -> BoxedStrategy<Specimen> {
    let dtypes = prop_oneof![
        3 => dtype_of(row).prop_map(|dtype| [dtype; 3]),
        1 => [dtype_of(row), dtype_of(row), dtype_of(row)],
    ];
    let of = move |(shape, [tensor, min, max], dtype): (Shape, [DType; 3], Option<DType>)| {
        let limits = [min, max].map(|dtype| (dtype, Shape::scalar()));
        let types = [vec![(tensor, shape)], limits.to_vec()].concat();
        specimen(row, Just(Op::Clip(Clip { dtype })).boxed(), types)
    };
    (shape(3), dtypes, rarely_a_dtype())
        .prop_flat_map(of)
        .boxed()
}
