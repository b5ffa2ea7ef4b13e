//! The verdict on one trial.

use std::time::Instant;

use emily_spec::{Result, Tensor, Tolerance};

use super::LAYER;
use super::model::Model;
use super::trial::{Ask, Slice};
use crate::compare::{self, Comparison, Expected};
use crate::layer::{ModelQuestion, Models};
use crate::outcome::{Calls, Outcome, TrialResult};

/// A result's name and what came of comparing it.
type Compared = (String, Comparison);

/// Asks and judges.
pub(super) fn judge(
    model: &Model,
    vms: &Models,
    slice: &Slice,
    mistake: Option<&str>,
) -> TrialResult {
    let head = &model.heads[&slice.head];
    let question = ModelQuestion {
        folder: &model.folder,
        head: &slice.head,
        dtype: slice.dtype,
        lane: slice.lane,
        device: &slice.device,
        ask: slice.ask.name(),
        mistake,
    };
    let start = Instant::now();
    let answer = vms.ask(&question);
    let millis = start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    let compared = answer.and_then(|results| match slice.ask {
        Ask::Outputs => Ok(outputs(model, slice, &head.outputs, &results)),
        Ask::Tokens => Ok(tokens(model.tokens(&slice.head), &results)),
        Ask::Sample => {
            let reference = ModelQuestion {
                lane: "reference",
                device: "cpu",
                mistake: None,
                ..question
            };
            Ok(tokens(vms.ask(&reference)?.first(), &results))
        }
        Ask::Gradients => Ok(gradients(&results)),
    });
    let mut result = verdict(&slice.name(&model.name), compared);
    result.op = model.name.clone();
    result.case = slice.case();
    result.dtype = slice.dtype.name().to_owned();
    result.device = slice.device.clone();
    result.millis = millis;
    result.judging_millis = start.elapsed().as_secs_f64() * 1e3;
    result
}

fn outputs(model: &Model, slice: &Slice, names: &[String], results: &[Tensor]) -> Vec<Compared> {
    let spread = model.spread(slice.dtype);
    let compare = |name: &String, result: Option<&Tensor>| {
        let right = model.right(&slice.head, slice.dtype, name);
        match (right, result) {
            (Some(right), Some(result)) if result.dtype() == slice.dtype => {
                compare::output(right, spread, result)
            }
            (Some(_), Some(result)) => Comparison::broken(format!("the result is {}", result.ty())),
            (None, _) => Comparison::broken("slices.safetensors has no answer"),
            (_, None) => Comparison::broken("there is no such result"),
        }
    };
    let names = names.iter().enumerate();
    names
        .map(|(place, name)| (name.clone(), compare(name, results.get(place))))
        .collect()
}

fn tokens(expected: Option<&Tensor>, results: &[Tensor]) -> Vec<Compared> {
    let comparison = match (expected, results) {
        (Some(tensor), [result]) => {
            let expected = Expected {
                tensor,
                magnitude: None,
            };
            compare::values(expected, result, Tolerance::Exact.into())
        }
        _ => Comparison::broken("there are no tokens to compare"),
    };
    vec![("tokens".to_owned(), comparison)]
}

/// The results are of three for each parameter: Emily's, torch's in f64, and torch's in f32.
fn gradients(results: &[Tensor]) -> Vec<Compared> {
    let threes = results.chunks_exact(3).enumerate();
    threes
        .map(|(place, three)| {
            let spread = compare::spread(&three[1], &three[2]);
            let name = format!("parameter {place}");
            (name, compare::output(&three[1], spread, &three[0]))
        })
        .collect()
}

fn verdict(name: &str, compared: Result<Vec<Compared>>) -> TrialResult {
    let compared = compared.unwrap_or_else(|error| {
        let broken = Comparison::broken(error.to_string());
        vec![("the model".to_owned(), broken)]
    });
    let used = |comparison: &Comparison| match comparison.worst {
        0.0 => 0.0,
        worst => worst / comparison.allowed.distance,
    };
    let furthest = compared
        .iter()
        .map(|(_, comparison)| comparison)
        .max_by(|a, b| used(a).total_cmp(&used(b)));
    let wrong: Vec<&Compared> = compared.iter().filter(|(_, c)| !c.agrees()).collect();
    let text: Vec<String> = wrong.iter().map(|(what, c)| explain(what, c)).collect();
    let repro = format!("  repro: cargo xtask slices --exact {name}");
    TrialResult {
        name: name.to_owned(),
        layer: LAYER.to_owned(),
        op: String::new(),
        case: String::new(),
        dtype: String::new(),
        device: String::new(),
        outcome: if wrong.is_empty() {
            Outcome::Passed
        } else {
            Outcome::Failed
        },
        checked: compared.iter().map(|(_, c)| c.checked).sum(),
        worst: furthest.map(|c| c.worst),
        allowed: furthest.map(|c| c.allowed.text.clone()),
        allowed_worst: furthest.map(|c| c.allowed.distance),
        unit: furthest.map_or("ulp", |c| c.allowed.unit).to_owned(),
        calls: Calls {
            judged: 1,
            ..Calls::default()
        },
        refusals: 0,
        failed: u64::from(!wrong.is_empty()),
        millis: 0.0,
        judging_millis: 0.0,
        message: (!wrong.is_empty()).then(|| format!("{name}\n{}\n{repro}", text.join("\n"))),
    }
}

fn explain(what: &str, comparison: &Comparison) -> String {
    if let Some(broken) = &comparison.broken {
        return format!("  {what}: {broken}");
    }
    let first = comparison.misses.first().map_or(0, |miss| miss.index);
    format!(
        "  {what}: {} of {} elements outside `{}`, the first at {first}; worst {:.3} {}",
        comparison.outside,
        comparison.checked,
        comparison.allowed.text,
        comparison.worst,
        comparison.allowed.unit
    )
}
