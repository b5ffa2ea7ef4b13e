//! Attention of floats, some queries at a time: their scores and weights are in memory, never those of all.
//!
//! Products are the matrix kernel's, in `f32`; weights are computed in `f64` and rounded to `f32`. A value of
//! weight 0 is still multiplied by it, as the definition has it.

use std::ops::Range;

use emily_spec::{AttentionOperands, DType, ScaledDotProductAttention, TensorType};

use super::float::{Float, of_float};
use super::level::{self, Level, Set, Task, dispatch};
use super::matmul::{LEAST, Side, multiply, offsets, pack_right};
use super::{lanes, math, pool};
use crate::mlx::{Kernel, Operand};

/// The queries that one thread works on at a time: a multiple of every tile's.
const ROWS: usize = 48;

/// Fewer queries than make a tile are worth it for as many keys.
const FEW_KEYS: usize = 64;

/// The kernel of this attention, if there is one.
pub(super) fn kernel(
    op: &ScaledDotProductAttention,
    inputs: &[TensorType],
    ty: &TensorType,
) -> Option<Kernel> {
    let AttentionOperands { data, mask, sinks } = op.operands(inputs)?;
    let sizes = Sizes::of(data.map(|ty| ty.shape.dims()))?;
    let floats = |ty: &&TensorType| of_float!(ty.dtype, is_float()).is_some();
    let is_known = mask.is_none_or(|mask| mask.dtype == DType::U8 || floats(&mask))
        && sinks.as_ref().is_none_or(floats)
        && data.iter().all(|input| input.dtype == ty.dtype);
    let pays = sizes.rows() >= LEAST || sizes.keys <= FEW_KEYS;
    if !is_known || !pays {
        return None;
    }
    let scale = op.factor(sizes.features)? as f32;
    of_float!(ty.dtype, kernel_at(op.clone(), sizes, scale))
}

fn is_float<T: Float>() {}

#[derive(Clone, Copy)]
struct Sizes {
    /// Heads of keys, over all batches.
    batches: usize,
    /// Heads of keys.
    shared: usize,
    /// Heads of queries for one of keys.
    per_key: usize,
    queries: usize,
    keys: usize,
    features: usize,
    results: usize,
}

impl Sizes {
    /// None where there is nothing to do.
    fn of([query, key, value]: [&[usize]; 3]) -> Option<Sizes> {
        let (&[batch, heads, queries, features], &[_, shared, keys, _]) = (query, key) else {
            return None;
        };
        let results = *value.last()?;
        let some = [batch, heads, queries, features, shared, keys, results];
        (!some.contains(&0)).then(|| Sizes {
            batches: batch * shared,
            shared,
            per_key: heads / shared,
            queries,
            keys,
            features,
            results,
        })
    }

    /// Queries that share their keys.
    fn rows(&self) -> usize {
        self.per_key * self.queries
    }

    /// Batch, head and query of a row.
    fn place(&self, batch: usize, row: usize) -> [usize; 3] {
        let head = batch % self.shared * self.per_key + row / self.queries;
        [batch / self.shared, head, row % self.queries]
    }
}

fn kernel_at<T: Float>(op: ScaledDotProductAttention, sizes: Sizes, scale: f32) -> Kernel {
    Box::new(move |operands, place| {
        let AttentionOperands { data, mask, sinks } =
            op.operands(operands).expect("they were counted");
        let call = Call {
            sizes,
            scale,
            causal: op.causal,
            query: data[0],
            key: Side::new(data[1], [&[0, 1], &[2], &[3]]),
            value: Side::new(data[2], [&[0, 1], &[3], &[2]]),
            mask: mask.map(Mask::new),
            sinks: sinks.map(|sinks| {
                numbers(sinks).read(0, sinks.strides[0], sizes.shared * sizes.per_key)
            }),
        };
        let result = place.into_elements::<T>();
        match level::chosen() {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => call.attend::<12, 32>(result),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => call.attend::<6, 16>(result),
            Set::Portable => call.attend::<4, 8>(result),
        }
    })
}

