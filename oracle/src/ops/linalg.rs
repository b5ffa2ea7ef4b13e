//! Products and decompositions.

use emily_spec::{DType, Result, TensorType};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, Slice};

use super::accumulate;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

/// One sum of products per batch index, row of the left and row of the right operand, a row being
/// the elements along the contracted axes. Batch axes lead, so rows come grouped by batch index.
pub(crate) fn dot(
    inputs: &[WideArray],
    contract: [&[usize]; 2],
    batch: [&[usize]; 2],
    target: Target,
) -> Result<WideAnswer> {
    let rows = |side: usize| array::rows(&inputs[side].mapv(|x| target.cast(x)), contract[side]);
    let (left, right) = (rows(0)?, rows(1)?);
    let batches: usize = batch[0]
        .iter()
        .map(|&axis| inputs[0].shape()[axis])
        .product();
    // No batch means no rows, which any number of groups divides.
    let (m, n) = (
        left.nrows() / batches.max(1),
        right.nrows() / batches.max(1),
    );
    let (values, magnitude) = (0..batches * m)
        .flat_map(|i| (0..n).map(move |j| (i, i / m * n + j)))
        .map(|(i, j)| inner(left.row(i), right.row(j), target))
        .map(|(value, magnitude)| (value, magnitude * growth(target.dtype(), left.ncols())))
        .unzip();
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values)?,
        magnitude: (!target.dtype().is_integer()).then_some(magnitude),
    })
}

/// How much more than one rounding of Σ|aᵢ·bᵢ| a product of this many terms may be off by.
///
/// A BLAS adds in an order of its own choice, and any order is within n·eps/2 (Higham, *Accuracy and
/// Stability of Numerical Algorithms*, 3.1), which terms of very different size come near. Two units
/// are allowed, so a real product grows by n/4; a complex one has two real ones in each part. The
/// small floats are added in `f32`, whose roundings they do not see.
fn growth(dtype: DType, terms: usize) -> f64 {
    match dtype {
        DType::F16 | DType::Bf16 => 1.0,
        DType::C64 => (terms as f64 / 2.0).max(1.0),
        _ => (terms as f64 / 4.0).max(1.0),
    }
}

fn inner(left: ArrayView1<Wide>, right: ArrayView1<Wide>, target: Target) -> (Wide, f64) {
    let terms = left.iter().copied().zip(right.iter().copied());
    let total = accumulate::dot(target.class(), terms);
    (total.value, total.magnitude)
}

/// Householder's Q and R of each matrix over the last two axes. Inference refuses empty matrices.
pub(crate) fn qr(
    input: &WideArray,
    results: &[TensorType],
    target: Target,
) -> Result<Vec<WideAnswer>> {
    let dims = input.shape();
    let (m, n) = (dims[dims.len() - 2], dims[dims.len() - 1]);
    // The columns of Q that are asked for: m, or the smaller dimension.
    let k = results[0].shape[dims.len() - 1];
    let elements: Vec<f64> = input.iter().map(|&x| target.cast(x).float()).collect();
    let (mut qs, mut rs) = (Vec::new(), Vec::new());
    for elements in elements.chunks_exact(m * n) {
        let matrix = Array2::from_shape_fn((m, n), |(i, j)| elements[i * n + j]);
        let (q, r) = householder(matrix.view());
        qs.extend(
            q.slice_axis(Axis(1), Slice::from(..k))
                .iter()
                .map(|&x| Wide::Float(x)),
        );
        rs.extend(
            r.slice_axis(Axis(0), Slice::from(..k))
                .iter()
                .map(|&x| Wide::Float(x)),
        );
    }
    Ok(vec![
        array::from_vec(&results[0].shape, qs)?.into(),
        array::from_vec(&results[1].shape, rs)?.into(),
    ])
}

/// Q of m × m and R of m × n: reflections clear R's columns below the diagonal one by one, and Q
/// is their product.
fn householder(a: ArrayView2<f64>) -> (Array2<f64>, Array2<f64>) {
    let (m, n) = a.dim();
    let mut q = Array2::eye(m);
    let mut r = a.to_owned();
    for j in 0..n.min(m - 1) {
        let Some(v) = reflector(corner(&mut r, j, j).column(0)) else {
            continue;
        };
        reflect(corner(&mut r, j, j), &v);
        corner(&mut r, j + 1, j).column_mut(0).fill(0.0);
        // Q·H is the transpose of H·Qᵀ.
        reflect(corner(&mut q, 0, j).reversed_axes(), &v);
    }
    (q, r)
}

/// The part from this row and column on.
fn corner(a: &mut Array2<f64>, row: usize, column: usize) -> ArrayViewMut2<'_, f64> {
    a.slice_each_axis_mut(|axis| Slice::from([row, column][axis.axis.index()]..))
}

/// The unit vector whose reflection takes the column to a multiple of the first axis; none where
/// the column is zero. Scaled first, so that squares neither overflow nor vanish.
fn reflector(column: ArrayView1<f64>) -> Option<Array1<f64>> {
    let largest = column.fold(0.0, |largest: f64, x| largest.max(x.abs()));
    if largest == 0.0 {
        return None;
    }
    let mut v = &column / largest;
    // Away from zero, so that nothing cancels.
    v[0] += norm(&v).copysign(v[0]);
    let length = norm(&v);
    Some(v / length)
}

