//! How near an answer must be to the reference.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::{Class, DType};

/// The allowed distance between an answer and its reference, in the result's own dtype.
///
/// Distances are between numbers of one kind. But for `bits`, which knows bytes only, NaN and a number,
/// an infinity and a finite number, a zero and one that is none, and two signs are never within a
/// tolerance; [`Tolerance::Accum`] says when an accumulated error may have done it all the same.
///
/// The text form is `bits`, `exact`, `ulp(4)` or `accum(2)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// The same bytes.
    Bits,
    /// The same values: any NaN equals any NaN, and the two zeros differ.
    Exact,
    /// At most this many representable values apart.
    Ulp(u32),
    /// `|got − want| ≤ k · eps · magnitude`, the magnitude given by the oracle beside the value:
    /// Σ|xᵢ| for a sum; Σ|aᵢ·bᵢ| for a product, times what a BLAS that adds its n terms in an order
    /// of its own may be off by; the modulus for a complex function, times its condition. A bound from
    /// rounding-error analysis. Where it reaches across zero, the sign is no part of the answer; where
    /// partial sums overflow within it, they may.
    Accum(f64),
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tolerance::Bits => f.write_str("bits"),
            Tolerance::Exact => f.write_str("exact"),
            Tolerance::Ulp(n) => write!(f, "ulp({n})"),
            Tolerance::Accum(k) => write!(f, "accum({k})"),
        }
    }
}

impl FromStr for Tolerance {
    type Err = String;

    fn from_str(text: &str) -> Result<Tolerance, String> {
        let inside = |name: &str| {
            let rest = text.strip_prefix(name)?;
            rest.strip_prefix('(')?.strip_suffix(')')
        };
        match text {
            "bits" => return Ok(Tolerance::Bits),
            "exact" => return Ok(Tolerance::Exact),
            _ => {}
        }
        let bad = || format!("tolerance {text:?} is none of bits, exact, ulp(N), accum(K)");
        if let Some(n) = inside("ulp") {
            return n.parse().map(Tolerance::Ulp).map_err(|_| bad());
        }
        if let Some(k) = inside("accum") {
            let k: f64 = k.parse().map_err(|_| bad())?;
            if k.is_finite() && k >= 0.0 {
                return Ok(Tolerance::Accum(k));
            }
        }
        Err(bad())
    }
}

impl Serialize for Tolerance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tolerance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A function evaluated by a maths library that promises `ulp32` units in f32; f16 and bf16 go
/// through f32, so one rounding on top of it can move the answer by one unit.
pub(crate) const fn library(dtype: DType, ulp32: u32) -> Tolerance {
    match dtype.class() {
        // Each part carries the error of both: bounded against the modulus, not the part.
        Class::Complex => Tolerance::Accum(ulp32 as f64 * 2.0),
        Class::Float if dtype.is_small_float() => Tolerance::Ulp(1),
        Class::Float | Class::Unsigned | Class::Signed => Tolerance::Ulp(ulp32),
    }
}

/// Integers are exact. Floats are within two units of the magnitude: one for the final rounding,
/// one for accumulation, in blocks whose error hardly grows with the length, or, in a product, for
/// the growth that the oracle's magnitude allows for.
pub(crate) const fn sum_tolerance(dtype: DType) -> Tolerance {
    if dtype.is_integer() {
        Tolerance::Exact
    } else {
        Tolerance::Accum(2.0)
    }
}

/// A product of many factors: one unit of the magnitude, which counts a rounding per factor.
pub(crate) const fn product_tolerance(dtype: DType) -> Tolerance {
    if dtype.is_integer() {
        Tolerance::Exact
    } else {
        Tolerance::Accum(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for t in [
            Tolerance::Bits,
            Tolerance::Exact,
            Tolerance::Ulp(4),
            Tolerance::Accum(2.5),
        ] {
            assert_eq!(t.to_string().parse::<Tolerance>(), Ok(t));
        }
        assert!("ulp(-1)".parse::<Tolerance>().is_err());
        assert!("accum(nan)".parse::<Tolerance>().is_err());
        assert!("ulp 4".parse::<Tolerance>().is_err());
    }
}
