//! The verdict on one case at one dtype, on every layer.
//!
//! All layers run a call before the next one is made, so that its operands and the oracle's answer
//! are computed once and kept no longer than needed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use emily_oracle::Answer;
use emily_spec::{
    DType, Error, ErrorKind, Judged, Result, Tensor, TensorType, Tolerance, panic_text,
};

use crate::case::{Body, Case, Reading, Want};
use crate::compare::{self, Comparison, Expected};
use crate::layer::{Layer, Question, Reference, label};
use crate::ledger::{Entry, Ledger, Record};
use crate::outcome::{Outcome, TrialResult};
use crate::plan::Call;
use crate::tally::Tally;

/// The name of a trial on the CPU; ledger entries speak of it whatever the device.
pub fn trial_name(layer: &str, case: &Case, reading: &Reading) -> String {
    let row = case.row;
    format!(
        "{layer}::{}::{}::{}::{}",
        row.family, row.name, case.name, reading.dtype
    )
}

/// Judges one reading on these layers, the lowest first; one result per layer, in their order.
///
/// A layer above one that failed is `blocked` where it fails too.
pub fn judge(
    case: &Case,
    reading: &Reading,
    layers: &[&dyn Layer],
    ledger: &Ledger,
) -> Vec<TrialResult> {
    let mut lanes: Vec<Lane<'_>> = layers
        .iter()
        .map(|layer| Lane::new(*layer, case, reading, ledger))
        .collect();
    let judge = Judge {
        case,
        want: want(reading),
        generated: matches!(reading.body, Body::Sweep(_)),
    };
    let outcome = each_call(reading, |call| judge.call(&call, &mut lanes));
    if let Err(message) = outcome {
        for lane in &mut lanes {
            lane.tally.add(None, &[Comparison::broken(message.clone())]);
        }
    }
    let mut results: Vec<TrialResult> = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let below = |result: &&TrialResult| {
            result.layer != lane.layer.name()
                && (result.device == lane.layer.device() || result.layer == "oracle")
        };
        let blocker = results
            .iter()
            .filter(below)
            .find(|result| result.outcome.is_red() || result.outcome == Outcome::Blocked);
        let blocker = blocker.map(|result| result.name.clone());
        results.push(lane.result(case, reading, blocker));
    }
    results
}

fn want(reading: &Reading) -> &Want {
    match &reading.body {
        Body::Fact { want, .. } => want,
        Body::Sweep(_) => &Want::Oracle,
    }
}

fn each_call(reading: &Reading, mut visit: impl FnMut(Call)) -> std::result::Result<(), String> {
    match &reading.body {
        Body::Fact { call, .. } => {
            visit(call.clone());
            Ok(())
        }
        Body::Sweep(plans) => plans.iter().try_for_each(|plan| {
            plan.calls(|call| {
                visit(call);
                Ok(())
            })
        }),
    }
}

/// A layer's part in a reading.
struct Lane<'a> {
    layer: &'a dyn Layer,
    name: String,
    entry: Option<&'a Entry>,
    tally: Tally,
    /// What the ledger's record says of the same answers.
    recorded: Tally,
    /// The calls that the layer is not asked, or has no answer to.
    left_out: u64,
    millis: f64,
}

/// What an answer must be.
enum Expectation<'a> {
    Values(Vec<Expected<'a>>, Allowance),
    Promise,
    Types(Vec<TensorType>),
    /// Per operand, the slopes in row-major order, and how near a gradient must be.
    Slopes(Vec<Vec<f64>>, f64),
    Error(ErrorKind),
}

/// The tolerance per result dtype.
enum Allowance {
    Fixed(Tolerance),
    OfRow(fn(DType) -> Tolerance),
    /// The oracle rounds once, so it owes a hand-worked answer exactly; but not in f64, which is no
    /// wider than what it computes in.
    Once(fn(DType) -> Tolerance),
}

impl Allowance {
    fn at(&self, dtype: DType) -> Tolerance {
        match self {
            Allowance::Fixed(tolerance) => *tolerance,
            Allowance::OfRow(of) => of(dtype),
            Allowance::Once(of) if dtype == DType::F64 => of(dtype),
            Allowance::Once(of) => match of(dtype) {
                // What it computes wide is near relative to the modulus, not to each part.
                Tolerance::Accum(_) if dtype.is_complex() => Tolerance::Accum(1.0),
                _ => Tolerance::Exact,
            },
        }
    }
}

