//! The values that sweeps fill operands with: specials, and seeded random ones.
//!
//! Everything here is deterministic: the same generator, operand and dtype give the same values on
//! every machine, so that a trial is reproducible by its name alone.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use emily_spec::{DType, Domain, TensorType};
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::number::{self, Format};

mod specials;

pub use specials::specials;

/// A generator of element values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// The values where implementations go wrong; several operands take their cross product.
    Specials,
    /// Random values of moderate size, from the operand's domain.
    Domain {
        /// The seed.
        seed: u64,
    },
    /// Random bit patterns.
    Bits {
        /// The seed.
        seed: u64,
    },
    /// Uniform between two bounds, both included.
    Uniform {
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
        /// The seed.
        seed: u64,
    },
    /// Whole numbers between two bounds, both included, in every dtype.
    Whole {
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
        /// The seed.
        seed: u64,
    },
    /// 0 1 2 3 …, wrapping.
    Iota,
}

impl Values {
    /// True when each element is drawn on its own.
    pub fn are_random(self) -> bool {
        match self {
            Values::Domain { .. }
            | Values::Bits { .. }
            | Values::Uniform { .. }
            | Values::Whole { .. } => true,
            Values::Specials | Values::Iota => false,
        }
    }

    /// `count` elements for operand number `operand`, within its domain.
    ///
    /// `specials` here is one pass over them; [`crate::plan`] makes the cross product itself.
    pub fn fill(
        self,
        operand: usize,
        dtype: DType,
        domain: Domain,
        count: usize,
    ) -> Result<Vec<u64>, String> {
        let random = |seed: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(operand as u64);
            rng
        };
        Ok(match self {
            Values::Specials => {
                let pack = specials(dtype, domain);
                if pack.is_empty() && count > 0 {
                    return Err(format!("no special value of {dtype} lies in {domain:?}"));
                }
                pack.into_iter().cycle().take(count).collect()
            }
            Values::Domain { seed } => {
                let mut rng = random(seed);
                (0..count)
                    .map(|_| moderate(&mut rng, dtype, domain))
                    .collect()
            }
            Values::Bits { seed } => {
                let mut rng = random(seed);
                (0..count)
                    .map(|_| any_bits(&mut rng, dtype, domain))
                    .collect()
            }
            Values::Uniform { low, high, seed } => {
                check_bounds(dtype, low, high)?;
                if dtype.is_integer() {
                    whole_bounds(low, high)?;
                }
                let mut rng = random(seed);
                (0..count)
                    .map(|_| uniform(&mut rng, dtype, low, high))
                    .collect()
            }
            Values::Whole { low, high, seed } => {
                check_bounds(dtype, low, high)?;
                let bounds = whole_bounds(low, high)?;
                let mut rng = random(seed);
                (0..count)
                    .map(|_| whole(dtype, rng.random_range(bounds.clone())))
                    .collect()
            }
            Values::Iota => (0..count).map(|i| whole(dtype, i as i128)).collect(),
        })
    }
}

/// True when the domain lets an integer element through; floats always pass.
pub fn allows(domain: Domain, dtype: DType, element: u64) -> bool {
    let Some(value) = number::integer(dtype, element) else {
        return true;
    };
    match domain {
        Domain::Any | Domain::Dominant | Domain::PositiveDefinite | Domain::Triangular { .. } => {
            true
        }
        Domain::NonZero => value != 0,
        Domain::Range(low, high) => (low..=high).contains(&(value as f64)),
    }
}

/// Makes of elements what a domain of matrices asks for: the diagonal of each becomes larger than twice
/// what else is in a row. Elements keep their signs, but those that a symmetric matrix mirrors.
pub fn shape_matrices(domain: Domain, ty: &TensorType, elements: &mut [u64]) {
    let definite = match domain {
        Domain::Any | Domain::NonZero | Domain::Range(..) => return,
        Domain::Dominant | Domain::Triangular { .. } => false,
        Domain::PositiveDefinite => true,
    };
    let is_cleared = |i: usize, j: usize| match domain {
        Domain::Triangular { upper } => i != j && (j < i) == upper,
        Domain::Any
        | Domain::NonZero
        | Domain::Range(..)
        | Domain::Dominant
        | Domain::PositiveDefinite => false,
    };
    let Some(&[m, n]) = ty.shape.last_chunk::<2>() else {
        return;
    };
    for matrix in elements.chunks_mut((m * n).max(1)) {
        let largest = matrix
            .iter()
            .map(|&x| modulus(ty.dtype, x))
            .fold(1.0, f64::max);
        for i in 0..m.min(n) {
            if definite {
                (0..i).for_each(|j| matrix[j * n + i] = matrix[i * n + j]);
            }
            for j in (0..n).filter(|&j| is_cleared(i, j)) {
                matrix[i * n + j] = 0;
            }
            let at = i * n + i;
            let by = 2.0 * n as f64 * largest.ceil();
            matrix[at] = enlarged(ty.dtype, matrix[at], by, definite);
        }
    }
}

