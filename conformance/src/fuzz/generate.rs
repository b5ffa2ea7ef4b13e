//! Random calls of each op: the attributes, shapes and dtypes that make sense together.
//!
//! Strategies shrink towards few axes, small dimensions, plain views and small whole numbers.

use emily_spec::{
    Class, DType, Direction, Domain, Judged, Op, QrMode, Row, Shape, Tensor, TensorType, TieBreak,
    Tolerance,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::Specimen;
use crate::number::{self, Format};
use crate::plan::domain;
use crate::values::{allows, specials};
use crate::view::{Input, View};

/// Calls of the op that `exemplar` is a call of; its attributes do not matter.
pub(super) fn specimens(exemplar: &Op) -> BoxedStrategy<Specimen> {
    let row = Row::of(exemplar);
    match exemplar {
        Op::Add { .. } => binary(row, |dtype| Op::Add { dtype }),
        Op::Divide { .. } => binary(row, |dtype| Op::Divide { dtype }),
        Op::Remainder { .. } => binary(row, |dtype| Op::Remainder { dtype }),
        Op::Pow { .. } => binary(row, |dtype| Op::Pow { dtype }),
        Op::Equal => binary(row, |_| Op::Equal),
        Op::Round => unary(row, Just(Op::Round).boxed()),
        Op::Exp => unary(row, Just(Op::Exp).boxed()),
        Op::Erfc => unary(row, Just(Op::Erfc).boxed()),
        Op::AsType { .. } => unary(
            row,
            any_dtype().prop_map(|dtype| Op::AsType { dtype }).boxed(),
        ),
        Op::Iota { .. } => iota(),
        Op::Transpose { .. } => transpose(row),
        Op::Broadcast { .. } => broadcast(row),
        Op::Concatenate { .. } => concatenate(row),
        Op::Select { .. } => choose(row),
        Op::Slice { .. } => slice(row),
        Op::Sum { .. } => sum(row),
        Op::Argmax { .. } => argmax(row),
        Op::Argsort { .. } => argsort(row),
        Op::Dot { .. } => dot(row),
        Op::Gather { .. } => gather(row),
        Op::Qr { .. } => qr(row),
    }
}

fn binary(row: &'static Row, make: fn(Option<DType>) -> Op) -> BoxedStrategy<Specimen> {
    let shapes = shape(3).prop_flat_map(|whole| (stretched(&whole), stretched(&whole)));
    let dtypes = prop_oneof![
        3 => dtype_of(row).prop_map(|dtype| (dtype, dtype)),
        1 => (dtype_of(row), dtype_of(row)),
    ];
    let of = move |((left, right), (a, b), dtype): ((Shape, Shape), (DType, DType), _)| {
        specimen(row, Just(make(dtype)).boxed(), vec![(a, left), (b, right)])
    };
    (shapes, dtypes, rarely_a_dtype()).prop_flat_map(of).boxed()
}

fn unary(row: &'static Row, op: BoxedStrategy<Op>) -> BoxedStrategy<Specimen> {
    let types = (shape(3), dtype_of(row));
    types
        .prop_flat_map(move |(shape, dtype)| specimen(row, op.clone(), vec![(dtype, shape)]))
        .boxed()
}

fn iota() -> BoxedStrategy<Specimen> {
    let op = (any_dtype(), shape(3)).prop_flat_map(|(dtype, shape)| {
        maybe_axis(&shape).prop_map(move |axis| Op::Iota {
            dtype,
            shape: shape.clone(),
            axis,
        })
    });
    op.prop_map(|op| Specimen {
        op,
        tensors: Vec::new(),
        view: View::Plain,
    })
    .boxed()
}

fn transpose(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |(shape, dtype): (Shape, DType)| {
        let axes: Vec<usize> = (0..shape.rank()).collect();
        let op = Just(axes)
            .prop_shuffle()
            .prop_map(|axes| Op::Transpose { axes });
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(4), dtype_of(row)).prop_flat_map(of).boxed()
}

fn broadcast(row: &'static Row) -> BoxedStrategy<Specimen> {
    let trailing = shape(3).prop_flat_map(|whole| {
        let op = Op::Broadcast {
            shape: whole.clone(),
            axes: None,
        };
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
                Op::Broadcast {
                    shape: whole.clone(),
                    axes: Some(axes),
                },
            )
        })
    });
    let of = move |((shape, op), dtype)| specimen(row, Just(op).boxed(), vec![(dtype, shape)]);
    (prop_oneof![trailing, explicit], dtype_of(row))
        .prop_flat_map(of)
        .boxed()
}

