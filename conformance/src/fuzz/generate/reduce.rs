//! Calls of reductions.

use emily_spec::{
    AllClose, ArgReduce, ArgReduction, Axes, DType, Op, Quantifier, Reduce, Reduction, Row, Scalar,
    Shape, TieBreak,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::values::{dtype_of, maybe_axis, rarely_a_dtype, rarely_an_integer, shape, stretched};
use super::{Specimen, specimen};

pub(super) fn reduce(row: &'static Row, op: Reduce) -> BoxedStrategy<Specimen> {
    let of = move |(shape, dtype, keep_axes, result): (Shape, DType, bool, Option<DType>)| {
        // Products of any integers wrap, but overflow in a float, where depends on the order.
        let wraps = op == Reduce::Product && dtype.is_integer();
        let result = result.filter(|asked| !wraps || asked.is_integer());
        let all: Vec<usize> = (0..shape.rank()).collect();
        let axes = proptest::option::of(subsequence(all, 0..=shape.rank()));
        let op = axes.prop_map(move |axes| {
            let attrs = Reduction {
                axes: axes.map(Into::into),
                keep_axes,
                dtype: result,
            };
            Op::Reduce(op, attrs)
        });
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(3), dtype_of(row), any::<bool>(), rarely_a_dtype())
        .prop_flat_map(of)
        .boxed()
}

pub(super) fn quantify(row: &'static Row, op: Quantifier) -> BoxedStrategy<Specimen> {
    let of = move |(shape, dtype, keep_axes): (Shape, DType, bool)| {
        let all: Vec<usize> = (0..shape.rank()).collect();
        let axes = proptest::option::of(subsequence(all, 0..=shape.rank()));
        let op = axes.prop_map(move |axes| {
            let axes = axes.map(Into::into);
            Op::Quantifier(op, Axes { axes, keep_axes })
        });
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(3), dtype_of(row), any::<bool>())
        .prop_flat_map(of)
        .boxed()
}

pub(super) fn arg_reduce(row: &'static Row, op: ArgReduce) -> BoxedStrategy<Specimen> {
    let tie = select(vec![TieBreak::Low, TieBreak::High]);
    let of = move |(shape, dtype, tie_break, keep_axis): (Shape, DType, TieBreak, bool)| {
        let op = (maybe_axis(&shape), rarely_an_integer()).prop_map(move |(axis, dtype)| {
            let attrs = ArgReduction {
                axis,
                tie_break,
                keep_axis,
                dtype,
            };
            Op::ArgReduce(op, attrs)
        });
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(3), dtype_of(row), tie, any::<bool>())
        .prop_flat_map(of)
        .boxed()
}

/// Tolerances are in steps that no rounding reaches.
pub(super) fn all_close(row: &'static Row) -> BoxedStrategy<Specimen> {
    let tolerance = || proptest::option::of(select(vec![0.0, 0.375, 1.0, 5.0]));
    let op = (any::<bool>(), tolerance(), tolerance()).prop_map(|(equal_nan, rtol, atol)| {
        Op::AllClose(AllClose {
            equal_nan,
            rtol: rtol.map(Scalar::Float),
            atol: atol.map(Scalar::Float),
        })
    });
    let shapes = shape(2).prop_flat_map(|whole| (stretched(&whole), stretched(&whole)));
    let merge = |(a, b): &(DType, DType)| a.merge(*b).is_ok();
    let dtypes = (dtype_of(row), dtype_of(row)).prop_filter("dtypes that merge", merge);
    let of = move |(op, (left, right), (a, b)): (Op, (Shape, Shape), (DType, DType))| {
        specimen(row, Just(op).boxed(), vec![(a, left), (b, right)])
    };
    (op, shapes, dtypes).prop_flat_map(of).boxed()
}
