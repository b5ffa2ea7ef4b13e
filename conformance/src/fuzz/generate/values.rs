//! What random calls are made of: values, dtypes, shapes and views.

use emily_spec::{Class, DType, Domain, Judged, Row, Shape, Tensor, TensorType, Tolerance};
use proptest::prelude::*;
use proptest::sample::select;

use crate::number::{self, Format};
use crate::values::{allows, specials};
use crate::view::View;

/// Small whole numbers, special values, and any bits.
pub(super) fn element(dtype: DType, domain: Domain) -> BoxedStrategy<u64> {
    let whole = (-4..8i32).prop_map(move |value| small(dtype, value));
    let any = any::<u64>().prop_map(move |bits| bits >> (64 - 8 * dtype.size()));
    let fallback = small(dtype, 1);
    let pack = specials(dtype, domain);
    let pack = if pack.is_empty() {
        vec![fallback]
    } else {
        pack
    };
    prop_oneof![4 => whole, 3 => select(pack), 3 => any]
        .prop_map(move |value| {
            if allows(domain, dtype, value) {
                value
            } else {
                fallback
            }
        })
        .boxed()
}

/// True for ops whose answer at this dtype is held against a magnitude: sums, and at c64 functions.
pub(super) fn accumulates(row: &Row, dtype: DType) -> bool {
    match row.judged {
        Judged::Values(of) => matches!(of(dtype), Tolerance::Accum(_)),
        Judged::Promise { .. } => false,
    }
}

/// Values that do not overflow when added up or multiplied: next to an infinity an overflow on the
/// way gives NaN in one order of adding and not in another.
pub(super) fn tame(dtype: DType) -> BoxedStrategy<u64> {
    let Some(format) = Format::of(dtype) else {
        return element(dtype, Domain::Any);
    };
    let edges = [
        0,
        format.sign(),
        1,
        format.inf(),
        format.sign() | format.inf(),
        format.nan(),
    ];
    let edge = select(edges.to_vec());
    prop_oneof![8 => finite(dtype), 1 => edge].boxed()
}

pub(super) fn finite(dtype: DType) -> BoxedStrategy<u64> {
    match Format::of(dtype) {
        Some(format) => (-4.0..4.0f64)
            .prop_map(move |value| format.nearest(value))
            .boxed(),
        None => (-4..8i32)
            .prop_map(move |value| small(dtype, value))
            .boxed(),
    }
}

/// Factors of which partial products neither overflow nor vanish, however many there are and in
/// whatever order; any integers.
pub(super) fn factor(dtype: DType) -> BoxedStrategy<u64> {
    let Some(format) = Format::of(dtype) else {
        return element(dtype, Domain::Any);
    };
    let near_one = (0.99..1.01f64, any::<bool>());
    let near_one = near_one.prop_map(move |(x, negative)| if negative { -x } else { x });
    prop_oneof![15 => near_one, 1 => Just(0.0)]
        .prop_map(move |value| format.nearest(value))
        .boxed()
}

/// A whole number of the dtype: the absolute value where it has no sign.
pub(super) fn small(dtype: DType, value: i32) -> u64 {
    match (dtype.class(), Format::of(dtype)) {
        (Class::Unsigned, _) => value.unsigned_abs().into(),
        (_, Some(format)) => format.nearest(value.into()),
        (_, None) => number::wrapped(dtype, value.into()),
    }
}

pub(super) fn one(dtype: DType, element: u64) -> Tensor {
    number::tensor(TensorType::new(dtype, Shape::scalar()), [element])
        .expect("a scalar holds one element")
}

pub(super) fn view() -> impl Strategy<Value = View> {
    select(vec![
        View::Plain,
        View::Transposed,
        View::Offset,
        View::Strided,
        View::Broadcast,
    ])
}

pub(super) fn dtype_of(row: &'static Row) -> impl Strategy<Value = DType> {
    let accepted: Vec<DType> = DType::ALL
        .into_iter()
        .filter(|dtype| row.accepts.contains(*dtype))
        .collect();
    select(accepted)
}

pub(super) fn any_dtype() -> impl Strategy<Value = DType> {
    select(DType::ALL.to_vec())
}

pub(super) fn rarely_a_dtype() -> impl Strategy<Value = Option<DType>> {
    proptest::option::weighted(0.15, any_dtype())
}

pub(super) fn rarely_an_integer() -> impl Strategy<Value = Option<DType>> {
    // Wide enough for every index that the shapes here have.
    proptest::option::weighted(0.15, select(vec![DType::S64, DType::U16, DType::S32]))
}

pub(super) fn dim() -> impl Strategy<Value = usize> {
    prop_oneof![12 => 0..5usize, 2 => 5..10usize, 1 => 31..34usize]
}

pub(super) fn shape(most: usize) -> impl Strategy<Value = Shape> {
    proptest::collection::vec(dim(), 0..=most).prop_map(Shape::new)
}

/// A shape with one axis or more and no empty one.
pub(super) fn filled_shape(most: usize) -> impl Strategy<Value = Shape> {
    proptest::collection::vec(dim().prop_map(|dim| dim.max(1)), 1..=most).prop_map(Shape::new)
}

pub(super) fn shape_of_indices() -> impl Strategy<Value = Shape> {
    proptest::collection::vec(0..5usize, 0..=2).prop_map(Shape::new)
}

pub(super) fn maybe_axis(shape: &Shape) -> BoxedStrategy<Option<usize>> {
    match shape.rank() {
        0 => Just(None).boxed(),
        rank => proptest::option::of(0..rank).boxed(),
    }
}

/// A shape that broadcasts to `whole`: some axes 1, some leading ones gone.
pub(super) fn stretched(whole: &Shape) -> BoxedStrategy<Shape> {
    let whole = whole.clone();
    let rank = whole.rank();
    let ones = proptest::collection::vec(proptest::bool::weighted(0.2), rank);
    let dropped = prop_oneof![3 => Just(0), 1 => 0..=rank];
    (ones, dropped)
        .prop_map(move |(ones, dropped)| {
            let dims = whole
                .iter()
                .zip(&ones)
                .map(|(&dim, &one)| if one { 1 } else { dim });
            Shape::new(dims.skip(dropped).collect::<Vec<_>>())
        })
        .boxed()
}