fn concatenate(row: &'static Row) -> BoxedStrategy<Specimen> {
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
                Just(Op::Concatenate { axis, dtype }).boxed(),
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

fn choose(row: &'static Row) -> BoxedStrategy<Specimen> {
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
            Just(Op::Select { dtype }).boxed(),
            vec![(pd, p), (td, t), (fd, f)],
        )
    };
    (shapes, dtypes, rarely_a_dtype()).prop_flat_map(of).boxed()
}

fn slice(row: &'static Row) -> BoxedStrategy<Specimen> {
    let windows = filled_shape(3).prop_flat_map(|shape| {
        let axis = |&dim: &usize| (-3..dim as i64 + 3, 1..=dim, 1..4usize);
        let axes: Vec<_> = shape.iter().map(axis).collect();
        (Just(shape), axes)
    });
    let index = select(vec![DType::S32, DType::S64, DType::S8]);
    let of = move |((shape, axes), dtype, dynamic, index): ((Shape, Vec<_>), _, bool, DType)| {
        let starts: Vec<i64> = axes.iter().map(|&(start, _, _)| start).collect();
        let op = Op::Slice {
            starts: (!dynamic).then(|| starts.clone()),
            lengths: axes.iter().map(|&(_, length, _)| length).collect(),
            strides: axes.iter().map(|&(_, _, stride)| stride).collect(),
        };
        let scalar = move |start: &i64| one(index, number::wrapped(index, (*start).into()));
        let rest: Vec<Tensor> = if dynamic {
            starts.iter().map(scalar).collect()
        } else {
            Vec::new()
        };
        specimen(row, Just(op).boxed(), vec![(dtype, shape)]).prop_map(move |mut specimen| {
            specimen.tensors.extend(rest.clone());
            specimen
        })
    };
    (windows, dtype_of(row), any::<bool>(), index)
        .prop_flat_map(of)
        .boxed()
}

fn sum(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |(shape, dtype, keep_axes, result): (Shape, DType, bool, Option<DType>)| {
        let all: Vec<usize> = (0..shape.rank()).collect();
        let axes = proptest::option::of(subsequence(all, 0..=shape.rank()));
        let op = axes.prop_map(move |axes| Op::Sum {
            axes,
            keep_axes,
            dtype: result,
        });
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(3), dtype_of(row), any::<bool>(), rarely_a_dtype())
        .prop_flat_map(of)
        .boxed()
}

fn argmax(row: &'static Row) -> BoxedStrategy<Specimen> {
    let tie = select(vec![TieBreak::Low, TieBreak::High]);
    let of = move |(shape, dtype, tie_break, keep_axis): (Shape, DType, TieBreak, bool)| {
        let op =
            (maybe_axis(&shape), rarely_an_integer()).prop_map(move |(axis, dtype)| Op::Argmax {
                axis,
                tie_break,
                keep_axis,
                dtype,
            });
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(3), dtype_of(row), tie, any::<bool>())
        .prop_flat_map(of)
        .boxed()
}

fn argsort(row: &'static Row) -> BoxedStrategy<Specimen> {
    let direction = select(vec![Direction::Asc, Direction::Desc]);
    let of = move |(shape, dtype, direction): (Shape, DType, Direction)| {
        let op = (0..shape.rank().max(1), rarely_an_integer()).prop_map(move |(axis, dtype)| {
            Op::Argsort {
                axis,
                direction,
                dtype,
            }
        });
        specimen(row, op.boxed(), vec![(dtype, shape)])
    };
    (shape(3), dtype_of(row), direction)
        .prop_flat_map(of)
        .boxed()
}

/// What a random product is made of; pairs are the left operand's and the right's.
#[derive(Clone, Debug)]
struct Product {
    batch: Vec<usize>,
    shared: Vec<usize>,
    own: [Vec<usize>; 2],
    flipped: [bool; 2],
    dtypes: [DType; 2],
    dtype: Option<DType>,
}