struct Judge<'a> {
    case: &'a Case,
    want: &'a Want,
    generated: bool,
}

impl Judge<'_> {
    fn call(&self, call: &Call, lanes: &mut [Lane<'_>]) {
        let start = Instant::now();
        let reference = oracle(call);
        let oracle_millis = millis(start);
        let mut answers: Vec<(&str, &str, Result<Vec<Tensor>>)> = Vec::with_capacity(lanes.len());
        let types = call.types();
        let question = Question {
            op: &call.op,
            types: &types,
            generated: self.generated,
            inputs: Some(&call.inputs),
        };
        for lane in lanes {
            if !lane.layer.takes(&question) {
                lane.left_out += 1;
                continue;
            }
            let start = Instant::now();
            let got = match lane.layer.reference() {
                Reference::Literals => {
                    lane.millis += oracle_millis;
                    reference
                        .clone()
                        .map(|all| all.into_iter().map(|a| a.tensor).collect())
                }
                Reference::Oracle | Reference::Layer(_) => {
                    caught(|| lane.layer.run(&call.op, &call.inputs))
                }
                Reference::Differences => {
                    caught(|| lane.layer.gradients(&call.op, &call.inputs, self.wrt()))
                }
            };
            lane.millis += millis(start);
            let device = lane.layer.device();
            let below = |name: &str| {
                answers
                    .iter()
                    .find(|(n, d, _)| *n == name && *d == device)
                    .map(|(_, _, got)| got)
            };
            let expectation = match lane.layer.reference() {
                Reference::Literals => self.literal(&reference).unwrap_or_else(|| self.own(call)),
                Reference::Oracle => self.stated(&reference),
                Reference::Layer(name) => match below(name) {
                    Some(Ok(values)) => Expectation::Values(
                        values
                            .iter()
                            .map(|t| Expected {
                                tensor: t,
                                magnitude: None,
                            })
                            .collect(),
                        Allowance::Fixed(Tolerance::Bits),
                    ),
                    Some(Err(error)) => Expectation::Error(error.kind),
                    None => self.stated(&reference),
                },
                Reference::Differences => self.differences(call),
            };
            let refused = matches!(expectation, Expectation::Error(_));
            if !refused && got.as_ref().is_err_and(|error| lane.layer.abstains(error)) {
                lane.left_out += 1;
                continue;
            }
            let compare =
                |expectation: &Expectation<'_>, got: &Result<Vec<Tensor>>| match (expectation, got)
                {
                    (Expectation::Error(_), Err(error))
                        if !lane.layer.tells_kinds() && error.kind != ErrorKind::Internal =>
                    {
                        vec![Comparison::agreed()]
                    }
                    _ => self.compare(call, expectation, got),
                };
            let found = compare(&expectation, &got);
            lane.record(call, &expectation, &found, &got, compare);
            lane.tally.add(Some(call), &found);
            answers.push((lane.layer.name(), device, got));
        }
    }

    /// What the case itself says the answer is.
    fn literal<'a>(&'a self, reference: &'a Result<Vec<Answer>>) -> Option<Expectation<'a>> {
        match self.want {
            Want::Oracle => None,
            Want::Error(kind) => Some(Expectation::Error(*kind)),
            Want::Values(values) => {
                let allowance = match self.allowance() {
                    Allowance::OfRow(of) => Allowance::Once(of),
                    other => other,
                };
                Some(Expectation::Values(
                    with_magnitudes(values, reference),
                    allowance,
                ))
            }
        }
    }

    /// What a layer above the oracle owes.
    fn stated<'a>(&'a self, reference: &'a Result<Vec<Answer>>) -> Expectation<'a> {
        match (self.want, reference) {
            (Want::Error(kind), _) => Expectation::Error(*kind),
            (Want::Values(values), _) => {
                Expectation::Values(with_magnitudes(values, reference), self.allowance())
            }
            (Want::Oracle, Err(error)) => Expectation::Error(error.kind),
            (Want::Oracle, Ok(answers)) => match self.case.row.judged {
                Judged::Promise { .. } => Expectation::Promise,
                Judged::Values(_) => {
                    let expected = answers.iter().map(|answer| Expected {
                        tensor: &answer.tensor,
                        magnitude: answer.magnitude.as_deref(),
                    });
                    Expectation::Values(expected.collect(), self.allowance())
                }
            },
        }
    }

    /// What the oracle owes where the case leaves the answer to it.
    fn own(&self, call: &Call) -> Expectation<'static> {
        let types = call.types();
        match (self.case.row.judged, call.op.infer(&types)) {
            (Judged::Promise { .. }, _) => Expectation::Promise,
            (Judged::Values(_), Ok(types)) => Expectation::Types(types),
            (Judged::Values(_), Err(_)) => Expectation::Types(Vec::new()),
        }
    }

    /// The operands that the case differentiates by.
    fn wrt(&self) -> &[usize] {
        self.case.grad.as_ref().map_or(&[], |grad| &grad.wrt)
    }

    /// The slopes that gradients are held against.
    fn differences(&self, call: &Call) -> Expectation<'static> {
        let inputs: Vec<Tensor> = call
            .inputs
            .iter()
            .map(|input| input.tensor.clone())
            .collect();
        let slopes =
            caught(|| emily_oracle::grad::finite_difference(&call.op, &inputs, self.wrt()));
        match (slopes, self.case.row.grad) {
            (Ok(slopes), Some(grad)) => Expectation::Slopes(slopes, grad.eps),
            (Ok(_), None) => Expectation::Error(ErrorKind::Argument),
            (Err(error), _) => Expectation::Error(error.kind),
        }
    }

    fn allowance(&self) -> Allowance {
        match (self.case.tolerance, self.case.row.judged) {
            (Some(tolerance), _) => Allowance::Fixed(tolerance),
            (None, Judged::Values(of)) => Allowance::OfRow(of),
            (None, Judged::Promise { .. }) => Allowance::Fixed(Tolerance::Exact),
        }
    }

    fn compare(
        &self,
        call: &Call,
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
            (Expectation::Slopes(slopes, eps), Ok(results)) => {
                let operands = self.wrt().iter().map(|&index| &call.inputs[index].tensor);
                return operands
                    .zip(slopes.iter().zip(results))
                    .map(|(operand, (slopes, got))| {
                        compare::gradient(operand.ty(), slopes, got, *eps)
                    })
                    .collect();
            }
            (Expectation::Promise, Ok(results)) => match self.promised(call, results) {
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
                        compare::values(*want, got, allowance.at(want.tensor.dtype()))
                    })
                    .collect();
            }
        };
        vec![found]
    }

    fn promised(&self, call: &Call, results: &[Tensor]) -> std::result::Result<Comparison, String> {
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
        Ok(compare::promise(promise, k, &input.tensor, results))
    }
}

