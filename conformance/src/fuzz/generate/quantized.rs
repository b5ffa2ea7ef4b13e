//! Calls with matrices of packed codes.

use emily_spec::{
    DType, Dequantize, FpDequantize, FpFormat, FpGatherQmm, FpQuantize, FpQuantizedMatmul,
    GatherQmm, Op, Quantize, QuantizedMatmul, Row, Shape, Tensor, TensorType,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::linalg::{of_finite, picks};
use super::values::dtype_of;
use super::{Specimen, specimen};
use crate::number;

/// How a matrix is packed, and its shape in groups.
#[derive(Clone, Debug)]
struct Matrix {
    group_size: usize,
    bits: usize,
    batch: Vec<usize>,
    rows: usize,
    groups: usize,
    dtypes: [DType; 2],
}

fn matrices(row: &'static Row) -> impl Strategy<Value = Matrix> {
    let group_size = select(vec![32usize, 32, 64, 128]);
    let bits = select(vec![2usize, 3, 4, 5, 6, 8]);
    let batch = proptest::collection::vec(0..3usize, 0..=1);
    let dtypes = prop_oneof![
        3 => dtype_of(row).prop_map(|dtype| [dtype, dtype]),
        1 => [dtype_of(row), dtype_of(row)],
    ];
    (group_size, bits, batch, 0..4usize, 0..3usize, dtypes).prop_map(
        |(group_size, bits, batch, rows, groups, dtypes)| Matrix {
            group_size,
            bits,
            batch,
            rows,
            groups,
            dtypes,
        },
    )
}

impl Matrix {
    /// The types of packed codes, scales and biases.
    fn types(&self) -> Vec<(DType, Shape)> {
        let shape = |last| Shape::new([&self.batch[..], &[self.rows, last]].concat());
        let words = self.groups * self.group_size * self.bits / 32;
        let [scales, biases] = self.dtypes;
        vec![
            (DType::U32, shape(words)),
            (scales, shape(self.groups)),
            (biases, shape(self.groups)),
        ]
    }
}

pub(super) fn quantize(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |matrix: Matrix| {
        let op = Op::Quantize(Quantize {
            group_size: matrix.group_size,
            bits: matrix.bits,
        });
        let own = [matrix.rows, matrix.groups * matrix.group_size];
        let shape = [&matrix.batch[..], &own].concat();
        of_finite(row, op, vec![TensorType::new(matrix.dtypes[0], shape)])
    };
    matrices(row).prop_flat_map(of).boxed()
}

pub(super) fn dequantize(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |matrix: Matrix| {
        let op = Op::Dequantize(Dequantize {
            group_size: matrix.group_size,
            bits: matrix.bits,
        });
        specimen(row, Just(op).boxed(), matrix.types())
    };
    matrices(row).prop_flat_map(of).boxed()
}

pub(super) fn quantized_matmul(row: &'static Row) -> BoxedStrategy<Specimen> {
    // The rows of x, and which of its batch axes are there, and which of the matrices' are one.
    let rows = (0..4usize, any::<[bool; 2]>(), dtype_of(row));
    let of = move |(mut matrix, transpose, (rows, [batched, one], dtype)): Drawn| {
        let op = Op::QuantizedMatmul(QuantizedMatmul {
            transpose,
            group_size: matrix.group_size,
            bits: matrix.bits,
        });
        let inner = match transpose {
            true => matrix.groups * matrix.group_size,
            false => matrix.rows,
        };
        let batch = if batched {
            matrix.batch.clone()
        } else {
            Vec::new()
        };
        if batched && one {
            matrix.batch.fill(1);
        }
        let x = Shape::new([&batch[..], &[rows, inner]].concat());
        let types = [vec![(dtype, x)], matrix.types()].concat();
        specimen(row, Just(op).boxed(), types)
    };
    (matrices(row), any::<bool>(), rows)
        .prop_flat_map(of)
        .boxed()
}

type Drawn = (Matrix, bool, (usize, [bool; 2], DType));

pub(super) fn gather_qmm(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |(matrix, transpose, (leading, rows, dtype)): (Matrix, bool, Rows)| {
        let op = Op::GatherQmm(GatherQmm {
            transpose,
            group_size: matrix.group_size,
            bits: matrix.bits,
        });
        let inner = match transpose {
            true => matrix.groups * matrix.group_size,
            false => matrix.rows,
        };
        let counts = [&leading, &matrix.batch].map(|leading| leading.iter().product());
        let x = Shape::new([&leading[..], &[rows, inner]].concat());
        let types = [vec![(dtype, x)], matrix.types()].concat();
        let data = specimen(row, Just(op).boxed(), types);
        (data, picks(counts)).prop_map(|(mut data, picks)| {
            data.tensors.extend(picks);
            data
        })
    };
    (matrices(row), any::<bool>(), rows(row))
        .prop_flat_map(of)
        .boxed()
}

/// Leading axes, rows and the dtype of x.
type Rows = (Vec<usize>, usize, DType);

fn rows(row: &'static Row) -> impl Strategy<Value = Rows> {
    let leading = proptest::collection::vec(0..3usize, 0..=2);
    (leading, 0..4usize, dtype_of(row))
}

pub(super) fn fp_gather_qmm(row: &'static Row) -> BoxedStrategy<Specimen> {
    type Drawn = (FpFormat, Sizes, bool, Rows);
    let of = move |(format, (batch, rows, groups), transpose, (leading, m, dtype)): Drawn| {
        let inner = match transpose {
            true => groups * format.group_size(),
            false => rows,
        };
        let counts = [&leading, &batch].map(|leading| leading.iter().product());
        let [packed, scales] = fp_types(format, &batch, rows, groups);
        let scales = TensorType::new(scales.0, scales.1);
        let x = Shape::new([&leading[..], &[m, inner]].concat());
        let op = Op::FpGatherQmm(FpGatherQmm { transpose, format });
        let rest = specimen(row, Just(op).boxed(), vec![(dtype, x), packed]);
        let scales = large_scales(format, scales);
        (rest, scales, picks(counts)).prop_map(|(mut rest, scales, picks)| {
            rest.tensors.push(scales);
            rest.tensors.extend(picks);
            rest
        })
    };
    (select(FORMATS.to_vec()), sizes(), any::<bool>(), rows(row))
        .prop_flat_map(of)
        .boxed()
}

const FORMATS: [FpFormat; 3] = [FpFormat::Mxfp4, FpFormat::Mxfp8, FpFormat::Nvfp4];

pub(super) fn fp_dequantize(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |(format, dtype, (batch, rows, groups)): (FpFormat, DType, Sizes)| {
        let types = fp_types(format, &batch, rows, groups).to_vec();
        let op = Op::FpDequantize(FpDequantize { format, dtype });
        specimen(row, Just(op).boxed(), types)
    };
    (select(FORMATS.to_vec()), dtype_of(row), sizes())
        .prop_flat_map(of)
        .boxed()
}

pub(super) fn fp_quantize(row: &'static Row) -> BoxedStrategy<Specimen> {
    let of = move |(format, dtype, (batch, rows, groups)): (FpFormat, DType, Sizes)| {
        let own = [rows, groups * format.group_size()];
        let shape = Shape::new([&batch[..], &own].concat());
        let op = Op::FpQuantize(FpQuantize { format });
        specimen(row, Just(op).boxed(), vec![(dtype, shape)])
    };
    (select(FORMATS.to_vec()), dtype_of(row), sizes())
        .prop_flat_map(of)
        .boxed()
}

/// Batch axes, rows, and groups of a row.
type Sizes = (Vec<usize>, usize, usize);

fn sizes() -> impl Strategy<Value = Sizes> {
    let batch = proptest::collection::vec(0..3usize, 0..=1);
    (batch, 0..4usize, 0..4usize)
}

/// The types of packed codes and scales.
fn fp_types(format: FpFormat, batch: &[usize], rows: usize, groups: usize) -> [(DType, Shape); 2] {
    let shape = |last| Shape::new([batch, &[rows, last]].concat());
    let words = groups * format.group_size() * format.bits() / 32;
    [(DType::U32, shape(words)), (DType::U8, shape(groups))]
}

pub(super) fn fp_quantized_matmul(row: &'static Row) -> BoxedStrategy<Specimen> {
    type Drawn = (FpFormat, Sizes, bool, (usize, [bool; 2], DType));
    let of = move |(format, sizes, transpose, (m, [batched, one], dtype)): Drawn| {
        let (mut batch, rows, groups) = sizes;
        let inner = match transpose {
            true => groups * format.group_size(),
            false => rows,
        };
        let own = if batched { batch.clone() } else { Vec::new() };
        if batched && one {
            batch.fill(1);
        }
        let [packed, scales] = fp_types(format, &batch, rows, groups);
        let scales = TensorType::new(scales.0, scales.1);
        let x = Shape::new([&own[..], &[m, inner]].concat());
        let op = Op::FpQuantizedMatmul(FpQuantizedMatmul { transpose, format });
        let rest = specimen(row, Just(op).boxed(), vec![(dtype, x), packed]);
        (rest, large_scales(format, scales)).prop_map(|(mut rest, scales)| {
            rest.tensors.push(scales);
            rest
        })
    };
    let m = (0..4usize, any::<[bool; 2]>(), dtype_of(row));
    (select(FORMATS.to_vec()), sizes(), any::<bool>(), m)
        .prop_flat_map(of)
        .boxed()
}

/// Scales of which no product underflows, also that of the least elements, and no sum overflows; seldom NaN.
fn large_scales(format: FpFormat, ty: TensorType) -> BoxedStrategy<Tensor> {
    let (scale, nan) = match format {
        FpFormat::Mxfp4 => (128..158u64, 0xff),
        FpFormat::Mxfp8 => (136..166, 0xff),
        FpFormat::Nvfp4 => (0x40..0x7f, 0x7f),
    };
    let scale = prop_oneof![19 => scale, 1 => Just(nan)];
    let count = ty.shape.iter().product::<usize>();
    proptest::collection::vec(scale, count)
        .prop_filter_map("the scales fill their tensor", move |scales| {
            number::tensor(ty.clone(), scales)
        })
        .boxed()
}
