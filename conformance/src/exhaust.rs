//! A unary op on every `f32` there is: 2³² values, judged by the oracle as the cases are.

use std::num::NonZero;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use emily_spec::{DType, Judged, Op, Row, Tensor, TensorType, Tolerance};

use crate::compare::{self, Allowed, Comparison, Expected, Miss, Rule};
use crate::layer::Layer;
use crate::view::Input;

/// The values of one call, as a power of two.
const BLOCK: u32 = 18;

/// The misses that are kept.
const KEPT: usize = 8;

/// What the values of a dtype have shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Exhausted {
    /// The values compared.
    pub values: u64,
    /// Those outside the tolerance.
    pub outside: u64,
    /// The largest distance seen.
    pub worst: f64,
    /// The distance allowed.
    pub allowed: Allowed,
    /// Some operands of those outside, and how they miss.
    pub misses: Vec<(u32, Miss)>,
}

impl Exhausted {
    fn add(&mut self, from: u32, found: Comparison) {
        self.values += found.checked;
        self.outside += found.outside;
        self.worst = self.worst.max(found.worst);
        let room = KEPT - self.misses.len();
        let misses = found.misses.into_iter().take(room);
        self.misses
            .extend(misses.map(|miss| (from + miss.index as u32, miss)));
    }
}

/// A unary op, and how its answers to `f32` are judged.
///
/// # Errors
/// Of an op that has other operands, or does not take `f32`.
pub fn judged(row: &Row) -> Result<(Op, Tolerance), String> {
    let op = Op::read(row.name, serde_json::json!({})).map_err(|error| error.to_string())?;
    let every = TensorType::new(DType::F32, [1]);
    let results = op.infer(&[every]).map_err(|error| error.to_string())?;
    match (row.judged, results.as_slice()) {
        (Judged::Values(tolerance), [result]) => Ok((op, tolerance(result.dtype))),
        _ => Err(format!("{} is not judged by one result's values", row.name)),
    }
}

/// Asks a layer for the op of every `f32`, on all cores. `progress` hears of every sixteenth done.
///
/// # Errors
/// Of an op that is not unary on `f32`, and of a call that fails.
pub fn exhaust(
    row: &Row,
    layer: &dyn Layer,
    progress: &(dyn Fn(u32) + Sync),
) -> Result<Exhausted, String> {
    let (op, tolerance) = judged(row)?;
    let seen = Mutex::new(Ok(Exhausted {
        values: 0,
        outside: 0,
        worst: 0.0,
        allowed: Allowed::of(tolerance),
        misses: Vec::new(),
    }));
    let next = AtomicU32::new(0);
    let blocks = 1 << (32 - BLOCK);
    let work = || loop {
        let block = next.fetch_add(1, Ordering::Relaxed);
        if block >= blocks {
            break;
        }
        let from = block << BLOCK;
        let found = judge(&op, tolerance, layer, from);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *seen, found) {
            (Ok(seen), Ok(found)) => seen.add(from, found),
            (Ok(_), Err(error)) => *seen = Err(error),
            (Err(_), _) => break,
        }
        drop(seen);
        if (block + 1).is_multiple_of(blocks / 16) {
            progress((block + 1) / (blocks / 16));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    seen.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// One block of values, from the bits `from`.
fn judge(
    op: &Op,
    tolerance: Tolerance,
    layer: &dyn Layer,
    from: u32,
) -> Result<Comparison, String> {
    let operand = operand(from)?;
    let run = || {
        let answers = emily_oracle::run(op, std::slice::from_ref(&operand))?;
        let results = layer.run(op, &[Input::plain(operand.clone())])?;
        Ok((answers, results))
    };
    let (answers, results) = run().map_err(|error: emily_spec::Error| error.to_string())?;
    let (Some(answer), Some(result)) = (answers.first(), results.first()) else {
        return Err(format!("{} gave no result", op.name()));
    };
    let rule = Rule {
        open_zero: op.row().open_zero.contains(answer.tensor.dtype()),
        ..Rule::from(tolerance)
    };
    let expected = Expected {
        tensor: &answer.tensor,
        magnitude: answer.magnitude.as_ref(),
    };
    let found = compare::values(expected, result, rule);
    match found.broken {
        Some(message) => Err(message),
        None => Ok(found),
    }
}

fn operand(from: u32) -> Result<Tensor, String> {
    let values = from..=from + ((1 << BLOCK) - 1);
    let bytes: Vec<u8> = values.flat_map(u32::to_le_bytes).collect();
    let ty = TensorType::new(DType::F32, [bytes.len() / 4]);
    Tensor::new(ty, bytes).map_err(|error| error.to_string())
}