fn norm(v: &Array1<f64>) -> f64 {
    v.dot(v).sqrt()
}

/// A ← (I − 2·v·vᵀ)·A.
fn reflect(mut a: ArrayViewMut2<f64>, v: &Array1<f64>) {
    let projection = v.dot(&a);
    for (mut row, &x) in a.rows_mut().into_iter().zip(v) {
        row.scaled_add(-2.0 * x, &projection);
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use emily_spec::{DType, Op, QrMode};

    use super::*;
    use crate::testing::{answers, gives, tensor};

    fn dot(contract: [&[usize]; 2], batch: [&[usize]; 2]) -> Op {
        Op::Dot {
            contract_left: contract[0].to_vec(),
            batch_left: batch[0].to_vec(),
            contract_right: contract[1].to_vec(),
            batch_right: batch[1].to_vec(),
            dtype: None,
        }
    }

    fn matmul() -> Op {
        dot([&[1], &[0]], [&[], &[]])
    }

    #[test]
    fn rows_meet_columns() {
        gives(
            &matmul(),
            &["s32[2,3] 1 2 3 4 5 6", "s32[3,2] 1 0 0 1 1 1"],
            "s32[2,2] 4 5 10 11",
        );
        let inner = dot([&[0], &[0]], [&[], &[]]);
        gives(&inner, &["f32[2] 1 2", "f32[2] 3 4"], "f32[] 11");
        let outer = dot([&[], &[]], [&[], &[]]);
        gives(&outer, &["u8[2] 1 2", "u8[2] 3 4"], "u8[2,2] 3 4 6 8");
        gives(&outer, &["u8[] 3", "u8[] 100"], "u8[] 44");
    }

    #[test]
    fn contracted_axes_pair_in_the_order_given() {
        // Σ aᵢⱼ·bⱼᵢ = 1·1 + 2·3 + 3·2 + 4·4.
        let trace = dot([&[0, 1], &[1, 0]], [&[], &[]]);
        gives(&trace, &["s8[2,2] 1 2 3 4", "s8[2,2] 1 2 3 4"], "s8[] 29");
    }

    #[test]
    fn batch_axes_come_first_then_left_then_right() {
        // Two batches of a 1 × 2 by a 2 × 1, then free axes of sizes 2 and 3.
        let batched = dot([&[2], &[1]], [&[0], &[0]]);
        gives(
            &batched,
            &["s32[2,1,2] 1 2 3 4", "s32[2,2,1] 5 6 7 8"],
            "s32[2,1,1] 17 53",
        );
        let outer = dot([&[], &[]], [&[0], &[0]]);
        gives(
            &outer,
            &["s32[2,2] 1 2 3 4", "s32[2,3] 1 10 100 2 20 200"],
            "s32[2,2,3] 1 10 100 2 20 200 6 60 600 8 80 800",
        );
    }

    #[test]
    fn empty_axes_give_zeros_or_nothing() {
        gives(&matmul(), &["f32[2,0]", "f32[0,1]"], "f32[2,1] 0 0");
        gives(&matmul(), &["f32[0,2]", "f32[2,3] 1 2 3 4 5 6"], "f32[0,3]");
        let batched = dot([&[2], &[1]], [&[0], &[0]]);
        gives(&batched, &["f32[0,1,2]", "f32[0,2,1]"], "f32[0,1,1]");
    }

    #[test]
    fn integer_products_are_exact_and_wrap() {
        let inner = dot([&[0], &[0]], [&[], &[]]);
        gives(&inner, &["s32[1] 16777217", "s32[1] 1"], "s32[] 16777217");
        gives(&inner, &["u8[2] 255 255", "u8[2] 255 255"], "u8[] 2");
        let max = "u64[2] 18446744073709551615 18446744073709551615";
        gives(&inner, &[max, max], "u64[] 2");
        gives(
            &inner,
            &["u64[1] 18446744073709551615", "s8[1] 2"],
            "s64[] -2",
        );
    }

    #[test]
    fn floats_accumulate_wide_and_non_finite_ones_are_natural() {
        let inner = dot([&[0], &[0]], [&[], &[]]);
        gives(
            &inner,
            &["f16[3] 65504 65504 1", "f16[3] 1 -1 1"],
            "f16[] 1",
        );
        gives(&inner, &["f32[2] inf 1", "f32[2] 0 1"], "f32[] nan");
        gives(&inner, &["c64[1] 1+2i", "c64[1] 3+4i"], "c64[] -5+10i");
        let magnitude = |left, right| {
            let [answer] = answers(&inner, &[left, right]).try_into().unwrap();
            answer.magnitude
        };
        assert_eq!(magnitude("f32[2] 1 -2", "f32[2] 3 4"), Some(vec![11.0]));
        assert_eq!(
            magnitude("f32[8] 1 -2 0 0 0 0 0 0", "f32[8] 3 4 1 1 1 1 1 1"),
            Some(vec![22.0])
        );
        assert_eq!(
            magnitude("f16[4] 1 -2 0 0", "f16[4] 3 4 1 1"),
            Some(vec![11.0])
        );
    }

    /// The factors as matrices, the first ones of a batch.
    fn factors(mode: QrMode, input: &str) -> (Array2<f64>, Array2<f64>) {
        let [q, r] = answers(&Op::Qr { mode }, &[input]).try_into().unwrap();
        let matrix = |tensor: &emily_spec::Tensor| {
            let wide = array::decode(tensor).unwrap();
            let rank = wide.ndim();
            let dim = (wide.len_of(Axis(rank - 2)), wide.len_of(Axis(rank - 1)));
            let first = wide.iter().map(|x| x.float()).take(dim.0 * dim.1);
            Array2::from_shape_vec(dim, first.collect()).unwrap()
        };
        (matrix(&q.tensor), matrix(&r.tensor))
    }

    #[track_caller]
    fn promises(mode: QrMode, input: &str, dims: [(usize, usize); 2]) {
        let (q, r) = factors(mode, input);
        assert_eq!([q.dim(), r.dim()], dims);
        let a = array::decode(&tensor(input)).unwrap();
        for (got, want) in q.dot(&r).iter().zip(&a) {
            assert_abs_diff_eq!(*got, want.float(), epsilon = 1e-13);
        }
        let identity = Array2::<f64>::eye(q.ncols());
        for (got, want) in q.t().dot(&q).iter().zip(&identity) {
            assert_abs_diff_eq!(*got, *want, epsilon = 1e-14);
        }
        for ((i, j), &x) in r.indexed_iter() {
            assert!(i <= j || x == 0.0, "R[{i}, {j}] is {x}");
        }
    }

    #[test]
    fn factors_multiply_to_the_matrix_and_q_is_orthonormal() {
        let tall = "f64[3,2] 1 2 3 4 5 7";
        promises(QrMode::Reduced, tall, [(3, 2), (2, 2)]);
        promises(QrMode::Complete, tall, [(3, 3), (3, 2)]);
        let wide = "f64[2,3] 1 2 3 4 5 7";
        promises(QrMode::Reduced, wide, [(2, 2), (2, 3)]);
        promises(QrMode::Complete, wide, [(2, 2), (2, 3)]);
        promises(QrMode::Reduced, "f64[1,1] -3", [(1, 1), (1, 1)]);
    }

    #[test]
    fn singular_matrices_have_factors_too() {
        promises(QrMode::Reduced, "f64[2,2] 0 0 0 0", [(2, 2), (2, 2)]);
        promises(QrMode::Complete, "f64[3,2] 0 1 0 2 0 3", [(3, 3), (3, 2)]);
        promises(QrMode::Reduced, "f64[2,2] 1 2 2 4", [(2, 2), (2, 2)]);
    }

    #[test]
    fn large_columns_do_not_overflow() {
        let (_, r) = factors(QrMode::Reduced, "f64[2,1] 3e200 4e200");
        assert_abs_diff_eq!(r[[0, 0]].abs() / 1e200, 5.0, epsilon = 1e-14);
    }

    #[test]
    fn a_column_is_reflected_onto_the_first_axis() {
        // The norm of (3, 4) is 5, and the reflection goes to the far side.
        let (q, r) = factors(QrMode::Reduced, "f32[2,2] 3 0 4 5");
        assert_abs_diff_eq!(r[[0, 0]], -5.0, epsilon = 1e-6);
        assert_abs_diff_eq!(r[[0, 1]], -4.0, epsilon = 1e-6);
        assert_abs_diff_eq!(r[[1, 1]].abs(), 3.0, epsilon = 1e-6);
        assert_abs_diff_eq!(q[[0, 0]], -0.6, epsilon = 1e-6);
    }

    #[test]
    fn every_matrix_of_a_batch_is_decomposed() {
        let batch = answers(
            &Op::Qr {
                mode: QrMode::Reduced,
            },
            &["s8[2,1,1] -3 7"],
        );
        let text: Vec<_> = batch.iter().map(|a| a.tensor.ty().to_string()).collect();
        assert_eq!(text, ["f32[2,1,1]", "f32[2,1,1]"]);
        let product = matmul_batch(&batch[0].tensor, &batch[1].tensor);
        assert_eq!(product, [-3.0, 7.0]);
        let none = answers(
            &Op::Qr {
                mode: QrMode::Complete,
            },
            &["f32[0,3,2]"],
        );
        assert_eq!(none[0].tensor.ty().to_string(), "f32[0,3,3]");
    }

    fn matmul_batch(q: &emily_spec::Tensor, r: &emily_spec::Tensor) -> Vec<f64> {
        assert_eq!(q.dtype(), DType::F32);
        let [q, r] = [q, r].map(|tensor| array::decode(tensor).unwrap());
        q.iter()
            .zip(&r)
            .map(|(q, r)| q.float() * r.float())
            .collect()
    }
}