struct Call<'a, T> {
    sizes: Sizes,
    scale: f32,
    causal: bool,
    query: &'a Operand<'a>,
    key: Side<'a, T>,
    value: Side<'a, T>,
    mask: Option<Mask<'a>>,
    /// One for each head of queries.
    sinks: Option<Vec<f32>>,
}

impl<T: Float> Call<'_, T> {
    /// Heads of keys share the threads where there are some; else their queries do.
    fn attend<const MR: usize, const NR: usize>(&self, result: &mut [T]) {
        let Sizes { results, keys, .. } = self.sizes;
        let packed = |batch: usize| {
            let keys = pack_right::<T, NR>(&self.key, batch, 0..keys);
            let values = pack_right::<T, NR>(&self.value, batch, 0..results);
            (keys, values)
        };
        let each = self.sizes.rows() * results;
        if self.sizes.batches >= 8 || self.sizes.rows() <= ROWS {
            pool::for_each_chunk(result, each, |batch, result| {
                let (keys, values) = packed(batch);
                for (part, result) in result.chunks_mut(ROWS * results).enumerate() {
                    self.some::<MR, NR>(batch, part * ROWS, &keys, &values, result);
                }
            });
            return;
        }
        for (batch, result) in result.chunks_exact_mut(each).enumerate() {
            let (keys, values) = packed(batch);
            pool::for_each_chunk(result, ROWS * results, |part, result| {
                self.some::<MR, NR>(batch, part * ROWS, &keys, &values, result);
            });
        }
    }

    /// The rows from `first` on that make up this part of the result.
    fn some<const MR: usize, const NR: usize>(
        &self,
        batch: usize,
        first: usize,
        packed_keys: &[[f32; NR]],
        packed_values: &[[f32; NR]],
        result: &mut [T],
    ) {
        let Sizes {
            keys,
            features,
            results,
            ..
        } = self.sizes;
        let rows = first..first + result.len() / results;
        let matrix = |of: usize| {
            (
                offsets(0, &[(rows.len(), of as i64)]),
                offsets(0, &[(of, 1)]),
            )
        };

        let query = self.scaled(batch, rows.clone());
        let (free, terms) = matrix(features);
        let query = Side {
            memory: &query,
            batch: vec![0],
            free,
            terms,
        };
        let mut scores = vec![0.0; rows.len() * keys];
        multiply::<f32, f32, MR, NR>(&query, 0, 0..rows.len(), packed_keys, 0..keys, &mut scores);

        dispatch(Weights {
            call: self,
            batch,
            rows: rows.clone(),
            scores: &mut scores,
        });

        let (free, terms) = matrix(keys);
        let weights = Side {
            memory: &scores,
            batch: vec![0],
            free,
            terms,
        };
        let all = 0..results;
        multiply::<f32, T, MR, NR>(&weights, 0, 0..rows.len(), packed_values, all, result);
    }

    /// These queries, scaled.
    fn scaled(&self, batch: usize, rows: Range<usize>) -> Vec<f32> {
        let (memory, start) = self.query.memory::<T>();
        let step = self.query.strides[3];
        let mut scaled = Vec::with_capacity(rows.len() * self.sizes.features);
        for row in rows {
            let place = self.sizes.place(batch, row);
            let mut at = start as i64 + offset(&place, &self.query.strides[..3]);
            for _ in 0..self.sizes.features {
                scaled.push(memory[at as usize].widen() * self.scale);
                at += step;
            }
        }
        scaled
    }
}

/// How far an element is from the first.
fn offset(place: &[usize], strides: &[i64]) -> i64 {
    let steps = place.iter().zip(strides);
    steps.map(|(&at, stride)| at as i64 * stride).sum()
}

/// Makes scores weights, row by row.
struct Weights<'a, T> {
    call: &'a Call<'a, T>,
    batch: usize,
    rows: Range<usize>,
    scores: &'a mut [f32],
}

