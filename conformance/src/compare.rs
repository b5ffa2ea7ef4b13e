//! The only place that compares floats.
//!
//! Dtype and shape come first; then every element, in the result's own dtype: whether it is the same
//! kind of number, and if so, whether it is within a [`Tolerance`]; or a decomposition's residuals, in
//! f64. Distances are counted in the tolerance's unit, so that worst and allowed can stand side by
//! side.

use std::fmt;

use emily_oracle::Magnitude;
use emily_spec::{Tensor, Tolerance};
use serde::Deserialize;

use crate::number;

mod element;
mod gradient;
mod matrix;
mod model;
mod promise;

use element::{Apart, Size};
pub use gradient::gradient;
pub use model::{output, spread};
pub use promise::{Form, promise};

/// The distance of values that differ in kind, as NaN and 1.
pub const APART: f64 = f64::MAX;

/// The misses that a comparison keeps.
const KEPT: usize = 8;

/// How two numbers differ that no distance can tell apart: a lost sign is no rounding error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// One is NaN.
    Nan,
    /// One is infinite.
    Infinite,
    /// One is a zero: a number flushed to it, or the reverse.
    Zero,
    /// Their signs, also those of zeros and infinities.
    Sign,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Difference::Nan => "nan",
            Difference::Infinite => "infinite",
            Difference::Zero => "zero",
            Difference::Sign => "sign",
        })
    }
}

/// What an answer is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The answer.
    pub tensor: &'a Tensor,
    /// What [`Tolerance::Accum`] is relative to; the answer's own size when absent.
    pub magnitude: Option<&'a Magnitude>,
}

/// How near is near enough.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// The distance allowed between numbers of one kind.
    pub tolerance: Tolerance,
    /// Whether the operands were drawn at random, so that their rounding errors have no common sign.
    pub random: bool,
    /// Whether the sign of a zero is open.
    pub open_zero: bool,
    /// Whether the parts of a complex number that is not finite are: any other that is not is as good.
    pub open_parts: bool,
    /// The differences in kind that are forgiven.
    pub forgiven: &'a [Difference],
}

impl From<Tolerance> for Rule<'_> {
    /// The tolerance alone: nothing is open, nothing forgiven.
    fn from(tolerance: Tolerance) -> Self {
        Rule {
            tolerance,
            random: false,
            open_zero: false,
            open_parts: false,
            forgiven: &[],
        }
    }
}

/// The distance allowed, in words and as a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowed {
    /// The tolerance's text, `ulp(4)`.
    pub text: String,
    /// The largest distance.
    pub distance: f64,
    /// What the distance counts.
    pub unit: &'static str,
}

/// One element outside the tolerance.
#[derive(Clone, Debug, PartialEq)]
pub struct Miss {
    /// Its row-major place.
    pub index: usize,
    /// The bits expected.
    pub expected: u64,
    /// The bits found.
    pub actual: u64,
    /// How far apart they are.
    pub distance: f64,
    /// How they differ in kind.
    pub difference: Option<Difference>,
}

/// The outcome of one comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The values compared.
    pub checked: u64,
    /// Those outside the tolerance.
    pub outside: u64,
    /// The largest distance seen.
    pub worst: f64,
    /// The distance allowed.
    pub allowed: Allowed,
    /// The first misses.
    pub misses: Vec<Miss>,
    /// The differences in kind that were forgiven.
    pub forgiven: Vec<Difference>,
    /// What is wrong besides single elements: the type, or a broken promise.
    pub broken: Option<String>,
    /// The layer that gave the expected answer, where it is a second one.
    pub against: Option<&'static str>,
}

impl Comparison {
    /// True when nothing lies outside the tolerance.
    pub fn agrees(&self) -> bool {
        self.outside == 0 && self.broken.is_none()
    }

    /// One value that is as it should be, where no distance can be measured.
    pub fn agreed() -> Comparison {
        Comparison {
            checked: 1,
            ..Comparison::new(Allowed::of(Tolerance::Exact))
        }
    }

    /// One value that is wrong in a way that no distance measures.
    pub fn broken(message: impl Into<String>) -> Comparison {
        Comparison::agreed().breaking(message.into())
    }

    fn new(allowed: Allowed) -> Comparison {
        Comparison {
            checked: 0,
            outside: 0,
            worst: 0.0,
            allowed,
            misses: Vec::new(),
            forgiven: Vec::new(),
            broken: None,
            against: None,
        }
    }

    /// This comparison, as one with another layer's answer.
    pub fn against(self, layer: &'static str) -> Comparison {
        Comparison {
            against: Some(layer),
            ..self
        }
    }

    /// Counts an element, and keeps it where it is too far from what was expected.
    fn count(&mut self, element: Miss) {
        self.checked += 1;
        self.worst = self.worst.max(element.distance);
        if element.distance > self.allowed.distance {
            self.outside += 1;
            if self.misses.len() < KEPT {
                self.misses.push(element);
            }
        }
    }

    /// Notes a difference in kind that does not count.
    fn forgive(&mut self, difference: Difference) {
        if !self.forgiven.contains(&difference) {
            self.forgiven.push(difference);
        }
    }

    /// This comparison, wrong besides single elements.
    fn breaking(self, message: String) -> Comparison {
        Comparison {
            worst: APART,
            broken: Some(message),
            ..self
        }
    }
}

impl Allowed {
    /// What a tolerance allows.
    pub fn of(tolerance: Tolerance) -> Allowed {
        let (distance, unit) = match tolerance {
            Tolerance::Bits | Tolerance::Exact => (0.0, "ulp"),
            Tolerance::Ulp(n) => (f64::from(n), "ulp"),
            Tolerance::Accum(k) => (k, "accum"),
        };
        Allowed {
            text: tolerance.to_string(),
            distance,
            unit,
        }
    }
}

/// Compares an answer with the expected one.
pub fn values(expected: Expected<'_>, actual: &Tensor, rule: Rule<'_>) -> Comparison {
    let mut comparison = Comparison::new(Allowed::of(rule.tolerance));
    let want = expected.tensor;
    if want.ty() != actual.ty() {
        let message = format!("the result is {}, expected {}", actual.ty(), want.ty());
        return comparison.breaking(message);
    }
    let pairs = number::elements(want).zip(number::elements(actual));
    for (index, (want, got)) in pairs.enumerate() {
        let size = expected
            .magnitude
            .map(|all| Size::at(all, index, rule.random));
        let apart = element::apart(expected.tensor.dtype(), rule, want, got, size);
        let (distance, difference) = match apart {
            Apart::By(distance) => (distance, None),
            Apart::In(difference) if rule.forgiven.contains(&difference) => {
                comparison.forgive(difference);
                (0.0, None)
            }
            Apart::In(difference) => (APART, Some(difference)),
        };
        comparison.count(Miss {
            index,
            expected: want,
            actual: got,
            distance,
            difference,
        });
    }
    comparison
}

/// The tensor that a literal stands for.
#[cfg(test)]
fn tensor(text: &str) -> Tensor {
    let literal = crate::literal::Literal::parse(text).unwrap();
    literal.at(literal.ty().dtype).unwrap()
}
