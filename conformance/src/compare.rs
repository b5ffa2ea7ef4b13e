//! The only place that compares floats.
//!
//! Dtype and shape come first; then every element, in the result's own dtype, within a
//! [`Tolerance`]; or a decomposition's residuals, in f64. Distances are counted in the tolerance's
//! unit, so that worst and allowed can stand side by side.

use emily_spec::{Tensor, Tolerance};

use crate::number;

mod element;
mod gradient;
mod promise;

pub use gradient::gradient;
pub use promise::promise;

/// The distance of values that are no distance apart, as NaN and 1.
pub const APART: f64 = f64::MAX;

/// The misses that a comparison keeps.
const KEPT: usize = 8;

/// What an answer is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The answer.
    pub tensor: &'a Tensor,
    /// Per element, what [`Tolerance::Accum`] is relative to; the answer's own size when absent.
    pub magnitude: Option<&'a [f64]>,
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
    /// What is wrong besides single elements: the type, or a broken promise.
    pub broken: Option<String>,
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
            broken: None,
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
pub fn values(expected: Expected<'_>, actual: &Tensor, tolerance: Tolerance) -> Comparison {
    let mut comparison = Comparison::new(Allowed::of(tolerance));
    let want = expected.tensor;
    if want.ty() != actual.ty() {
        let message = format!("the result is {}, expected {}", actual.ty(), want.ty());
        return comparison.breaking(message);
    }
    let dtype = want.dtype();
    let pairs = number::elements(want).zip(number::elements(actual));
    for (index, (want, got)) in pairs.enumerate() {
        let magnitude = expected.magnitude.map(|all| all[index]);
        comparison.count(Miss {
            index,
            expected: want,
            actual: got,
            distance: element::distance(dtype, tolerance, want, got, magnitude),
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
