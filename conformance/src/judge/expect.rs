//! What a layer owes for a call, and what it is held to.

use emily_oracle::Answer;
use emily_oracle::grad::{Slope, finite_difference};
use emily_spec::{
    DType, ErrorKind, Grad, Judged, Result, ResultDType, Tensor, TensorType, Tolerance,
};

use super::{Judge, caught};
use crate::case::Want;
use crate::compare::{self, Comparison, Difference, Expected, Rule};
use crate::gradients;
use crate::layer::Layer;
use crate::plan::Call;

/// What an answer must be.
pub(super) enum Expectation<'a> {
    Values(Vec<Expected<'a>>, Allowance<'a>),
    Promise,
    Types(Vec<TensorType>),
    /// Per operand, the slopes in row-major order, and how near a gradient must be.
    Slopes(Vec<Vec<Slope>>, Grad),
    Error(ErrorKind),
}

/// How near an answer must be, per result dtype, and what of it may differ in kind.
#[derive(Clone, Copy)]
pub(super) struct Allowance<'a> {
    pub(super) tolerance: Slack,
    /// The differences in kind that the ledger records.
    pub(super) forgiven: &'a [Difference],
}

/// Where the tolerance comes from.
#[derive(Clone, Copy)]
pub(super) enum Slack {
    Fixed(Tolerance),
    OfRow(fn(DType) -> Tolerance),
    /// The oracle rounds once, so it owes a hand-worked answer exactly; but not in f64, which is no
    /// wider than what it computes in.
    Once(fn(DType) -> Tolerance),
}

impl Slack {
    fn at(self, dtype: DType) -> Tolerance {
        match self {
            Slack::Fixed(tolerance) => tolerance,
            Slack::OfRow(of) => of(dtype),
            Slack::Once(of) if dtype == DType::F64 => of(dtype),
            Slack::Once(of) => match of(dtype) {
                // What it computes wide is near relative to the modulus, not to each part.
                Tolerance::Accum(_) if dtype.is_complex() => Tolerance::Accum(1.0),
                Tolerance::Bits | Tolerance::Exact | Tolerance::Ulp(_) | Tolerance::Accum(_) => {
                    Tolerance::Exact
                }
            },
        }
    }
}

impl From<Slack> for Allowance<'_> {
    /// The tolerance, and no difference in kind.
    fn from(tolerance: Slack) -> Self {
        Allowance {
            tolerance,
            forgiven: &[],
        }
    }
}