/// The modulus of an element; of a complex one at most what it gives.
fn modulus(dtype: DType, element: u64) -> f64 {
    match (Format::of(dtype), number::integer(dtype, element)) {
        (Some(format), _) if dtype.is_complex() => {
            let [re, im] = number::parts(element);
            format.value(re).abs() + format.value(im).abs()
        }
        (Some(format), _) => format.value(element).abs(),
        (None, value) => value.unwrap_or_default().abs() as f64,
    }
}

/// An element that is further from zero, in its real part, by this much; or positive.
fn enlarged(dtype: DType, element: u64, by: f64, positive: bool) -> u64 {
    let away = |x: f64| match x < 0.0 {
        true if positive => by - x,
        true => x - by,
        false => x + by,
    };
    let Some(format) = Format::of(dtype) else {
        let value = number::integer(dtype, element).unwrap_or_default();
        return number::wrapped(dtype, away(value as f64) as i128);
    };
    match dtype.is_complex() {
        true => {
            let [re, im] = number::parts(element);
            number::complex(format.nearest(away(format.value(re))), im)
        }
        false => format.nearest(away(format.value(element))),
    }
}

fn moderate(rng: &mut ChaCha8Rng, dtype: DType, domain: Domain) -> u64 {
    match (domain, Format::of(dtype)) {
        (Domain::Range(low, high), _) => uniform(rng, dtype, low, high),
        // What makes them matrices of their kind is done to all elements together.
        (Domain::Dominant | Domain::PositiveDefinite | Domain::Triangular { .. }, _) => {
            uniform(rng, dtype, -1.0, 1.0)
        }
        (Domain::Any | Domain::NonZero, None) => loop {
            let element = sized_integer(rng, dtype);
            if allows(domain, dtype, element) {
                return element;
            }
        },
        (Domain::Any | Domain::NonZero, Some(format)) => {
            let mut part = || {
                let magnitude = rng.random_range(1.0..2.0) * 2f64.powi(rng.random_range(-8..8));
                format.nearest(if rng.random() { magnitude } else { -magnitude })
            };
            let re = part();
            if dtype.is_complex() {
                number::complex(re, part())
            } else {
                re
            }
        }
    }
}

/// An integer whose number of bits is uniform, so that small and large ones mix.
fn sized_integer(rng: &mut ChaCha8Rng, dtype: DType) -> u64 {
    let bits = 8 * dtype.size() as u32;
    let magnitude = rng
        .next_u64()
        .checked_shr(64 - rng.random_range(0..=bits))
        .unwrap_or(0);
    let negative = matches!(dtype.class(), emily_spec::Class::Signed) && rng.random();
    let value = if negative {
        -i128::from(magnitude)
    } else {
        magnitude.into()
    };
    number::wrapped(dtype, value)
}

fn any_bits(rng: &mut ChaCha8Rng, dtype: DType, domain: Domain) -> u64 {
    if let (Domain::Range(low, high), true) = (domain, dtype.is_integer()) {
        return uniform(rng, dtype, low, high);
    }
    loop {
        let element = rng.next_u64() >> (64 - 8 * dtype.size() as u32);
        if allows(domain, dtype, element) {
            return element;
        }
    }
}

fn uniform(rng: &mut ChaCha8Rng, dtype: DType, low: f64, high: f64) -> u64 {
    let Some(format) = Format::of(dtype) else {
        let (min, max) = number::limits(dtype).unwrap_or((0, 0));
        let low = (low.ceil() as i128).clamp(min, max);
        let high = (high.floor() as i128).clamp(low, max);
        return number::wrapped(dtype, rng.random_range(low..=high));
    };
    let re = format.nearest(rng.random_range(low..=high));
    if dtype.is_complex() {
        return number::complex(re, format.nearest(rng.random_range(low..=high)));
    }
    re
}

/// A whole number in any dtype: wrapped in an integer one, rounded in a float.
fn whole(dtype: DType, value: i128) -> u64 {
    match Format::of(dtype) {
        None => number::wrapped(dtype, value),
        Some(format) => format.nearest(value as f64),
    }
}

