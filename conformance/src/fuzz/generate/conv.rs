//! Calls of convolutions.

use emily_spec::{Conv, DType, Op, Row, Shape};
use proptest::prelude::*;

use super::values::dtype_of;
use super::{Specimen, specimen};

/// What a random convolution does along one spatial axis, with the sizes of input and kernel.
#[derive(Clone, Debug)]
struct Along {
    sizes: [usize; 2],
    stride: usize,
    padding: [i64; 2],
    dilations: [usize; 2],
}

impl Along {
    /// The zeros before the first element: as many more as the window needs room.
    fn low(&self) -> i64 {
        let reach = |side: usize| ((self.sizes[side] - 1) * self.dilations[side] + 1) as i64;
        let [low, high] = self.padding;
        low + (reach(1) - reach(0) - low - high).max(0)
    }
}

/// Random convolutions of one to four spatial axes.
pub(super) fn conv(row: &'static Row) -> BoxedStrategy<Specimen> {
    let along = (
        [1..6usize, 1..4usize],
        1..4usize,
        [-1..4i64, -1..4i64],
        [1..3usize, 1..3usize],
    );
    let along = along.prop_map(|(sizes, stride, padding, dilations)| Along {
        sizes,
        stride,
        padding,
        dilations,
    });
    let dtypes = prop_oneof![
        3 => dtype_of(row).prop_map(|dtype| [dtype, dtype]),
        1 => [dtype_of(row), dtype_of(row)],
    ];
    // Batch, channels and output channels of one group; how many, and whether the batch is split.
    let sizes = ([1..3usize, 1..4usize, 1..4usize], 1..4usize, any::<bool>());
    let parts = (proptest::collection::vec(along, 1..=4), sizes, dtypes);
    parts
        .prop_flat_map(move |(along, sizes, dtypes)| {
            let orders = [(); 3].map(|()| {
                let axes: Vec<usize> = (0..along.len() + 2).collect();
                prop_oneof![1 => Just(axes.clone()), 2 => Just(axes).prop_shuffle()]
            });
            orders.prop_map(move |orders| (along.clone(), sizes, dtypes, orders))
        })
        .prop_flat_map(move |(along, sizes, dtypes, orders)| {
            specimens(row, &along, sizes, dtypes, orders)
        })
        .boxed()
}

fn specimens(
    row: &'static Row,
    along: &[Along],
    ([batch, channels, outputs], groups, splits_batch): ([usize; 3], usize, bool),
    dtypes: [DType; 2],
    orders: [Vec<usize>; 3],
) -> BoxedStrategy<Specimen> {
    let (features, batches) = match splits_batch {
        true => (1, groups),
        false => (groups, 1),
    };
    let input = [batch * batches, channels * features];
    let kernel = [outputs * groups, channels];
    let shape = |first: [usize; 2], side: usize, order: &[usize]| {
        let spatial: Vec<usize> = along.iter().map(|axis| axis.sizes[side]).collect();
        let dims = [&first[..], &spatial].concat();
        let mut placed = vec![0; dims.len()];
        order
            .iter()
            .zip(dims)
            .for_each(|(&at, dim)| placed[at] = dim);
        Shape::new(placed)
    };
    let shapes = [shape(input, 0, &orders[0]), shape(kernel, 1, &orders[1])];
    let [input_order, kernel_order, output_order] = orders;
    let conv = Conv {
        strides: Some(along.iter().map(|axis| axis.stride).collect()),
        low: Some(along.iter().map(Along::low).collect()),
        high: Some(along.iter().map(|axis| axis.padding[1]).collect()),
        input_dilation: Some(along.iter().map(|axis| axis.dilations[0]).collect()),
        kernel_dilation: Some(along.iter().map(|axis| axis.dilations[1]).collect()),
        feature_group_size: Some(features),
        batch_group_size: Some(batches),
        input_permutation: Some(input_order.into()),
        kernel_permutation: Some(kernel_order.into()),
        output_permutation: Some(output_order.into()),
    };
    let [input, kernel] = shapes;
    let [a, b] = dtypes;
    specimen(
        row,
        Just(Op::Conv(conv)).boxed(),
        vec![(a, input), (b, kernel)],
    )
}
