//! The verdict on one case at one dtype, on every layer.
//!
//! A few calls are made at a time, and all layers run them before the next ones are made: operands
//! and the oracle's answers are computed once and kept no longer than needed, and a layer in another
//! process answers all of them in one message.

use std::time::Instant;

use emily_oracle::Answer;
use emily_spec::{Judged, Result, Tensor, Tolerance};

use crate::case::{Body, Case, Reading, Want};
use crate::compare::{Comparison, Expected};
use crate::gradients;
use crate::layer::{Layer, Question, Reference, caught};
use crate::ledger::Ledger;
use crate::outcome::{Outcome, TrialResult};
use crate::plan::Call;
use expect::{Expectation, Slack, with_magnitudes};
use lane::Lane;

mod exception;
mod expect;
mod lane;

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
    let mut together = Vec::new();
    let outcome = each_call(reading, |call, random| {
        together.push(Drawn { call, random });
        if is_enough(&together) {
            judge.calls(&together, &mut lanes);
            together.clear();
        }
    });
    judge.calls(&together, &mut lanes);
    if let Err(message) = outcome {
        for lane in &mut lanes {
            lane.tally.add(None, &[Comparison::broken(message.clone())]);
        }
    }
    let mut results: Vec<TrialResult> = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let below = |result: &&TrialResult| {
            // Emily's layers do not stand below another backend.
            let below = result.device == lane.layer.device() && !lane.layer.is_foreign();
            result.layer != lane.layer.name() && (below || result.layer == "oracle")
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

/// Visits the calls, and says of each whether its operands are drawn at random.
fn each_call(
    reading: &Reading,
    mut visit: impl FnMut(Call, bool),
) -> std::result::Result<(), String> {
    match &reading.body {
        Body::Fact { call, .. } => {
            visit(call.clone(), false);
            Ok(())
        }
        Body::Sweep(plans) => plans.iter().try_for_each(|plan| {
            plan.calls(|call| {
                visit(call, plan.is_random());
                Ok(())
            })
        }),
    }
}

/// The calls made at a time, and the bytes of operands that they stop at.
const TOGETHER: usize = 64;
const TOGETHER_BYTES: usize = 512 << 10;

fn is_enough(calls: &[Drawn]) -> bool {
    let inputs = calls.iter().flat_map(|drawn| &drawn.call.inputs);
    let bytes: usize = inputs.map(|input| input.base.bytes().len()).sum();
    calls.len() >= TOGETHER || bytes >= TOGETHER_BYTES
}

/// A call, and whether its operands are drawn at random.
struct Drawn {
    call: Call,
    random: bool,
}

/// A layer's answer to a call.
struct Answered {
    layer: &'static str,
    device: &'static str,
    /// True when it is as it should be, and no record says otherwise.
    vouched: bool,
    got: Result<Vec<Tensor>>,
}

impl Answered {
    fn vouched_for(&self) -> Option<&Result<Vec<Tensor>>> {
        self.vouched.then_some(&self.got)
    }
}

struct Judge<'a> {
    case: &'a Case,
    want: &'a Want,
    generated: bool,
}