impl<T: Float> Task for Weights<'_, T> {
    #[inline(always)]
    fn run<L: Level>(self) {
        let Sizes { keys, queries, .. } = self.call.sizes;
        let mut powers = vec![0.0; keys];
        for (row, scores) in self.rows.zip(self.scores.chunks_exact_mut(keys)) {
            let place @ [_, head, query] = self.call.sizes.place(self.batch, row);
            if let Some(mask) = &self.call.mask {
                mask.hide(place, scores);
            }
            if self.call.causal {
                let seen = (query + 1 + keys).saturating_sub(queries);
                scores[seen.min(keys)..].fill(f32::NEG_INFINITY);
            }
            let sink = self.call.sinks.as_ref().map(|sinks| sinks[head]);
            let mut largest = lanes::largest(scores);
            if let Some(sink) = sink {
                largest = lanes::larger(largest, sink);
            }
            let largest = f64::from(largest);
            for (power, score) in powers.iter_mut().zip(&*scores) {
                *power = math::exp::<L>(f64::from(*score) - largest);
            }
            let dropped = sink.map_or(0.0, |sink| math::exp::<L>(f64::from(sink) - largest));
            let scale = 1.0 / (lanes::sum(&powers, |power| power) + dropped);
            for (weight, power) in scores.iter_mut().zip(&powers) {
                *weight = (power * scale) as f32;
            }
        }
    }
}

/// What hides keys from queries.
struct Mask<'a> {
    numbers: Box<dyn Numbers + 'a>,
    /// The steps along batch, heads, queries and keys.
    strides: [i64; 4],
    /// Whether a key is hidden where it is zero; else it is added.
    chooses: bool,
}

impl<'a> Mask<'a> {
    fn new(operand: &'a Operand<'a>) -> Mask<'a> {
        let mut strides = [0; 4];
        let missing = 4 - operand.shape.len();
        let axes = operand.shape.iter().zip(operand.strides);
        for (stride, (&size, &own)) in strides[missing..].iter_mut().zip(axes) {
            *stride = if size == 1 { 0 } else { own };
        }
        Mask {
            numbers: numbers(operand),
            strides,
            chooses: operand.dtype() == DType::U8,
        }
    }

    fn hide(&self, place: [usize; 3], scores: &mut [f32]) {
        let from = offset(&place, &self.strides[..3]);
        let numbers = self.numbers.read(from, self.strides[3], scores.len());
        for (score, mask) in scores.iter_mut().zip(numbers) {
            *score = match self.chooses {
                true if mask == 0.0 => f32::NEG_INFINITY,
                true => *score,
                false => *score + mask,
            };
        }
    }
}

/// Elements as `f32`, whatever they are.
trait Numbers: Sync {
    /// So many from this offset on.
    fn read(&self, offset: i64, step: i64, count: usize) -> Vec<f32>;
}

struct Of<'a, T, F>(&'a [T], usize, F);

impl<T: Copy + Sync, F: Fn(T) -> f32 + Sync> Numbers for Of<'_, T, F> {
    fn read(&self, offset: i64, step: i64, count: usize) -> Vec<f32> {
        let first = self.1 as i64 + offset;
        let at = (0..count as i64).map(|i| self.0[(first + i * step) as usize]);
        at.map(&self.2).collect()
    }
}

/// The elements of an operand of one of the dtypes that masks and sinks have here.
fn numbers<'a>(operand: &Operand<'a>) -> Box<dyn Numbers + 'a> {
    fn floats<'a, T: Float>(operand: &Operand<'a>) -> Box<dyn Numbers + 'a> {
        let (memory, first) = operand.memory::<T>();
        Box::new(Of(memory, first, |x: T| x.widen()))
    }
    of_float!(operand.dtype(), floats(operand)).unwrap_or_else(|| {
        let (memory, first) = operand.memory::<u8>();
        Box::new(Of(memory, first, f32::from))
    })
}
