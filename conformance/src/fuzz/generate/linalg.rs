//! Calls of products and decompositions.

use emily_spec::{
    DType, Dot, GatherMm, Op, Qr, QrMode, Row, Shape, Solve, Svd, Tensor, TensorType, TransformA,
    TriangularSolve,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::values::{dtype_of, finite, rarely_a_dtype, view};
use super::{Specimen, specimen};
use crate::number;
use crate::plan::domain;
use crate::values::shape_matrices;
use crate::view::View;

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

pub(super) fn dot(row: &'static Row) -> BoxedStrategy<Specimen> {
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
        let op = Op::Dot(Dot {
            contract_left: contract_left.into(),
            batch_left: Some(leading.clone().into()),
            contract_right: contract_right.into(),
            batch_right: Some(leading.into()),
            dtype: product.dtype,
        });
        let [a, b] = product.dtypes;
        specimen(row, Just(op).boxed(), vec![(a, left), (b, right)])
    };
    products.prop_flat_map(of).boxed()
}

/// Sizes of leading axes, of which a side of them may have fewer or ones.
fn leading() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..3usize, 0..=2)
}

pub(super) fn gather_mm(row: &'static Row) -> BoxedStrategy<Specimen> {
    let dtypes = prop_oneof![
        3 => dtype_of(row).prop_map(|dtype| [dtype, dtype]),
        1 => [dtype_of(row), dtype_of(row)],
    ];
    type Drawn = ([Vec<usize>; 2], [usize; 3], [DType; 2]);
    let of = move |([of_a, of_b], [m, k, n], [a, b]): Drawn| {
        let counts = [&of_a, &of_b].map(|leading| leading.iter().product::<usize>());
        let types = vec![
            (a, Shape::new([&of_a[..], &[m, k]].concat())),
            (b, Shape::new([&of_b[..], &[k, n]].concat())),
        ];
        let data = specimen(row, Just(Op::GatherMm(GatherMm {})).boxed(), types);
        (data, picks(counts)).prop_map(|(mut data, picks)| {
            data.tensors.extend(picks);
            data
        })
    };
    ([leading(), leading()], [0..4usize, 0..5, 0..4], dtypes)
        .prop_flat_map(of)
        .boxed()
}

/// Indices of so many matrices of two operands, which are broadcast; seldom one too far.
pub(super) fn picks(counts: [usize; 2]) -> impl Strategy<Value = Vec<Tensor>> {
    let dtypes = select(vec![DType::S32, DType::S64, DType::U8]);
    (leading(), any::<[u8; 2]>(), [dtypes.clone(), dtypes]).prop_flat_map(
        move |(pairs, cuts, dtypes)| {
            let side = |side: usize| {
                let count = counts[side] as u64;
                // Without the first axis, with a one in its place, or as they are.
                let mut shape = pairs.clone();
                match cuts[side] % 3 {
                    0 => drop(shape.drain(..pairs.len().min(1))),
                    1 => shape.iter_mut().take(1).for_each(|dim| *dim = 1),
                    _ => {}
                }
                let ty = TensorType::new(dtypes[side], shape);
                let index = prop_oneof![99 => 0..count.max(1), 1 => count..=count];
                proptest::collection::vec(index, ty.shape.iter().product::<usize>())
                    .prop_filter_map("the indices fill their tensor", move |all| {
                        number::tensor(ty.clone(), all)
                    })
            };
            (side(0), side(1)).prop_map(|(lhs, rhs)| vec![lhs, rhs])
        },
    )
}

pub(super) fn qr(row: &'static Row) -> BoxedStrategy<Specimen> {
    let mode = select(vec![QrMode::Reduced, QrMode::Complete]);
    let ops = mode.prop_map(|mode| Op::Qr(Qr { mode }));
    (ops, batch(), 1..6usize, 1..6usize)
        .prop_flat_map(move |(op, batch, m, n)| {
            of_matrices(row, op, &[&batch[..], &[m, n]].concat())
        })
        .boxed()
}