impl Product {
    /// The shape of one side, and its contracted axes: the batch axes, then its own and the
    /// contracted ones, in either order.
    fn side(&self, side: usize) -> (Shape, Vec<usize>) {
        let (own, shared) = (&self.own[side], &self.shared);
        let (rest, before) = match self.flipped[side] {
            true => ([&shared[..], own].concat(), 0),
            false => ([&own[..], shared].concat(), own.len()),
        };
        let first = self.batch.len() + before;
        let contracted = (first..first + shared.len()).collect();
        (Shape::new([&self.batch[..], &rest].concat()), contracted)
    }
}

fn dot(row: &'static Row) -> BoxedStrategy<Specimen> {
    let axes = |most| proptest::collection::vec(0..6usize, 0..=most);
    let dtypes = prop_oneof![
        3 => dtype_of(row).prop_map(|dtype| [dtype, dtype]),
        1 => [dtype_of(row), dtype_of(row)],
    ];
    let flipped = any::<[bool; 2]>();
    let parts = (
        axes(1),
        axes(2),
        [axes(1), axes(1)],
        flipped,
        dtypes,
        rarely_a_dtype(),
    );
    let products = parts.prop_map(|(batch, shared, own, flipped, dtypes, dtype)| Product {
        batch,
        shared,
        own,
        flipped,
        dtypes,
        dtype,
    });
    let of = move |product: Product| {
        let (left, contract_left) = product.side(0);
        let (right, contract_right) = product.side(1);
        let leading: Vec<usize> = (0..product.batch.len()).collect();
        let op = Op::Dot {
            contract_left,
            batch_left: leading.clone(),
            contract_right,
            batch_right: leading,
            dtype: product.dtype,
        };
        let [a, b] = product.dtypes;
        specimen(row, Just(op).boxed(), vec![(a, left), (b, right)])
    };
    products.prop_flat_map(of).boxed()
}

