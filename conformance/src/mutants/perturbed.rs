//! One element just too far off: twice what the row allows.

use emily_oracle::Answer;
use emily_spec::{Judged, Op, Result, Tensor, Tolerance};

use super::elements::rebuild;
use super::tensors;
use crate::number::{self, Format};
use crate::view::Input;

/// The oracle's answer, but for one element of the last result.
pub(super) fn run(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let mut answers = emily_oracle::run(op, &tensors(inputs))?;
    if let Some(answer) = answers.last_mut() {
        let perturbed = match op.row().judged {
            Judged::Values(of) => by_two_units(answer, of(answer.tensor.dtype())),
            Judged::Promise { k, .. } => by_two_residuals(answer, k, inputs),
        };
        if let Some(all) = perturbed {
            answer.tensor = rebuild(answer.tensor.ty(), all)?;
        }
    }
    Ok(answers.into_iter().map(|answer| answer.tensor).collect())
}

/// The elements with one of those in the middle changed; `None` where none can be.
fn by_two_units(answer: &Answer, tolerance: Tolerance) -> Option<Vec<u64>> {
    let tensor = &answer.tensor;
    let mut all: Vec<u64> = number::elements(tensor).collect();
    let middle = all.len() / 2;
    let mut places = (middle..all.len()).chain(0..middle);
    let (at, changed) = places.find_map(|at| {
        let element = all[at];
        let Some(format) = Format::of(tensor.dtype()) else {
            return Some((at, element ^ 1));
        };
        let (low, rest) = match tensor.dtype().is_complex() {
            true => (number::parts(element)[0], number::parts(element)[1] << 32),
            false => (element, 0),
        };
        let further = match tolerance {
            Tolerance::Bits | Tolerance::Exact => Some(low ^ 1),
            Tolerance::Ulp(n) => Some(low + 2 * u64::from(n)),
            Tolerance::Accum(k) => {
                let own = format.value(low).abs();
                let magnitude = answer.magnitude.as_ref().map_or(own, |all| all.worst[at]);
                let by = 2.0 * k * format.value(format.eps()) * magnitude;
                let largest = format.value(format.max());
                (magnitude < largest / 4.0).then(|| format.nearest(format.value(low) + by))
            }
        };
        let further = further.filter(|&far| format.is_finite(low) && format.is_finite(far))?;
        (further != low).then_some((at, further | rest))
    })?;
    all[at] = changed;
    Some(all)
}

/// A residual is relative to the operand's norm, and one element of a factor adds to it what it is
/// off by.
fn by_two_residuals(answer: &Answer, k: f64, inputs: &[Input]) -> Option<Vec<u64>> {
    let format = Format::of(answer.tensor.dtype())?;
    let operand = &inputs.first()?.tensor;
    let squares = number::as_f64(operand)
        .into_iter()
        .map(|value| value.powi(2));
    let norm = squares.sum::<f64>().sqrt();
    let dimension = operand.shape().iter().rev().take(2).max()?;
    let by = 2.0 * k * format.value(format.eps()) * *dimension as f64 * norm;
    let mut all: Vec<u64> = number::elements(&answer.tensor).collect();
    let first = all.first_mut()?;
    *first = format.nearest(format.value(*first) + by);
    Some(all)
}
