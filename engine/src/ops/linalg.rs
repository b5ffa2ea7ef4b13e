//! Products, systems of equations and decompositions.
//!
//! MLX decomposes on the CPU only, in `f32` and `f64`.

mod decompose;
mod determinant;
mod gathered;
mod solve;
mod spectral;

pub(super) use decompose::{cholesky, lu, qr};
pub(super) use determinant::determinant;
pub(super) use gathered::{flatten_leading, gather_mm, only_picked, picked_product};
pub(super) use solve::{solve, triangular_solve};
pub(super) use spectral::{eigh, svd};

use std::ops::Range;

use emily_spec::{Class, DType, Dot, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::zeros_dtype;
use mlx_rs::{Array, Dtype};

use super::cast::cast;
use super::float::widened;
use super::{Cx, axes as mlx_axes, complex, dims, length};
use crate::Device;
use crate::mlx::{bitwise_and, dtype_of, integer, left_shift, right_shift, slice_axis, to_mlx};

/// One operand of a product, with its axes by their part in it.
struct Side<'a> {
    array: &'a Array,
    batch: &'a [usize],
    contract: &'a [usize],
    free: Vec<usize>,
}

impl<'a> Side<'a> {
    fn new(array: &'a Array, batch: &'a [usize], contract: &'a [usize]) -> Side<'a> {
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
pub(super) fn dot(op: &Dot, inputs: &[Array], ty: &TensorType, cx: &Cx) -> Result<Array> {
    let ([batch_left, batch_right], [contract_left, contract_right]) = (op.batch(), op.contract());
    let left = Side::new(&inputs[0], batch_left, contract_left);
    let right = Side::new(&inputs[1], batch_right, contract_right);
    let shape = dims(&ty.shape);
    if left.array.size() == 0 || right.array.size() == 0 {
        return zeros_dtype(&shape, to_mlx(ty.dtype));
    }
    let a = left.matrices(&left.free, left.contract, ty.dtype)?;
    let b = right.matrices(right.contract, &right.free, ty.dtype)?;
    let product = match ty.dtype.class() {
        Class::Unsigned | Class::Signed => cx.on_cpu([&a, &b], |[a, b]| integer_product(a, b))?,
        Class::Float => float_product(&a, &b, cx)?,
        Class::Complex => complex::matmul(&a, &b)?,
    };
    product.reshape(&shape)
}

/// On the CPU MLX multiplies `f16` and `bf16` matrices itself, slowly, adding up in their few
/// digits; BLAS multiplies `f32`.
fn float_product(a: &Array, b: &Array, cx: &Cx) -> Result<Array> {
    if cx.device == Device::Cpu && dtype_of(a).is_small_float() {
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
        let a = limbs(&slice_axis(a, 2, start..stop)?, bits)?;
        let b = limbs(&slice_axis(b, 1, start..stop)?, bits)?;
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

/// The matrices of a batch, and their rows and columns.
fn sizes(x: &Array) -> [usize; 3] {
    let (m, n) = (x.dim(-2) as usize, x.dim(-1) as usize);
    [x.size() / (m * n).max(1), m, n]
}

/// What LAPACK works on at a time, as a block of columns: no more than this many.
const BLOCK: usize = 64;

/// A tensor in the result's dtype, and that in what it is computed in: at least `f32`.
fn wide(x: &Array, dtype: DType) -> Result<Array> {
    widened(&cast(x, dtype)?)
}

/// Rows become columns.
pub(super) fn transposed(x: &Array) -> Result<Array> {
    x.swap_axes(-1, -2)
}

/// These rows of each matrix.
fn rows(x: &Array, range: &Range<i32>) -> Result<Array> {
    slice_axis(x, x.ndim() - 2, range.clone())
}

/// These rows and columns of each matrix.
fn block(x: &Array, rows: &Range<i32>, columns: &Range<i32>) -> Result<Array> {
    slice_axis(&self::rows(x, rows)?, x.ndim() - 1, columns.clone())
}
