//! Comparisons added up over a trial's calls, and what is printed of the first that failed.

use std::fmt::Write as _;

use emily_spec::DType;

use crate::compare::{APART, Allowed, Comparison, Miss};
use crate::literal::print_value;
use crate::number::{self, Format};
use crate::plan::Call;

/// The sum of a trial's comparisons.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    checked: u64,
    outside: u64,
    calls: u64,
    failed: u64,
    worst: Option<(f64, Allowed)>,
    first: Option<String>,
}

impl Tally {
    /// Adds the comparisons of one call's results.
    pub fn add(&mut self, call: Option<&Call>, found: &[Comparison]) {
        self.calls += 1;
        let mut failed = false;
        for (place, comparison) in found.iter().enumerate() {
            self.checked += comparison.checked;
            self.outside += comparison.outside;
            self.note_worst(comparison);
            if !comparison.agrees() && self.first.is_none() {
                let same = |other: &&Comparison| other.against == comparison.against;
                let result = found[..place].iter().filter(same).count();
                self.first = Some(explain(call, result, comparison));
            }
            failed |= !comparison.agrees();
        }
        self.failed += u64::from(failed);
    }

    /// True when every comparison agrees.
    pub fn agrees(&self) -> bool {
        self.failed == 0
    }

    /// The calls in which something does not.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// The values compared.
    pub fn checked(&self) -> u64 {
        self.checked
    }

    /// The largest distance relative to what is allowed, and what is.
    pub fn worst(&self) -> Option<(f64, &Allowed)> {
        self.worst
            .as_ref()
            .map(|(distance, allowed)| (*distance, allowed))
    }

    /// What went wrong, in a few lines.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let (Some((worst, allowed)), true) = (self.worst(), self.outside > 0) {
            let Tally {
                outside, checked, ..
            } = self;
            let Allowed {
                text: tolerance,
                distance,
                unit,
            } = allowed;
            let worst = show(worst);
            let _ = writeln!(
                text,
                "  {outside} of {checked} elements outside `{tolerance}`; \
                 worst {worst} {unit} (allowed {distance})"
            );
        }
        if self.calls > 1 {
            let _ = writeln!(
                text,
                "  {} of {} calls differ; the first:",
                self.failed, self.calls
            );
        }
        text.push_str(self.first.as_deref().unwrap_or_default());
        text.truncate(text.trim_end().len());
        text
    }

    fn note_worst(&mut self, comparison: &Comparison) {
        let share = |distance: f64, allowed: &Allowed| match distance {
            0.0 => 0.0,
            distance => distance / allowed.distance,
        };
        let new = share(comparison.worst, &comparison.allowed);
        let old = self
            .worst
            .as_ref()
            .map(|(distance, allowed)| share(*distance, allowed));
        let further = |old: f64| {
            let more = self
                .worst
                .as_ref()
                .is_none_or(|(distance, _)| comparison.worst > *distance);
            new > old || (new == old && more)
        };
        if old.is_none_or(further) {
            self.worst = Some((comparison.worst, comparison.allowed.clone()));
        }
    }
}

/// A distance in few characters.
fn show(distance: f64) -> String {
    match distance {
        APART => "∞".to_owned(),
        distance if distance.fract() == 0.0 && distance < 1e15 => format!("{distance:.0}"),
        distance => format!("{distance:.4}"),
    }
}

/// The failed comparison: which call, what is broken, which elements.
fn explain(call: Option<&Call>, result: usize, comparison: &Comparison) -> String {
    let mut text = String::new();
    if let Some(call) = call.filter(|call| !call.what.is_empty()) {
        let _ = writeln!(text, "    {}", call.what);
    }
    if let Some(layer) = comparison.against {
        let _ = writeln!(text, "    against {layer}");
    }
    if result > 0 {
        let _ = writeln!(text, "    result {result}");
    }
    if let Some(broken) = &comparison.broken {
        let _ = writeln!(text, "  {broken}");
    }
    if let (Some(call), false) = (call, comparison.misses.is_empty()) {
        text.push_str(&table(call, result, comparison));
    }
    text
}

fn table(call: &Call, result: usize, comparison: &Comparison) -> String {
    let types = call.types();
    let Some(ty) = call
        .op
        .infer(&types)
        .ok()
        .and_then(|types| types.get(result).cloned())
    else {
        return String::new();
    };
    let elementwise = !types.is_empty() && types.iter().all(|input| input.shape == ty.shape);
    let unit = comparison.allowed.unit;
    let mut text = format!(
        "  {:>8} {:>15} {:>12} {:>15} {:>12} {:>11}",
        "index", "expected", "bits", "actual", "bits", unit
    );
    text.push_str(if elementwise { "   operands\n" } else { "\n" });
    for miss in &comparison.misses {
        let Miss {
            index,
            expected,
            actual,
            distance,
            difference,
        } = miss;
        let [want, got] = [expected, actual].map(|element| print_value(ty.dtype, *element));
        let [want_bits, got_bits] = [expected, actual].map(|element| hex(ty.dtype, *element));
        let place = format!("{:?}", unravel(*index, &ty.shape)).replace(' ', "");
        let _ = write!(
            text,
            "  {place:>8} {want:>15} {want_bits:>12} {got:>15} {got_bits:>12} {:>11}",
            difference.map_or_else(|| show(*distance), |difference| difference.to_string())
        );
        if elementwise {
            let operands = call.inputs.iter().map(|input| {
                let element = number::elements(&input.tensor).nth(*index).unwrap_or(0);
                print_value(input.tensor.dtype(), element)
            });
            let operands: Vec<String> = operands.collect();
            let _ = write!(text, "   {}", operands.join(" "));
        }
        text.push('\n');
    }
    text
}

fn hex(dtype: DType, element: u64) -> String {
    let digits = 2 * dtype.size();
    match Format::of(dtype) {
        Some(_) => format!("0x{element:0digits$x}"),
        None => String::new(),
    }
}

fn unravel(index: usize, shape: &[usize]) -> Vec<usize> {
    let strides = emily_spec::row_major_strides(shape);
    strides
        .iter()
        .zip(shape)
        .map(|(stride, dim)| index / stride % dim)
        .collect()
}