fn check_bounds(dtype: DType, low: f64, high: f64) -> Result<(), String> {
    let (min, max) = match number::limits(dtype) {
        Some((min, max)) => (min as f64, max as f64),
        None => (f64::MIN, f64::MAX),
    };
    if low <= high && min <= low && high <= max {
        return Ok(());
    }
    Err(format!("{low} to {high} is not a range of {dtype}"))
}

/// The whole numbers between two bounds.
fn whole_bounds(low: f64, high: f64) -> Result<RangeInclusive<i128>, String> {
    let bounds = low.ceil() as i128..=high.floor() as i128;
    match bounds.is_empty() {
        false => Ok(bounds),
        true => Err(format!("no whole number lies between {low} and {high}")),
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Values::Specials => f.write_str("specials"),
            Values::Domain { seed } => write!(f, "domain(seed={seed})"),
            Values::Bits { seed } => write!(f, "bits(seed={seed})"),
            Values::Uniform { low, high, seed } => write!(f, "uniform({low},{high},seed={seed})"),
            Values::Whole { low, high, seed } => write!(f, "whole({low},{high},seed={seed})"),
            Values::Iota => f.write_str("iota"),
        }
    }
}

impl FromStr for Values {
    type Err = String;

    fn from_str(text: &str) -> Result<Values, String> {
        parse(text).ok_or_else(|| {
            format!(
                "{text:?} is none of specials, iota, domain(seed=N), bits(seed=N), \
                 uniform(A,B,seed=N), whole(A,B,seed=N)"
            )
        })
    }
}

fn parse(text: &str) -> Option<Values> {
    let (name, arguments) = match text.trim().split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')')?),
        None => (text.trim(), ""),
    };
    let arguments: Vec<&str> = arguments
        .split(',')
        .map(str::trim)
        .filter(|argument| !argument.is_empty())
        .collect();
    let seed = |text: &str| text.strip_prefix("seed=")?.trim().parse().ok();
    let bound = |text: &str| text.parse::<f64>().ok().filter(|bound| bound.is_finite());
    match (name, arguments.as_slice()) {
        ("specials", []) => Some(Values::Specials),
        ("iota", []) => Some(Values::Iota),
        ("domain", [s]) => Some(Values::Domain { seed: seed(s)? }),
        ("bits", [s]) => Some(Values::Bits { seed: seed(s)? }),
        ("uniform", [low, high, s]) => Some(Values::Uniform {
            low: bound(low)?,
            high: bound(high)?,
            seed: seed(s)?,
        }),
        ("whole", [low, high, s]) => Some(Values::Whole {
            low: bound(low)?,
            high: bound(high)?,
            seed: seed(s)?,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in [
            "specials",
            "iota",
            "domain(seed=7)",
            "bits(seed=1)",
            "uniform(-1,2.5,seed=3)",
            "whole(0,3,seed=3)",
        ] {
            assert_eq!(text.parse::<Values>().unwrap().to_string(), text);
        }
        assert!("domain".parse::<Values>().is_err());
        assert!("uniform(0,3)".parse::<Values>().is_err());
    }

    #[test]
    fn every_dtype_fills_within_its_bounds() {
        for dtype in DType::ALL {
            for values in [Values::Domain { seed: 1 }, Values::Bits { seed: 1 }] {
                let pack = values.fill(0, dtype, Domain::Range(0.0, 7.0), 50).unwrap();
                assert!(
                    pack.iter()
                        .all(|&e| allows(Domain::Range(0.0, 7.0), dtype, e))
                );
            }
            let again = Values::Domain { seed: 1 };
            let one = again.fill(0, dtype, Domain::Any, 9);
            assert_eq!(one, again.fill(0, dtype, Domain::Any, 9));
            assert_ne!(one, again.fill(1, dtype, Domain::Any, 9), "operands differ");
        }
        let below = Values::Uniform {
            low: -1.0,
            high: 1.0,
            seed: 0,
        };
        assert!(below.fill(0, DType::U8, Domain::Any, 1).is_err());
    }

    #[test]
    fn bounds_without_a_whole_number_between_them_are_an_error() {
        let (low, high, seed) = (0.2, 0.8, 0);
        let whole = Values::Whole { low, high, seed };
        let uniform = Values::Uniform { low, high, seed };
        for (values, dtype) in [
            (whole, DType::F32),
            (whole, DType::S8),
            (uniform, DType::U8),
        ] {
            let problem = values.fill(0, dtype, Domain::Any, 1).unwrap_err();
            assert!(
                problem.contains("no whole number lies between 0.2 and 0.8"),
                "{problem}"
            );
        }
        assert!(uniform.fill(0, DType::F32, Domain::Any, 1).is_ok());
    }
}