impl<'a> Lane<'a> {
    fn new(layer: &'a dyn Layer, case: &Case, reading: &Reading, ledger: &'a Ledger) -> Lane<'a> {
        let name = trial_name(layer.name(), case, reading);
        let entry = ledger.find(&name, layer.device());
        let name = label(&name, layer.device());
        Lane {
            layer,
            name,
            entry,
            tally: Tally::default(),
            recorded: Tally::default(),
            left_out: 0,
            millis: 0.0,
        }
    }

    /// Holds the answer against the ledger's record, where there is one.
    fn record(
        &mut self,
        call: &Call,
        expectation: &Expectation<'_>,
        found: &[Comparison],
        got: &Result<Vec<Tensor>>,
        compare: impl Fn(&Expectation<'_>, &Result<Vec<Tensor>>) -> Vec<Comparison>,
    ) {
        let Some(entry) = self.entry else {
            return;
        };
        let agrees = found.iter().all(Comparison::agrees);
        let found = match (&entry.record, expectation) {
            (Record::Within(tolerance), Expectation::Values(expected, _)) => {
                let allowance = Allowance::Fixed(*tolerance);
                compare(&Expectation::Values(expected.clone(), allowance), got)
            }
            _ if agrees => found.to_vec(),
            (Record::Within(_), _) => found.to_vec(),
            (Record::Error(kind), _) => compare(&Expectation::Error(*kind), got),
            (Record::Values(values), _) => {
                let expected = values.iter().map(|t| Expected {
                    tensor: t,
                    magnitude: None,
                });
                let allowance = Allowance::Fixed(Tolerance::Exact);
                compare(&Expectation::Values(expected.collect(), allowance), got)
            }
        };
        self.recorded.add(Some(call), &found);
    }

    fn result(self, case: &Case, reading: &Reading, blocker: Option<String>) -> TrialResult {
        let outcome = match (
            self.entry,
            self.tally.agrees(),
            self.recorded.agrees(),
            &blocker,
        ) {
            (None, _, _, _) if self.left_out > 0 && self.tally.checked() == 0 => Outcome::NotRun,
            (None, true, _, _) => Outcome::Passed,
            (_, _, _, Some(_)) => Outcome::Blocked,
            (None, false, _, None) => Outcome::Failed,
            (Some(_), true, _, None) => Outcome::Stale,
            (Some(_), false, true, None) => Outcome::Diverges,
            (Some(_), false, false, None) => Outcome::Changed,
        };
        let tally = match outcome {
            Outcome::Changed => &self.recorded,
            _ => &self.tally,
        };
        let against = match (self.layer.reference(), want(reading)) {
            (Reference::Layer(name), _) => name,
            (Reference::Differences, _) => "finite differences",
            (_, Want::Values(_) | Want::Error(_)) => "the case",
            (Reference::Literals, Want::Oracle) => "the contract",
            (Reference::Oracle, Want::Oracle) => "oracle",
        };
        let place = |what: &str| {
            let at = &case.at;
            format!(
                "{}\n  at {at}      judged against: {against}\n{what}",
                self.name
            )
        };
        let repro = format!("  repro: cargo xtask conformance --exact {}", self.name);
        let message = match (outcome, self.entry) {
            (Outcome::Passed, _) => None,
            (Outcome::NotRun, _) => Some("the layer has no answer to any of the calls".to_owned()),
            (Outcome::Failed, _) => Some(place(&format!("{}\n{repro}", tally.text()))),
            (Outcome::Blocked, _) => blocker.map(|name| format!("blocked: {name} is red")),
            (Outcome::Diverges, entry) => entry.map(|entry| entry.why.clone()),
            (Outcome::Stale, entry) => entry.map(|entry| {
                place(&format!(
                    "  stale: it agrees now; delete the entry at {}\n{repro}",
                    entry.at
                ))
            }),
            (Outcome::Changed, entry) => entry.map(|entry| {
                let text = tally.text();
                place(&format!(
                    "  changed: not as recorded at {}\n{text}\n{repro}",
                    entry.at
                ))
            }),
        };
        let worst = tally.worst();
        TrialResult {
            layer: self.layer.name().to_owned(),
            op: case.row.name.to_owned(),
            case: case.name.clone(),
            dtype: reading.dtype.clone(),
            device: self.layer.device().to_owned(),
            outcome,
            checked: tally.checked(),
            worst: worst.map(|(distance, _)| distance),
            allowed: worst.map(|(_, allowed)| allowed.text.clone()),
            allowed_worst: worst.map(|(_, allowed)| allowed.distance),
            unit: worst.map_or("ulp", |(_, allowed)| allowed.unit).to_owned(),
            millis: self.millis,
            message,
            name: self.name,
        }
    }
}

/// The oracle's answers; a panic is an error like any other.
fn oracle(call: &Call) -> Result<Vec<Answer>> {
    let tensors: Vec<Tensor> = call
        .inputs
        .iter()
        .map(|input| input.tensor.clone())
        .collect();
    caught(|| emily_oracle::run(&call.op, &tensors))
}

fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let text = panic_text(&*payload);
        Err(Error::new(ErrorKind::Internal, format!("panicked: {text}")))
    })
}

/// Stated answers, with the oracle's magnitudes where its answers have the same types.
fn with_magnitudes<'a>(
    values: &'a [Tensor],
    reference: &'a Result<Vec<Answer>>,
) -> Vec<Expected<'a>> {
    let answers = reference.as_deref().unwrap_or_default();
    let magnitude = |i: usize, tensor: &Tensor| {
        let answer = answers
            .get(i)
            .filter(|answer| answer.tensor.ty() == tensor.ty())?;
        answer.magnitude.as_deref()
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

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests;
