//! Products and decompositions.

use emily_spec::{Class, DType, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{concatenate, zeros_dtype};
use mlx_rs::{Array, Dtype, with_stream};

use super::cast::cast;
use super::float::widened;
use super::{Cx, axes as mlx_axes, complex, dims, length};
use crate::Device;
use crate::mlx::{
    bitwise_and, clone_array, dtype_of, integer, left_shift, right_shift, slice, to_mlx,
};

/// One operand of a product, with its axes by their part in it.
pub(super) struct Side<'a> {
    array: &'a Array,
    batch: &'a [usize],
    contract: &'a [usize],
    free: Vec<usize>,
}

impl<'a> Side<'a> {
    pub(super) fn new(array: &'a Array, batch: &'a [usize], contract: &'a [usize]) -> Side<'a> {
        let free = (0..array.ndim())
            .filter(|axis| !batch.contains(axis) && !contract.contains(axis))
            .collect();
        Side {
            array,
            batch,
            contract,
            free,
        }
    }

    /// The number of index tuples over these axes.
    fn count(&self, axes: &[usize]) -> Result<i32> {
        let dims = self.array.shape();
        length(axes.iter().map(|&axis| dims[axis] as usize).product())
    }

    /// The operand as batch × rows × columns matrices.
    fn matrices(&self, rows: &[usize], columns: &[usize], dtype: DType) -> Result<Array> {
        let order = [self.batch, rows, columns].concat();
        cast(self.array, dtype)?
            .transpose_axes(&mlx_axes(&order))?
            .reshape(&[
                self.count(self.batch)?,
                self.count(rows)?,
                self.count(columns)?,
            ])
    }
}

/// Sums of products over the contracted axes, as a batch of matrix products.
pub(super) fn dot(left: &Side, right: &Side, ty: &TensorType, cx: &Cx) -> Result<Array> {
    let shape = dims(&ty.shape);
    if left.array.size() == 0 || right.array.size() == 0 {
        return zeros_dtype(&shape, to_mlx(ty.dtype));
    }
    let a = left.matrices(&left.free, left.contract, ty.dtype)?;
    let b = right.matrices(right.contract, &right.free, ty.dtype)?;
    let product = match ty.dtype.class() {
        Class::Unsigned | Class::Signed => with_stream(cx.cpu, || integer_product(&a, &b))?,
        Class::Float => float_product(&a, &b, cx)?,
        Class::Complex => complex::matmul(&a, &b)?,
    };
    product.reshape(&shape)
}

/// On the CPU MLX multiplies `f16` and `bf16` matrices itself, slowly, adding up in their few
/// digits; BLAS multiplies `f32`.
fn float_product(a: &Array, b: &Array, cx: &Cx) -> Result<Array> {
    if cx.device == Device::Cpu && dtype_of(a).size() == 2 {
        return widened(a)?.matmul(widened(b)?)?.as_dtype(a.dtype());
    }
    a.matmul(b)
}

/// The bits of an integer that one factor of a float product carries.
const LIMB: usize = 16;

/// The terms whose sum of limb products is exact: each is below 2^32, an `f64` holds 2^53.
const TERMS: i32 = 1 << 21;

/// Integer products modulo 2^bits, which MLX does not have, out of exact `f64` ones.
///
/// Σᵢ aᵢ·2^16i and Σⱼ bⱼ·2^16j multiply to Σ aᵢ·bⱼ·2^16(i+j); whatever reaches the width drops out.
/// Two's complement makes signed limbs unneeded. Only the CPU has `f64`.
fn integer_product(a: &Array, b: &Array) -> Result<Array> {
    let (bits, depth) = (8 * dtype_of(a).size(), a.dim(-1));
    let mut total = integer(DType::U64, 0);
    for start in (0..depth).step_by(TERMS as usize) {
        let stop = depth.min(start.saturating_add(TERMS));
        let a = limbs(&part(a, 2, start, stop)?, bits)?;
        let b = limbs(&part(b, 1, start, stop)?, bits)?;
        for (i, a) in a.iter().enumerate() {
            for (j, b) in b.iter().enumerate().take(limb_count(bits) - i) {
                let product = a.matmul(b)?.as_dtype(Dtype::Uint64)?;
                let shift = integer(DType::U64, (LIMB * (i + j)) as i128);
                total = total.add(left_shift(&product, &shift)?)?;
            }
        }
    }
    total.as_dtype(a.dtype())
}

/// How many limbs an integer of this width has.
fn limb_count(bits: usize) -> usize {
    bits.div_ceil(LIMB)
}

/// The limbs of every element, the lowest first.
fn limbs(x: &Array, bits: usize) -> Result<Vec<Array>> {
    let x = x.as_dtype(Dtype::Uint64)?;
    let mask = integer(DType::U64, (1 << LIMB) - 1);
    (0..limb_count(bits))
        .map(|i| {
            let shift = integer(DType::U64, (LIMB * i) as i128);
            bitwise_and(&right_shift(&x, &shift)?, &mask)?.as_dtype(Dtype::Float64)
        })
        .collect()
}

/// The indices from `start` to before `stop` of an axis of matrices.
fn part(x: &Array, axis: usize, start: i32, stop: i32) -> Result<Array> {
    let (mut starts, mut stops) = (vec![0; 3], x.shape().to_vec());
    (starts[axis], stops[axis]) = (start, stop);
    slice(x, &starts, &stops, &[1; 3])
}

/// Q and R of the types asked for. MLX decomposes on the CPU only, in `f32` and `f64`.
pub(super) fn qr(x: &Array, results: &[TensorType], cx: &Cx) -> Result<Vec<Array>> {
    let dtype = results[0].dtype;
    let wide = if dtype.size() == 2 { DType::F32 } else { dtype };
    let columns = *dims(&results[0].shape).last().unwrap_or(&0);
    let x = cast(x, wide)?;
    let (q, r) = with_stream(cx.cpu, || decompose(&x, columns))?;
    Ok(vec![cast(&q, dtype)?, cast(&r, dtype)?])
}

/// Reduced Q and R where Q is to have at most as many columns as the matrix. More of them come of
/// columns of zeros beside it, which leave R's others as they are.
fn decompose(x: &Array, columns: i32) -> Result<(Array, Array)> {
    let (m, n) = (x.dim(-2), x.dim(-1));
    if columns <= n {
        return mlx_rs::linalg::qr(x);
    }
    let mut padding = x.shape().to_vec();
    padding[x.ndim() - 1] = m - n;
    let zeros = zeros_dtype(&padding, x.dtype())?;
    let (q, r) = mlx_rs::linalg::qr(concatenate(&[clone_array(x), zeros], -1)?)?;
    let starts = vec![0; r.ndim()];
    let mut stops = r.shape().to_vec();
    stops[r.ndim() - 1] = n;
    let r = slice(&r, &starts, &stops, &vec![1; r.ndim()])?;
    Ok((q, r))
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use emily_spec::{Op, QrMode};
    use half::{bf16, f16};

    use super::super::testing::{Element, Host, answer, answers, gives, scalar, tensor, vector};
    use super::*;

    fn product(contract: [&[usize]; 2], batch: [&[usize]; 2], dtype: Option<DType>) -> Op {
        let [contract_left, contract_right] = contract.map(<[usize]>::to_vec);
        let [batch_left, batch_right] = batch.map(<[usize]>::to_vec);
        Op::Dot {
            contract_left,
            batch_left,
            contract_right,
            batch_right,
            dtype,
        }
    }

    fn matmul(dtype: Option<DType>) -> Op {
        product([&[1], &[0]], [&[], &[]], dtype)
    }

    fn inner<T: Element, U: Element>(left: &[T], right: &[T], want: U) {
        let op = product([&[0], &[0]], [&[], &[]], None);
        gives(&op, &[vector(left), vector(right)], &scalar(want));
    }

    #[test]
    fn axes_contract_pair_up_and_stay() {
        let a = tensor([2, 2], &[1f32, 2.0, 3.0, 4.0]);
        let b = tensor([2, 2], &[5f32, 6.0, 7.0, 8.0]);
        let both = [a, b];
        gives(
            &matmul(None),
            &both,
            &tensor([2, 2], &[19f32, 22.0, 43.0, 50.0]),
        );
        // AᵀB, A·Bᵀ summed over both, the outer product's corner, and row by row.
        let op = product([&[0], &[0]], [&[], &[]], None);
        gives(&op, &both, &tensor([2, 2], &[26f32, 30.0, 38.0, 44.0]));
        let op = product([&[0, 1], &[1, 0]], [&[], &[]], None);
        gives(&op, &both, &scalar(69f32));
        let op = product([&[1], &[1]], [&[0], &[0]], None);
        gives(&op, &both, &vector(&[17f32, 53.0]));
        let op = product([&[], &[]], [&[0], &[0]], None);
        gives(
            &op,
            &both,
            &tensor([2, 2, 2], &[5f32, 6.0, 10.0, 12.0, 21.0, 24.0, 28.0, 32.0]),
        );
        let op = product([&[], &[]], [&[], &[]], None);
        gives(&op, &[scalar(3f32), scalar(4f32)], &scalar(12f32));
    }

    #[test]
    fn an_empty_contraction_is_zero() {
        let op = matmul(None);
        let (a, b) = (tensor::<f32>([2, 0], &[]), tensor::<f32>([0, 2], &[]));
        gives(&op, &[a, b], &tensor([2, 2], &[0f32; 4]));
        let (a, b) = (tensor::<i8>([2, 0], &[]), tensor::<i8>([0, 1], &[]));
        gives(&op, &[a, b], &tensor([2, 1], &[0i8; 2]));
        let (a, b) = (tensor::<u8>([0, 2], &[]), tensor([2, 1], &[1u8, 1]));
        gives(&op, &[a, b], &tensor::<u8>([0, 1], &[]));
    }

    #[test]
    fn integers_are_exact_and_wrap() {
        inner(&[16_777_217i32, 1], &[1, 1], 16_777_218i32);
        inner(&[100i8, 100], &[2, 1], 44i8);
        inner(&[i8::MIN], &[i8::MIN], 0i8);
        inner(&[255u8; 300], &[255; 300], (255u32 * 255 * 300) as u8);
        inner(&[u16::MAX; 3], &[u16::MAX; 3], 3u16);
        inner(&[i16::MIN, -1], &[1, 1], i16::MAX);
        inner(&[u32::MAX, 1 << 31], &[u32::MAX, 2], 1u32);
        inner(&[i32::MIN, -7], &[-1, 3], i32::MAX - 20);
    }

    #[test]
    fn wide_integers_are_exact_and_wrap() {
        let (a, b) = (0x0123_4567_89ab_cdefu64, 0xfedc_ba98_7654_3210u64);
        inner(
            &[a, b, u64::MAX],
            &[b, a, u64::MAX],
            a.wrapping_mul(b).wrapping_mul(2).wrapping_add(1),
        );
        let (a, b) = (-0x0123_4567_89ab_cdefi64, 0x7edc_ba98_7654_3210i64);
        inner(&[a, i64::MIN], &[b, i64::MIN], a.wrapping_mul(b));
        inner(&[(1i64 << 60) + 1], &[-1], -(1i64 << 60) - 1);
    }

    #[test]
    fn integer_matrices_keep_their_batches() {
        let a: Vec<i32> = (0..12).collect();
        let op = product([&[2], &[1]], [&[0], &[0]], None);
        let operands = [
            tensor([2, 2, 3], &a),
            tensor([2, 3, 1], &[1i32, 0, -1, 2, 1, 0]),
        ];
        gives(&op, &operands, &tensor([2, 2, 1], &[-2i32, -2, 19, 28]));
    }

    #[test]
    fn operands_are_cast_to_the_result_first() {
        let op = product([&[0], &[0]], [&[], &[]], None);
        gives(
            &op,
            &[vector(&[1u64 << 40]), vector(&[-1i8])],
            &scalar(-(1i64 << 40)),
        );
        let op = product([&[0], &[0]], [&[], &[]], Some(DType::U8));
        gives(&op, &[vector(&[300i32]), vector(&[2i32])], &scalar(88u8));
    }

    #[test]
    fn small_floats_accumulate_wide() {
        inner(
            &[bf16::ONE; 1000],
            &[bf16::ONE; 1000],
            bf16::from_f32(1000.0),
        );
        inner(&[f16::ONE; 5000], &[f16::ONE; 5000], f16::from_f32(5000.0));
    }

    #[test]
    fn an_infinite_part_leaves_the_other_part_alone() {
        let inf = f32::INFINITY;
        let op = product([&[0], &[0]], [&[], &[]], None);
        let operands = [vector(&[[3e38f32, 1.0]; 2]), vector(&[[1f32, 0.0]; 2])];
        gives(&op, &operands, &scalar([inf, 2.0]));
    }

    #[test]
    fn complex_and_double_matrices_multiply() {
        inner(
            &[[0f32, 1.0], [2.0, 0.0]],
            &[[0.0, 1.0], [1.0, 1.0]],
            [1f32, 2.0],
        );
        inner(&[0.1f64, 0.2], &[10.0, 10.0], 3f64);
    }

    /// Row-major matrices in f64.
    struct Matrix {
        rows: usize,
        columns: usize,
        values: Vec<f64>,
    }

    impl Matrix {
        fn all(host: &Host) -> Vec<Matrix> {
            let dims = host.ty.shape.dims();
            let (rows, columns) = (dims[dims.len() - 2], dims[dims.len() - 1]);
            let values: Vec<f64> = if host.ty.dtype == DType::F64 {
                host.values()
            } else {
                host.values::<f32>().into_iter().map(f64::from).collect()
            };
            values
                .chunks_exact(rows * columns)
                .map(|part| Matrix {
                    rows,
                    columns,
                    values: part.to_vec(),
                })
                .collect()
        }

        fn at(&self, i: usize, j: usize) -> f64 {
            self.values[i * self.columns + j]
        }

        fn largest_difference(&self, want: impl Fn(usize, usize) -> f64) -> f64 {
            let all = (0..self.rows).flat_map(|i| (0..self.columns).map(move |j| (i, j)));
            all.map(|(i, j)| (self.at(i, j) - want(i, j)).abs())
                .fold(0.0, f64::max)
        }
    }

    /// A = Q·R, QᵀQ = 1, R upper triangular.
    fn decomposes(a: &Host, mode: QrMode, eps: f64) {
        let [q, r] = answers(&Op::Qr { mode }, from_ref(a))
            .unwrap()
            .try_into()
            .unwrap();
        let as_floats = answer(&Op::AsType { dtype: r.ty.dtype }, from_ref(a));
        for ((a, q), r) in Matrix::all(&as_floats)
            .iter()
            .zip(Matrix::all(&q))
            .zip(Matrix::all(&r))
        {
            let allowed = 8.0 * eps * a.rows.max(a.columns) as f64;
            let norm = a.values.iter().map(|x| x * x).sum::<f64>().sqrt();
            let k = q.columns;
            assert_eq!((q.rows, r.rows, r.columns), (a.rows, k, a.columns));
            let qr = |i: usize, j: usize| (0..k).map(|l| q.at(i, l) * r.at(l, j)).sum();
            assert!(a.largest_difference(qr) <= allowed * norm.max(1e-30));
            for (i, j) in (0..k).flat_map(|i| (0..k).map(move |j| (i, j))) {
                let dot: f64 = (0..q.rows).map(|l| q.at(l, i) * q.at(l, j)).sum();
                assert!((dot - f64::from(i == j)).abs() <= allowed, "{i} {j} {dot}");
            }
            for (i, j) in (0..k).flat_map(|i| (0..i.min(r.columns)).map(move |j| (i, j))) {
                assert_eq!(r.at(i, j), 0.0);
            }
        }
    }

    fn waves(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 1.7).sin() * 4.0).collect()
    }

    #[test]
    fn matrices_of_every_shape_decompose() {
        for (m, n) in [(1, 1), (4, 4), (5, 3), (3, 5), (1, 4), (4, 1), (33, 17)] {
            for mode in [QrMode::Reduced, QrMode::Complete] {
                decomposes(&tensor([m, n], &waves(m * n)), mode, f32::EPSILON.into());
            }
        }
    }

    #[test]
    fn batches_ranks_and_dtypes_decompose() {
        for mode in [QrMode::Reduced, QrMode::Complete] {
            decomposes(&tensor([2, 1, 4, 2], &waves(16)), mode, f32::EPSILON.into());
            decomposes(&tensor([4, 2], &[0f32; 8]), mode, f32::EPSILON.into());
            decomposes(
                &tensor([3, 2], &[1f32, 1.0, 2.0, 2.0, 3.0, 3.0]),
                mode,
                f32::EPSILON.into(),
            );
            decomposes(
                &tensor([3, 2], &[1i32, 2, 3, 4, 5, 7]),
                mode,
                f32::EPSILON.into(),
            );
            decomposes(
                &tensor([3, 2], &[0.1f64, 0.2, 0.3, 0.5, 0.7, 0.9]),
                mode,
                f64::EPSILON,
            );
            let [q, r] = answers(&Op::Qr { mode }, &[tensor([1, 1], &[f16::from_f32(-2.0)])])
                .unwrap()
                .try_into()
                .unwrap();
            let product = q.values::<f16>()[0].to_f32() * r.values::<f16>()[0].to_f32();
            assert_eq!(product, -2.0);
            let none = tensor::<f32>([0, 2, 2], &[]);
            assert!(
                answers(&Op::Qr { mode }, &[none]).unwrap()[0]
                    .bytes
                    .is_empty()
            );
        }
    }
}
