//! Attention, query by query.

use emily_spec::{
    AttentionOperands, Class, Error, ErrorKind, Result, ScaledDotProductAttention, Shape,
};

use super::{Rounded, answer, computed, largest};
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::ops::accumulate;
use crate::value::Wide;

/// What each query takes of the values: Σ p · v, where p is the softmax of its scores.
pub(crate) fn attention(
    op: &ScaledDotProductAttention,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    let Some(AttentionOperands { data, mask, sinks }) = op.operands(inputs) else {
        return Err(Error::new(ErrorKind::Internal, "no such operands"));
    };
    let [query, key, value] = data.map(|operand| operand.mapv(|x| target.cast(x).float()));
    let [queries, heads] = [query.shape()[2], query.shape()[1]];
    let [keys, features] = [key.shape()[2], key.shape()[3]];
    let group = heads / key.shape()[1].max(1);
    let format = computed(target);
    let scale = op.factor(features).unwrap_or(f64::NAN);
    let all = Shape::from([query.shape()[0], heads, queries, keys]);
    let mask = mask.map(|mask| array::broadcast(mask, &all)).transpose()?;

    let mut elements = Vec::new();
    for place in ndarray::indices([query.shape()[0], heads, queries]) {
        let (b, h, i) = place;
        let score = |j: usize| {
            let terms = (0..features).map(|f| (query[[b, h, i, f]], key[[b, h / group, j, f]]));
            let product = Score::of(terms, scale, format);
            let masked = match mask.as_ref().map(|mask| mask[[b, h, i, j]]) {
                Some(Wide::Int(0)) => Score::MASKED,
                None | Some(Wide::Int(_)) => product,
                Some(added @ (Wide::Float(_) | Wide::Complex(_))) => {
                    product.plus(added.float(), format)
                }
            };
            // The last query sees all keys.
            let seen = !op.causal || j + queries <= i + keys;
            if seen { masked } else { Score::MASKED }
        };
        let mut scores: Vec<Score> = (0..keys).map(score).collect();
        scores.extend(sinks.map(|sinks| Score::exact(within(sinks[[h]].float(), format))));
        let weights = Weight::of(&scores, format);
        for e in 0..value.shape()[3] {
            let values = (0..keys).map(|j| value[[b, h / group, j, e]]);
            elements.push(taken(&weights, values, format));
        }
    }
    answer(elements, target)
}

/// A number as the format has it, where that is an infinity.
fn within(x: f64, format: Format) -> f64 {
    let max = (2.0 - format.eps()) * (2.0 / format.tiny());
    if x.abs() > max { x * f64::INFINITY } else { x }
}

/// A query's product with a key, scaled and masked.
#[derive(Clone, Copy)]
struct Score {
    value: f64,
    /// Its error, in units.
    error: f64,
}

impl Score {
    const MASKED: Score = Score::exact(f64::NEG_INFINITY);

    const fn exact(value: f64) -> Score {
        Score { value, error: 0.0 }
    }

    /// The scaled sum of products. There is a unit each for the scale, for the factor times the scale
    /// (or the sum times it), and for each of as many roundings as there are terms (Higham, *Accuracy and
    /// Stability of Numerical Algorithms*, 3.1). What underflows is less than tiny's last digit.
    fn of(terms: impl Iterator<Item = (f64, f64)>, scale: f64, format: Format) -> Score {
        let terms: Vec<(f64, f64)> = terms
            .map(|(q, k)| (within(q * within(scale, format), format), k))
            .collect();
        let pairs = terms.iter().map(|&(q, k)| (Wide::Float(q), Wide::Float(k)));
        let total = accumulate::dot(Class::Float, pairs);
        let lost: f64 = terms
            .iter()
            .map(|(_, k)| format.tiny() * (1.0 + k.abs()))
            .sum();
        Score {
            value: within(total.value.float(), format),
            error: total.magnitude * (terms.len() as f64 + 2.0) + lost,
        }
    }

    fn plus(self, added: f64, format: Format) -> Score {
        let value = within(self.value + within(added, format), format);
        Score {
            value,
            error: self.error + value.abs(),
        }
    }
}

/// A value's weight in the sum.
#[derive(Clone, Copy)]
struct Weight {
    value: f64,
    /// By how much it may be off.
    error: f64,
}

impl Weight {
    /// The softmax of scores. With each score s off by ε at most, a weight e^s / Σ e^s is between
    /// e^(s−ε) / Σ e^(s+ε) and e^(s+ε) / Σ e^(s−ε).
    ///
    /// To ε count a unit of s − m for its rounding, two more and 8 for the exponential, as in softmax, and
    /// as many units as there are terms for the sum; then the quotient has two.
    fn of(scores: &[Score], format: Format) -> Vec<Weight> {
        let values: Vec<f64> = scores.iter().map(|score| score.value).collect();
        let most = largest(&values);
        let unit = format.eps() / 2.0;
        let error = |score: &Score| {
            unit * (score.error + 3.0 * (score.value - most).abs() + 10.0 + scores.len() as f64)
        };
        let powers = |sign: f64| -> Vec<f64> {
            let power = |score: &Score| match score.value - most {
                f64::NEG_INFINITY => 0.0,
                below if sign == 0.0 => below.exp(),
                below => (below + sign * error(score)).exp(),
            };
            scores.iter().map(power).collect()
        };
        let [low, middle, high] = [-1.0, 0.0, 1.0].map(powers);
        let total = |powers: &[f64]| {
            let powers = powers.iter().map(|&power| Wide::Float(power));
            accumulate::sum(Class::Float, powers).value.float()
        };
        let [least, sum, greatest] = [&low, &middle, &high].map(|powers| total(powers));
        let weight = |((low, middle), high): ((f64, f64), f64)| {
            let value = middle / sum;
            let over = (high / least).min(1.0) - value;
            let under = value - low / greatest;
            Weight {
                value,
                error: over.max(under),
            }
        };
        low.into_iter().zip(middle).zip(high).map(weight).collect()
    }
}

/// Σ p · v, which rounds once for each value, beside a weight's own error. An exponential below the normal
/// range may be 0.
fn taken(weights: &[Weight], values: impl Iterator<Item = f64>, format: Format) -> Rounded {
    let terms: Vec<(Weight, f64)> = weights.iter().copied().zip(values).collect();
    let pairs = terms
        .iter()
        .map(|(weight, v)| (Wide::Float(weight.value), Wide::Float(*v)));
    let total = accumulate::dot(Class::Float, pairs);
    let unit = format.eps() / 2.0;
    let of_weights: f64 = terms
        .iter()
        .map(|(weight, v)| (weight.error + format.tiny()) * v.abs())
        .sum();
    Rounded {
        value: total.value.float(),
        on_the_way: of_weights / unit + total.magnitude * terms.len() as f64 + format.tiny(),
    }
}
