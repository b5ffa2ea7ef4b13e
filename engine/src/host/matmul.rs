//! Products of matrices of floats, with sums in `f32`.
//!
//! Both operands are packed: into panels of as many rows, or columns, as the innermost loop has in registers, so
//! that it reads them one after another whatever views they were. Each element is a sum over the contracted axes
//! in their order, in blocks of [`DEPTH`], however the product is cut.

use std::ops::Range;

use emily_spec::{Dot, TensorType};
use smallvec::SmallVec;

use super::float::{Float, of_float};
use super::level::{self, Level, Set, Task, dispatch};
use super::pool;
use crate::mlx::{Element, Kernel, Operand};

/// Terms of a sum that are added up before they go to memory.
const DEPTH: usize = 256;

/// Rows that one thread works on at a time: a multiple of every tile's.
const BAND: usize = 96;

/// Columns of a band that stay in the second cache meanwhile: a multiple of every tile's.
const BREADTH: usize = 512;

/// Fewer rows or columns than these are mostly padding.
pub(super) const LEAST: usize = 8;

/// Elements of the right matrix that are packed at a time, where they are more: for all threads together, four
/// megabytes, and for one that works alone, what its second cache holds.
const PACKED: [usize; 2] = [1 << 20, 1 << 17];

/// The kernel of this product, if there is one.
pub(super) fn kernel(op: &Dot, inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    let plan = Plan::new(op, inputs);
    let [m, n, k] = plan.sizes(inputs);
    if inputs.iter().any(|input| input.dtype != ty.dtype) || m.min(n) < LEAST || k == 0 {
        return None;
    }
    of_float!(ty.dtype, kernel_at(plan))
}

/// The axes of both operands by their part in the product.
struct Plan {
    batch: [Vec<usize>; 2],
    free: [Vec<usize>; 2],
    contract: [Vec<usize>; 2],
}

impl Plan {
    fn new(op: &Dot, inputs: &[TensorType]) -> Plan {
        let batch = op.batch().map(<[usize]>::to_vec);
        let contract = op.contract().map(<[usize]>::to_vec);
        let free = [0, 1].map(|side| {
            let named = |axis: &usize| batch[side].contains(axis) || contract[side].contains(axis);
            let axes = 0..inputs[side].shape.rank();
            axes.filter(|axis| !named(axis)).collect()
        });
        Plan {
            batch,
            free,
            contract,
        }
    }

    /// Rows, columns, terms.
    fn sizes(&self, inputs: &[TensorType]) -> [usize; 3] {
        let count = |side: usize, axes: &[usize]| -> usize {
            axes.iter().map(|&axis| inputs[side].shape[axis]).product()
        };
        [
            count(0, &self.free[0]),
            count(1, &self.free[1]),
            count(0, &self.contract[0]),
        ]
    }
}

fn kernel_at<T: Float>(plan: Plan) -> Kernel {
    Box::new(move |operands, place| {
        let [left, right] = [0, 1].map(|side| {
            let axes = [
                &plan.batch[side][..],
                &plan.free[side],
                &plan.contract[side],
            ];
            Side::<T>::new(&operands[side], axes)
        });
        multiply_sides(&left, &right, place.into_elements());
    })
}

/// The product, batch by batch in row-major order.
pub(super) fn multiply_sides<T: Float>(left: &Side<'_, T>, right: &Side<'_, T>, result: &mut [T]) {
    match level::chosen() {
        // The tiles that the vector registers hold: 24 of 32, 12 of 16, 8 of 16.
        #[cfg(target_arch = "x86_64")]
        Set::Avx512 => product::<T, 12, 32>(left, right, result),
        #[cfg(target_arch = "x86_64")]
        Set::Avx2 => product::<T, 6, 16>(left, right, result),
        Set::Portable => product::<T, 4, 8>(left, right, result),
    }
}

/// An operand as batches of matrices: where an element stands is the sum of three offsets.
pub(super) struct Side<'a, T> {
    pub(super) memory: &'a [T],
    pub(super) batch: Vec<i64>,
    /// Of a row of the left matrix, of a column of the right one.
    pub(super) free: Vec<i64>,
    pub(super) terms: Vec<i64>,
}

/// Where the elements along these axes stand, in row-major order: sizes and steps.
pub(super) fn offsets(from: i64, axes: &[(usize, i64)]) -> Vec<i64> {
    axes.iter().fold(vec![from], |offsets, &(size, step)| {
        let along = |from: i64| (0..size as i64).map(move |i| from + i * step);
        offsets.into_iter().flat_map(along).collect()
    })
}

impl<'a, T: Element> Side<'a, T> {
    /// With these axes' elements.
    pub(super) fn new(
        operand: &Operand<'a>,
        [batch, free, contract]: [&[usize]; 3],
    ) -> Side<'a, T> {
        let (memory, first) = operand.memory();
        let offsets = |from: i64, axes: &[usize]| {
            let axes = axes.iter();
            let axes = axes.map(|&axis| (operand.shape[axis] as usize, operand.strides[axis]));
            offsets(from, &axes.collect::<Vec<_>>())
        };
        Side {
            memory,
            batch: offsets(first as i64, batch),
            free: offsets(0, free),
            terms: offsets(0, contract),
        }
    }
}