impl Judge<'_> {
    /// What the case itself says the answer is.
    pub(super) fn literal<'a>(
        &'a self,
        reference: &'a Result<Vec<Answer>>,
    ) -> Option<Expectation<'a>> {
        match self.want {
            Want::Oracle => None,
            Want::Recorded => {
                let refusal = reference.as_ref().err()?;
                Some(Expectation::Error(refusal.kind))
            }
            Want::Error(refusal) => Some(Expectation::Error(refusal.kind)),
            Want::Values(values) => {
                let allowed = match self.allowed() {
                    Slack::OfRow(of) => Slack::Once(of),
                    stated @ (Slack::Fixed(_) | Slack::Once(_)) => stated,
                };
                Some(Expectation::Values(
                    with_magnitudes(values, reference),
                    allowed.into(),
                ))
            }
        }
    }

    /// What a layer above the oracle owes.
    pub(super) fn stated<'a>(&'a self, reference: &'a Result<Vec<Answer>>) -> Expectation<'a> {
        match (self.want, reference) {
            (Want::Error(refusal), _) => Expectation::Error(refusal.kind),
            (Want::Values(values), _) => {
                Expectation::Values(with_magnitudes(values, reference), self.allowed().into())
            }
            (Want::Oracle | Want::Recorded, Err(error)) => Expectation::Error(error.kind),
            (Want::Oracle | Want::Recorded, Ok(answers)) => match self.case.row.judged {
                Judged::Promise { .. } => Expectation::Promise,
                Judged::Values(_) => {
                    let expected = answers.iter().map(|answer| Expected {
                        tensor: &answer.tensor,
                        magnitude: answer.magnitude.as_ref(),
                    });
                    Expectation::Values(expected.collect(), self.allowed().into())
                }
            },
        }
    }

    /// What the oracle owes where the case leaves the answer to it.
    pub(super) fn own(&self, call: &Call) -> Expectation<'static> {
        let types = call.types();
        match (self.case.row.judged, call.op.infer(&types)) {
            (Judged::Promise { .. }, _) => Expectation::Promise,
            (Judged::Values(_), Ok(types)) => Expectation::Types(types),
            (Judged::Values(_), Err(_)) => Expectation::Types(Vec::new()),
        }
    }

    /// The operands that the case differentiates by.
    pub(super) fn wrt(&self, call: &Call) -> Vec<usize> {
        let grad = self.case.grad.as_ref();
        grad.map_or_else(Vec::new, |grad| grad.operands(&call.op, &call.types()))
    }

    /// The slopes that gradients are held against.
    pub(super) fn differences(&self, call: &Call) -> Expectation<'static> {
        let inputs: Vec<Tensor> = call
            .inputs
            .iter()
            .map(|input| input.tensor.clone())
            .collect();
        let weights = gradients::weights(&call.op, &call.results());
        let slopes = caught(|| finite_difference(&call.op, &inputs, &self.wrt(call), &weights));
        match (slopes, self.case.row.grad) {
            (Ok(slopes), Some(grad)) => Expectation::Slopes(slopes, grad),
            (Ok(_), None) => Expectation::Error(ErrorKind::Argument),
            (Err(error), _) => Expectation::Error(error.kind),
        }
    }

    pub(super) fn allowed(&self) -> Slack {
        match (self.case.tolerance, self.case.row.judged) {
            (Some(tolerance), _) => Slack::Fixed(tolerance),
            (None, Judged::Values(of)) => Slack::OfRow(of),
            (None, Judged::Promise { .. }) => Slack::Fixed(Tolerance::Exact),
        }
    }

    pub(super) fn compare(
        &self,
        call: &Call,
        random: bool,
        layer: &dyn Layer,
        expectation: &Expectation<'_>,
        got: &Result<Vec<Tensor>>,
    ) -> Vec<Comparison> {
        let found = match (expectation, got) {
            (Expectation::Error(kind), Err(error)) if *kind == error.kind => Comparison::agreed(),
            (Expectation::Error(kind), Err(error)) => {
                let message = format!("expected a {kind} error, got a {} one: {error}", error.kind);
                Comparison::broken(message)
            }
            (Expectation::Error(kind), Ok(results)) => Comparison::broken(format!(
                "expected a {kind} error, got {}",
                types_of(results)
            )),
            (_, Err(error)) => Comparison::broken(format!(
                "expected a result, got a {} error: {error}",
                error.kind
            )),
            (Expectation::Types(types), Ok(results)) => {
                if results.iter().map(Tensor::ty).eq(types) {
                    return Vec::new();
                }
                let want: Vec<String> = types.iter().map(ToString::to_string).collect();
                let want = want.join(" ");
                Comparison::broken(format!(
                    "the result is {}, expected {want}",
                    types_of(results)
                ))
            }
            (Expectation::Slopes(slopes, _), Ok(results)) if slopes.len() != results.len() => {
                let (want, got) = (slopes.len(), results.len());
                Comparison::broken(format!("expected {want} gradients, got {got}"))
            }
            (Expectation::Slopes(slopes, grad), Ok(results)) => {
                let wrt = self.wrt(call);
                let types = call.types();
                let through = types.iter().cloned().chain(call.results());
                // Nx makes a float of an integer in f32.
                let through = through.map(|ty| ty.dtype.to_floating());
                // What gives parts is computed in complex numbers.
                let of_parts = self.case.row.result == ResultDType::Parts;
                let through: Vec<DType> = through.chain(of_parts.then_some(DType::C64)).collect();
                return wrt
                    .iter()
                    .zip(slopes.iter().zip(results))
                    .map(|(&operand, (slopes, got))| {
                        compare::gradient(&types[operand], &through, slopes, got, *grad)
                    })
                    .collect();
            }
            (Expectation::Promise, Ok(results)) => match self.promised(call, layer, results) {
                Ok(comparison) => comparison,
                Err(message) => Comparison::broken(message),
            },
            (Expectation::Values(expected, _), Ok(results)) if expected.len() != results.len() => {
                let (want, got) = (expected.len(), results.len());
                Comparison::broken(format!("expected {want} results, got {got}"))
            }
            (Expectation::Values(expected, allowance), Ok(results)) => {
                let pairs = expected.iter().zip(results);
                return pairs
                    .map(|(want, got)| {
                        let dtype = want.tensor.dtype();
                        let rule = Rule {
                            tolerance: allowance.tolerance.at(dtype),
                            random,
                            // Nx says nothing of either, and its own backend keeps neither.
                            open_zero: layer.is_foreign()
                                || self.case.row.open_zero.contains(dtype),
                            open_parts: layer.is_foreign(),
                            forgiven: allowance.forgiven,
                        };
                        compare::values(*want, got, rule)
                    })
                    .collect();
            }
        };
        vec![found]
    }

    fn promised(
        &self,
        call: &Call,
        layer: &dyn Layer,
        results: &[Tensor],
    ) -> std::result::Result<Comparison, String> {
        let Judged::Promise { promise, k } = self.case.row.judged else {
            return Err(format!("{} promises nothing", self.case.row.name));
        };
        let types = call.types();
        let want = call.op.infer(&types).map_err(|error| error.to_string())?;
        if !results.iter().map(Tensor::ty).eq(&want) {
            return Err(format!("the results are {}", types_of(results)));
        }
        let input = call
            .inputs
            .first()
            .ok_or("a decomposition needs an operand")?;
        let (form, input) = (layer.form(), &input.tensor);
        Ok(compare::promise(promise, k, form, input, results))
    }
}

/// Stated answers, with the oracle's magnitudes where its answers have the same types.
pub(super) fn with_magnitudes<'a>(
    values: &'a [Tensor],
    reference: &'a Result<Vec<Answer>>,
) -> Vec<Expected<'a>> {
    let answers = reference.as_deref().unwrap_or_default();
    let magnitude = |i: usize, tensor: &Tensor| {
        let answer = answers
            .get(i)
            .filter(|answer| answer.tensor.ty() == tensor.ty())?;
        answer.magnitude.as_ref()
    };
    let expected = values.iter().enumerate();
    expected
        .map(|(i, tensor)| Expected {
            tensor,
            magnitude: magnitude(i, tensor),
        })
        .collect()
}

fn types_of(tensors: &[Tensor]) -> String {
    let types: Vec<String> = tensors
        .iter()
        .map(|tensor| tensor.ty().to_string())
        .collect();
    types.join(" ")
}