fn gather(row: &'static Row) -> BoxedStrategy<Specimen> {
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
        let data = specimen(row, Just(Op::Gather { axes }).boxed(), vec![(dtype, shape)]);
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

fn qr(row: &'static Row) -> BoxedStrategy<Specimen> {
    let mode = select(vec![QrMode::Reduced, QrMode::Complete]);
    let dims = (
        proptest::collection::vec(1..3usize, 0..2),
        1..6usize,
        1..6usize,
    );
    let of = move |((batch, m, n), dtype, mode): ((Vec<usize>, usize, usize), DType, QrMode)| {
        let shape = Shape::new([&batch[..], &[m, n]].concat());
        let ty = TensorType::new(dtype, shape);
        // A promise is about finite matrices.
        let values =
            proptest::collection::vec(finite(dtype), batch.iter().product::<usize>() * m * n);
        (values, view()).prop_filter_map("the values fill the matrix", move |(values, view)| {
            let tensors = vec![number::tensor(ty.clone(), values)?];
            Some(Specimen {
                op: Op::Qr { mode },
                tensors,
                view,
            })
        })
    };
    (dims, dtype_of(row), mode).prop_flat_map(of).boxed()
}

/// Operands of these types, filled from the row's domains, for one of these ops.
fn specimen(
    row: &'static Row,
    op: BoxedStrategy<Op>,
    types: Vec<(DType, Shape)>,
) -> BoxedStrategy<Specimen> {
    view()
        .prop_flat_map(move |view| {
            let operand = |(i, (dtype, shape)): (usize, &(DType, Shape))| {
                let ty = TensorType::new(*dtype, shape.clone());
                let elements = if accumulates(row, DType::F32) {
                    tame(*dtype)
                } else if dtype.is_complex() && accumulates(row, *dtype) {
                    // Nx names no rule for complex functions of infinities and NaN.
                    finite(*dtype)
                } else {
                    element(*dtype, domain(row, i))
                };
                operand(ty, elements, view)
            };
            let operands: Vec<_> = types.iter().enumerate().map(operand).collect();
            (op.clone(), operands).prop_map(move |(op, tensors)| Specimen { op, tensors, view })
        })
        .boxed()
}

/// A tensor whose values allow the view.
fn operand(ty: TensorType, elements: BoxedStrategy<u64>, view: View) -> BoxedStrategy<Tensor> {
    let (view, filled) = match view.filled(&ty.shape) {
        Some(filled) => (view, filled),
        None => (View::Plain, ty.shape.clone()),
    };
    let count: usize = filled.iter().product();
    proptest::collection::vec(elements, count)
        .prop_filter_map("the values fill the tensor", move |values| {
            let filled = number::tensor(TensorType::new(ty.dtype, filled.clone()), values)?;
            let Input { tensor, .. } = view.wrap(filled, &ty.shape);
            Some(tensor)
        })
        .boxed()
}

/// Small whole numbers, special values, and any bits.
fn element(dtype: DType, domain: Domain) -> BoxedStrategy<u64> {
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
fn accumulates(row: &Row, dtype: DType) -> bool {
    match row.judged {
        Judged::Values(of) => matches!(of(dtype), Tolerance::Accum(_)),
        Judged::Promise { .. } => false,
    }
}

/// Values that do not overflow when added up or multiplied: next to an infinity an overflow on the
/// way gives NaN in one order of adding and not in another.
fn tame(dtype: DType) -> BoxedStrategy<u64> {
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

fn finite(dtype: DType) -> BoxedStrategy<u64> {
    match Format::of(dtype) {
        Some(format) => (-4.0..4.0f64)
            .prop_map(move |value| format.nearest(value))
            .boxed(),
        None => (-4..8i32)
            .prop_map(move |value| small(dtype, value))
            .boxed(),
    }
}

/// A whole number of the dtype: the absolute value where it has no sign.
fn small(dtype: DType, value: i32) -> u64 {
    match (dtype.class(), Format::of(dtype)) {
        (Class::Unsigned, _) => value.unsigned_abs().into(),
        (_, Some(format)) => format.nearest(value.into()),
        (_, None) => number::wrapped(dtype, value.into()),
    }
}

fn one(dtype: DType, element: u64) -> Tensor {
    number::tensor(TensorType::new(dtype, Shape::scalar()), [element])
        .expect("a scalar holds one element")
}

fn view() -> impl Strategy<Value = View> {
    select(vec![
        View::Plain,
        View::Transposed,
        View::Offset,
        View::Strided,
        View::Broadcast,
    ])
}

fn dtype_of(row: &'static Row) -> impl Strategy<Value = DType> {
    let accepted: Vec<DType> = DType::ALL
        .into_iter()
        .filter(|dtype| row.accepts.contains(*dtype))
        .collect();
    select(accepted)
}

fn any_dtype() -> impl Strategy<Value = DType> {
    select(DType::ALL.to_vec())
}

fn rarely_a_dtype() -> impl Strategy<Value = Option<DType>> {
    proptest::option::weighted(0.15, any_dtype())
}

fn rarely_an_integer() -> impl Strategy<Value = Option<DType>> {
    // Wide enough for every index that the shapes here have.
    proptest::option::weighted(0.15, select(vec![DType::S64, DType::U16, DType::S32]))
}

fn dim() -> impl Strategy<Value = usize> {
    prop_oneof![12 => 0..5usize, 2 => 5..10usize, 1 => 31..34usize]
}

fn shape(most: usize) -> impl Strategy<Value = Shape> {
    proptest::collection::vec(dim(), 0..=most).prop_map(Shape::new)
}

/// A shape with one axis or more and no empty one.
fn filled_shape(most: usize) -> impl Strategy<Value = Shape> {
    proptest::collection::vec(dim().prop_map(|dim| dim.max(1)), 1..=most).prop_map(Shape::new)
}

fn shape_of_indices() -> impl Strategy<Value = Shape> {
    proptest::collection::vec(0..5usize, 0..=2).prop_map(Shape::new)
}

fn maybe_axis(shape: &Shape) -> BoxedStrategy<Option<usize>> {
    match shape.rank() {
        0 => Just(None).boxed(),
        rank => proptest::option::of(0..rank).boxed(),
    }
}

/// A shape that broadcasts to `whole`: some axes 1, some leading ones gone.
fn stretched(whole: &Shape) -> BoxedStrategy<Shape> {
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