fn product<T: Float, const MR: usize, const NR: usize>(
    left: &Side<'_, T>,
    right: &Side<'_, T>,
    result: &mut [T],
) {
    let (m, n, k) = (left.free.len(), right.free.len(), right.terms.len());
    let parts = |packed: usize| {
        let breadth = (packed / k / NR).max(1) * NR;
        let starts = (0..n).step_by(breadth);
        starts.map(move |start| start..n.min(start + breadth))
    };
    if m >= 2 * BAND || left.batch.len() == 1 {
        // So that there are some of them.
        let band = m.div_ceil(4).next_multiple_of(MR).min(BAND);
        for (batch, result) in result.chunks_exact_mut(m * n).enumerate() {
            for columns in parts(PACKED[0]) {
                let packed = pack_right::<T, NR>(right, batch, columns.clone());
                pool::for_each_chunk(result, band * n, |at, result| {
                    let rows = at * band..m.min((at + 1) * band);
                    multiply::<T, T, MR, NR>(left, batch, rows, &packed, columns.clone(), result);
                });
            }
        }
        return;
    }
    pool::for_each_chunk(result, m * n, |batch, result| {
        for columns in parts(PACKED[1]) {
            let packed = pack_right::<T, NR>(right, batch, columns.clone());
            for (band, result) in result.chunks_mut(BAND * n).enumerate() {
                let rows = band * BAND..m.min((band + 1) * BAND);
                multiply::<T, T, MR, NR>(left, batch, rows, &packed, columns.clone(), result);
            }
        }
    });
}

/// These columns of the right matrix in panels of `NR`, each term by term, filled up with zeros.
pub(super) fn pack_right<T: Float, const NR: usize>(
    right: &Side<'_, T>,
    batch: usize,
    columns: Range<usize>,
) -> Vec<[f32; NR]> {
    let k = right.terms.len();
    let mut packed = vec![[0.0; NR]; columns.len().div_ceil(NR) * k];
    pool::for_each_chunk(&mut packed, k, |panel, packed| {
        let from = columns.start + panel * NR;
        right.pack(batch, from..columns.end.min(from + NR), 0..k, packed);
    });
    packed
}

impl<T: Float> Side<'_, T> {
    /// A panel: term by term these rows, or columns, over zeros.
    fn pack<const N: usize>(
        &self,
        batch: usize,
        free: Range<usize>,
        terms: Range<usize>,
        panel: &mut [[f32; N]],
    ) {
        let from = self.batch[batch];
        let (free, terms) = (&self.free[free], &self.terms[terms]);
        let (across, along) = (Adjacent::of(free), Adjacent::of(terms));
        if along.are_long() && along.0.len() * free.len() <= across.0.len() * terms.len() {
            for run in &along.0 {
                let panel = &mut panel[run.clone()];
                for (at, free) in free.iter().enumerate() {
                    let start = (from + free + terms[run.start]) as usize;
                    let elements = &self.memory[start..start + run.len()];
                    for (to, x) in panel.iter_mut().zip(elements) {
                        to[at] = x.widen();
                    }
                }
            }
        } else if across.are_long() {
            for (to, term) in panel.iter_mut().zip(terms) {
                for run in &across.0 {
                    let start = (from + term + free[run.start]) as usize;
                    let elements = &self.memory[start..start + run.len()];
                    for (to, x) in to[run.clone()].iter_mut().zip(elements) {
                        *to = x.widen();
                    }
                }
            }
        } else {
            for (to, term) in panel.iter_mut().zip(terms) {
                for (to, free) in to.iter_mut().zip(free) {
                    *to = self.memory[(from + term + free) as usize].widen();
                }
            }
        }
    }
}

/// The ranges of offsets of which each stands right behind the one before.
struct Adjacent(SmallVec<[Range<usize>; 8]>, usize);

impl Adjacent {
    fn of(offsets: &[i64]) -> Adjacent {
        let mut runs: SmallVec<[Range<usize>; 8]> = SmallVec::new();
        for (at, offset) in offsets.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if offsets[at - 1] + 1 == *offset => run.end = at + 1,
                Some(_) | None => runs.push(at..at + 1),
            }
        }
        Adjacent(runs, offsets.len())
    }

    /// Whether going through them one by one pays.
    fn are_long(&self) -> bool {
        self.0.len() * 4 <= self.1 || self.0.len() == 1
    }
}