impl Judge<'_> {
    /// Has every layer answer these calls, and judges the answers.
    fn calls(&self, calls: &[Drawn], lanes: &mut [Lane<'_>]) {
        let start = Instant::now();
        let references: Vec<_> = calls.iter().map(|drawn| oracle(&drawn.call)).collect();
        let oracle_millis = millis(start);
        let mut answers: Vec<Vec<Answered>> = calls.iter().map(|_| Vec::new()).collect();
        for lane in lanes {
            let asked: Vec<usize> = (0..calls.len())
                .filter(|&index| self.takes(lane.layer, &calls[index].call))
                .collect();
            lane.calls.left_out += (calls.len() - asked.len()) as u64;
            if asked.is_empty() {
                continue;
            }
            let start = Instant::now();
            let all = asked.iter().map(|&index| &calls[index].call);
            let got: Vec<Result<Vec<Tensor>>> = match lane.layer.reference() {
                Reference::Literals => {
                    lane.millis += oracle_millis;
                    asked.iter().map(|&i| tensors(&references[i])).collect()
                }
                Reference::Oracle | Reference::OracleAnd(_) | Reference::Layer(_) => {
                    lane.layer.run_all(&all.collect::<Vec<_>>())
                }
                Reference::Differences => all
                    .map(|call| {
                        let (wrt, weights) = (
                            self.wrt(call),
                            gradients::weights(&call.op, &call.results()),
                        );
                        let layer = lane.layer;
                        caught(|| layer.gradients(&call.op, &call.inputs, &wrt, &weights))
                    })
                    .collect(),
            };
            lane.millis += millis(start);
            let start = Instant::now();
            assert_eq!(got.len(), asked.len(), "an answer for each call");
            for (index, got) in asked.into_iter().zip(got) {
                let (drawn, reference) = (&calls[index], &references[index]);
                self.answer(drawn, reference, got, lane, &mut answers[index]);
            }
            lane.judging_millis += millis(start);
        }
    }

    fn takes(&self, layer: &dyn Layer, call: &Call) -> bool {
        layer.takes(&Question {
            op: &call.op,
            types: &call.types(),
            generated: self.generated,
            inputs: Some(&call.inputs),
        })
    }

    /// Judges one layer's answer to one call; `answers` are those of the layers below.
    fn answer(
        &self,
        drawn: &Drawn,
        reference: &Result<Vec<Answer>>,
        got: Result<Vec<Tensor>>,
        lane: &mut Lane<'_>,
        answers: &mut Vec<Answered>,
    ) {
        let Drawn { call, random } = drawn;
        let device = lane.layer.device();
        let below = |name: &str, device: &str| {
            let mut answers = answers.iter();
            answers.find(|answered| answered.layer == name && answered.device == device)
        };
        let expectation = match lane.layer.reference() {
            Reference::Literals => self.literal(reference).unwrap_or_else(|| self.own(call)),
            Reference::Oracle | Reference::OracleAnd(_) => self.stated(reference),
            Reference::Layer(name) => match below(name, device).map(|answered| &answered.got) {
                Some(Ok(values)) => Expectation::Values(
                    values
                        .iter()
                        .map(|t| Expected {
                            tensor: t,
                            magnitude: None,
                        })
                        .collect(),
                    Slack::Fixed(Tolerance::Bits).into(),
                ),
                Some(Err(error)) => Expectation::Error(error.kind),
                None => self.stated(reference),
            },
            Reference::Differences => self.differences(call),
        };
        let refused = matches!(expectation, Expectation::Error(_));
        if refused && got.is_ok() && lane.layer.is_foreign() {
            lane.calls.left_out += 1;
            return;
        }
        if !refused && got.as_ref().is_err_and(|error| lane.layer.abstains(error)) {
            lane.calls.left_out += 1;
            return;
        }
        let layer = lane.layer;
        let compare =
            |expectation: &Expectation<'_>, got: &Result<Vec<Tensor>>| match (expectation, got) {
                (Expectation::Error(kind), Err(error))
                    if let Some(raised) = layer.raised(error) =>
                {
                    vec![match layer.is_foreign() {
                        true => Comparison::agreed(),
                        false => self.exception(layer.name(), *kind, raised, reference),
                    }]
                }
                _ => self.compare(call, *random, layer, expectation, got),
            };
        let mut found = compare(&expectation, &got);
        lane.record(call, &expectation, &found, &got, compare);
        let vouched = lane.entry.is_none() && found.iter().all(Comparison::agrees);
        if let Reference::OracleAnd(name) = lane.layer.reference()
            && let Judged::Values(_) = self.case.row.judged
            && let Some(Ok(values)) = below(name, "cpu").and_then(Answered::vouched_for)
            && vouched
        {
            let second =
                Expectation::Values(with_magnitudes(values, reference), self.allowed().into());
            let more = compare(&second, &got).into_iter();
            found.extend(more.map(|comparison| comparison.against(name)));
            lane.second = Some(name);
        }
        if !refused && matches!(&got, Err(error) if layer.raised(error).is_some()) {
            lane.refused += 1;
        }
        lane.tally.add(Some(call), &found);
        answers.push(Answered {
            layer: lane.layer.name(),
            device,
            vouched,
            got,
        });
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

fn tensors(answers: &Result<Vec<Answer>>) -> Result<Vec<Tensor>> {
    let tensors = |all: &Vec<Answer>| all.iter().map(|answer| answer.tensor.clone()).collect();
    answers.as_ref().map(tensors).map_err(Clone::clone)
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests;
