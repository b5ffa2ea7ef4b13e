//! Products of matrices of floats, with sums in `f32`.
//!
//! Both operands are packed: into panels of as many rows, or columns, as the innermost loop has in registers, so
//! that it reads them one after another whatever views they were. Each element is a sum over the contracted axes
//! in their order, in blocks of [`DEPTH`], however the product is cut.

use std::ops::Range;

use emily_spec::{Dot, TensorType};

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
const LEAST: usize = 8;

/// The kernel of this product, if there is one.
pub(super) fn kernel(op: &Dot, inputs: &[TensorType], ty: &TensorType) -> Option<Kernel> {
    let plan = Plan::new(op, inputs);
    let [m, n, k] = plan.sizes(inputs);
    if inputs.iter().any(|input| input.dtype != ty.dtype) || m.min(n) < LEAST || k == 0 {
        return None;
    }
    of_float!(ty.dtype, of(plan))
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

fn of<T: Float>(plan: Plan) -> Kernel {
    Box::new(move |operands, place| {
        let [left, right] = [0, 1].map(|side| {
            let axes = [&plan.batch[side], &plan.free[side], &plan.contract[side]];
            Side::<T>::new(&operands[side], axes)
        });
        let result = place.into_elements();
        match level::chosen() {
            // The tiles that the vector registers hold: 24 of 32, 12 of 16, 8 of 16.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => product::<T, 12, 32>(&left, &right, result),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => product::<T, 6, 16>(&left, &right, result),
            Set::Portable => product::<T, 4, 8>(&left, &right, result),
        }
    })
}

/// An operand as batches of matrices: where an element stands is the sum of three offsets.
struct Side<'a, T> {
    memory: &'a [T],
    batch: Vec<i64>,
    /// Of a row of the left matrix, of a column of the right one.
    free: Vec<i64>,
    terms: Vec<i64>,
}

impl<'a, T: Element> Side<'a, T> {
    fn new(operand: &Operand<'a>, [batch, free, contract]: [&Vec<usize>; 3]) -> Side<'a, T> {
        let (memory, first) = operand.memory();
        let offsets = |from: i64, axes: &[usize]| {
            axes.iter().fold(vec![from], |offsets, &axis| {
                let steps = (0..i64::from(operand.shape[axis])).map(|i| i * operand.strides[axis]);
                let along = |from: i64| steps.clone().map(move |step| from + step);
                offsets.into_iter().flat_map(along).collect()
            })
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
    let (m, n) = (left.free.len(), right.free.len());
    if m >= 2 * BAND || left.batch.len() == 1 {
        for (batch, result) in result.chunks_exact_mut(m * n).enumerate() {
            let packed = pack_right::<T, NR>(right, batch);
            pool::for_each_chunk(result, BAND * n, |band, result| {
                let rows = band * BAND..m.min((band + 1) * BAND);
                multiply::<T, MR, NR>(left, batch, rows, &packed, n, result);
            });
        }
        return;
    }
    pool::for_each_chunk(result, m * n, |batch, result| {
        let packed = pack_right::<T, NR>(right, batch);
        for (band, result) in result.chunks_mut(BAND * n).enumerate() {
            let rows = band * BAND..m.min((band + 1) * BAND);
            multiply::<T, MR, NR>(left, batch, rows, &packed, n, result);
        }
    });
}

/// The right matrix in panels of `NR` columns, each term by term, filled up with zeros.
fn pack_right<T: Float, const NR: usize>(right: &Side<'_, T>, batch: usize) -> Vec<[f32; NR]> {
    let (n, k) = (right.free.len(), right.terms.len());
    let mut packed = vec![[0.0; NR]; n.div_ceil(NR) * k];
    pool::for_each_chunk(&mut packed, k, |panel, packed| {
        let columns = panel * NR..n.min((panel + 1) * NR);
        right.pack(batch, columns, 0..k, packed);
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
        if are_adjacent(terms) {
            for (at, free) in free.iter().enumerate() {
                let start = (from + free + terms[0]) as usize;
                let elements = &self.memory[start..start + terms.len()];
                for (to, x) in panel.iter_mut().zip(elements) {
                    to[at] = x.widen();
                }
            }
        } else if are_adjacent(free) {
            for (to, term) in panel.iter_mut().zip(terms) {
                let start = (from + term + free[0]) as usize;
                let elements = &self.memory[start..start + free.len()];
                for (to, x) in to.iter_mut().zip(elements) {
                    *to = x.widen();
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

/// Whether each of these stands right behind the one before.
fn are_adjacent(offsets: &[i64]) -> bool {
    offsets.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

/// A band of the result: these rows of the left matrix times the packed right one.
fn multiply<T: Float, const MR: usize, const NR: usize>(
    left: &Side<'_, T>,
    batch: usize,
    rows: Range<usize>,
    right: &[[f32; NR]],
    n: usize,
    result: &mut [T],
) {
    let k = left.terms.len();
    let panels = rows.len().div_ceil(MR);
    let mut packed = vec![[0.0; MR]; panels * DEPTH.min(k)];
    for from in (0..n).step_by(BREADTH) {
        let columns = from..n.min(from + BREADTH);
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
                let panel = (from / NR + at) * k;
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
                    *result = T::narrow(*sum);
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