/// A band of the result: these rows of the left matrix times these columns of the right one, which are packed.
pub(super) fn multiply<T: Float, U: Float, const MR: usize, const NR: usize>(
    left: &Side<'_, T>,
    batch: usize,
    rows: Range<usize>,
    right: &[[f32; NR]],
    columns: Range<usize>,
    result: &mut [U],
) {
    let (n, k) = (result.len() / rows.len(), left.terms.len());
    let packed_from = columns.start;
    let panels = rows.len().div_ceil(MR);
    let mut packed = vec![[0.0; MR]; panels * DEPTH.min(k)];
    for from in columns.clone().step_by(BREADTH) {
        let columns = from..columns.end.min(from + BREADTH);
        let across = columns.len().div_ceil(NR);
        let mut tiles = vec![[[0.0; NR]; MR]; panels * across];
        for start in (0..k).step_by(DEPTH) {
            let terms = start..k.min(start + DEPTH);
            let packed = &mut packed[..panels * terms.len()];
            for (panel, packed) in packed.chunks_exact_mut(terms.len()).enumerate() {
                let from = rows.start + panel * MR;
                let rows = from..rows.end.min(from + MR);
                left.pack(batch, rows, terms.clone(), packed);
            }
            for at in 0..across {
                let panel = ((from - packed_from) / NR + at) * k;
                let right = &right[panel + terms.start..panel + terms.end];
                for (panel, left) in packed.chunks_exact(terms.len()).enumerate() {
                    let tile = &mut tiles[panel * across + at];
                    dispatch(Tile { left, right, tile });
                }
            }
        }
        for (row, result) in result.chunks_exact_mut(n).enumerate() {
            let tiles = &tiles[row / MR * across..][..across];
            for (result, tile) in result[columns.clone()].chunks_mut(NR).zip(tiles) {
                for (result, sum) in result.iter_mut().zip(&tile[row % MR]) {
                    *result = U::narrow(*sum);
                }
            }
        }
    }
}

/// The innermost loop: a tile's sums stay in registers.
struct Tile<'a, const MR: usize, const NR: usize> {
    left: &'a [[f32; MR]],
    right: &'a [[f32; NR]],
    tile: &'a mut [[f32; NR]; MR],
}

impl<const MR: usize, const NR: usize> Task for Tile<'_, MR, NR> {
    #[inline(always)]
    fn run<L: Level>(self) {
        let mut sums = [[0.0; NR]; MR];
        for (left, right) in self.left.iter().zip(self.right) {
            for (sums, left) in sums.iter_mut().zip(left) {
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = L::fma32(*left, *right, *sum);
                }
            }
        }
        for (all, sums) in self.tile.iter_mut().zip(sums) {
            for (all, sum) in all.iter_mut().zip(sums) {
                *all += sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use emily_spec::DType;
    use serde_json::json;

    use super::*;
    use crate::mlx;

    /// Some numbers between −1 and 1.
    fn numbers(count: usize) -> Vec<f32> {
        let number = |i: usize| (i * 7919 % 2003) as f32 / 1001.5 - 1.0;
        (0..count).map(number).collect()
    }

    /// Two batches of products whose sizes are no multiple of a tile's, a band's, or a block's; the left
    /// matrices stand transposed. A sum of k products is within k · 2⁻²³ of the sum of their magnitudes, in
    /// whatever order (Higham, 2002, §3.1).
    #[test]
    fn products_are_those_of_the_definition_beyond_every_block() {
        let [batch, m, n, k] = [2, 201, 1035, 301];
        assert!(m > 2 * BAND && n > 2 * BREADTH && k > DEPTH);
        let (a, b) = (numbers(batch * k * m), numbers(batch * k * n));
        let types = [[batch, k, m], [batch, k, n]].map(|dims| TensorType::new(DType::F32, dims));
        let attrs = json!({
            "contract_left": [1], "contract_right": [1], "batch_left": [0], "batch_right": [0],
        });
        let op: Dot = serde_json::from_value(attrs).unwrap();
        let ty = TensorType::new(DType::F32, [batch, m, n]);
        let bytes = |all: &[f32]| -> Vec<u8> { all.iter().flat_map(|x| x.to_ne_bytes()).collect() };
        let inputs = [
            mlx::upload(&types[0], &bytes(&a)).unwrap(),
            mlx::upload(&types[1], &bytes(&b)).unwrap(),
        ];
        let product = mlx::lazy(&inputs, &ty, kernel(&op, &types, &ty).unwrap()).unwrap();
        product.eval().unwrap();
        for (at, got) in product.as_slice::<f32>().iter().enumerate() {
            let (batch, row, column) = (at / (m * n), at / n % m, at % n);
            let (mut sum, mut magnitude) = (0.0, 0.0);
            for term in batch * k..(batch + 1) * k {
                let product = f64::from(a[term * m + row]) * f64::from(b[term * n + column]);
                sum += product;
                magnitude += product.abs();
            }
            let off = (f64::from(*got) - sum).abs();
            assert!(
                off <= k as f64 * 2f64.powi(-23) * magnitude,
                "{got} for {sum} at {at}"
            );
        }
    }
}
