//! Calls of products and decompositions.

use emily_spec::{DType, Dot, Op, Qr, QrMode, Row, Shape, TensorType};
use proptest::prelude::*;
use proptest::sample::select;

use super::values::{dtype_of, finite, rarely_a_dtype, view};
use super::{Specimen, specimen};
use crate::number;

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

pub(super) fn qr(row: &'static Row) -> BoxedStrategy<Specimen> {
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
                op: Op::Qr(Qr { mode }),
                tensors,
                view,
            })
        })
    };
    (dims, dtype_of(row), mode).prop_flat_map(of).boxed()
}