pub(super) fn svd(row: &'static Row) -> BoxedStrategy<Specimen> {
    let ops = any::<bool>().prop_map(|full_matrices| Op::Svd(Svd { full_matrices }));
    (ops, batch(), 1..6usize, 1..6usize)
        .prop_flat_map(move |(op, batch, m, n)| {
            of_matrices(row, op, &[&batch[..], &[m, n]].concat())
        })
        .boxed()
}

/// Calls of an op of square matrices.
pub(super) fn square(row: &'static Row, op: Op) -> BoxedStrategy<Specimen> {
    (batch(), 1..6usize)
        .prop_flat_map(move |(batch, n)| {
            of_matrices(row, op.clone(), &[&batch[..], &[n, n]].concat())
        })
        .boxed()
}

fn of_matrices(row: &'static Row, op: Op, dims: &[usize]) -> BoxedStrategy<Specimen> {
    let shape = Shape::new(dims.to_vec());
    dtype_of(row)
        .prop_flat_map(move |dtype| {
            let operands = vec![TensorType::new(dtype, shape.clone())];
            of_finite(row, op.clone(), operands)
        })
        .boxed()
}

pub(super) fn triangular_solve(row: &'static Row) -> BoxedStrategy<Specimen> {
    let transforms = vec![
        TransformA::None,
        TransformA::Transpose,
        TransformA::Conjugate,
    ];
    let op = |(upper, right, transform)| {
        Op::TriangularSolve(TriangularSolve {
            upper,
            right,
            transform,
        })
    };
    let ops = (any::<bool>(), any::<bool>(), select(transforms)).prop_map(op);
    systems(row, ops.boxed())
}

pub(super) fn solve(row: &'static Row) -> BoxedStrategy<Specimen> {
    systems(row, Just(Op::Solve(Solve {})).boxed())
}

fn systems(row: &'static Row, ops: BoxedStrategy<Op>) -> BoxedStrategy<Specimen> {
    let columns = proptest::option::of(1..4usize);
    let dtypes = prop_oneof![
        3 => dtype_of(row).prop_map(|dtype| [dtype, dtype]),
        1 => [dtype_of(row), dtype_of(row)],
    ];
    let of = move |(op, batch, n, columns, dtypes): (Op, Vec<usize>, usize, _, [DType; 2])| {
        let right = matches!(
            &op,
            Op::TriangularSolve(TriangularSolve { right: true, .. })
        );
        let b = match columns {
            None => vec![n],
            Some(columns) if right => vec![columns, n],
            Some(columns) => vec![n, columns],
        };
        let operand =
            |at: usize, dims: &[usize]| TensorType::new(dtypes[at], [&batch[..], dims].concat());
        of_finite(row, op, vec![operand(0, &[n, n]), operand(1, &b)])
    };
    (ops, batch(), 1..6usize, columns, dtypes)
        .prop_flat_map(of)
        .boxed()
}

fn batch() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..3usize, 0..2)
}

/// Finite operands, which is what a promise or a bound is about, of the row's domains. No view repeats
/// rows, as the matrix would be singular.
pub(super) fn of_finite(
    row: &'static Row,
    op: Op,
    operands: Vec<TensorType>,
) -> BoxedStrategy<Specimen> {
    let filled = |(at, ty): (usize, &TensorType)| {
        let (ty, domain) = (ty.clone(), domain(row, at));
        let count = ty.shape.iter().product::<usize>();
        proptest::collection::vec(finite(ty.dtype), count).prop_filter_map(
            "the values fill the tensor",
            move |mut elements| {
                shape_matrices(domain, &ty, &mut elements);
                number::tensor(ty.clone(), elements)
            },
        )
    };
    let tensors: Vec<_> = operands.iter().enumerate().map(filled).collect();
    (tensors, view())
        .prop_map(move |(tensors, view)| Specimen {
            op: op.clone(),
            tensors,
            view: if view == View::Broadcast {
                View::Plain
            } else {
                view
            },
        })
        .boxed()
}
