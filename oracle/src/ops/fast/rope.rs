//! Rotary positions, pair by pair.

use std::f64::consts::PI;

use emily_spec::{Result, Rope};
use ndarray::Dimension;

use super::{Rounded, answer, computed};
use crate::array::WideArray;
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::value::Wide;

/// Each pair of features rotated by the angle of its position.
pub(crate) fn rope(op: &Rope, inputs: &[WideArray], target: Target) -> Result<WideAnswer> {
    let tensor = inputs[0].mapv(|x| target.cast(x).float());
    let features = tensor.shape()[tensor.ndim() - 1];
    let pairs = op.pairs(features);
    let (offsets, freqs) = (&inputs[1], inputs.get(2));
    let bases = op.frequencies(pairs);
    let scale = op.factor().unwrap_or(f64::NAN);

    let format = computed(target);
    let angle = |position: f64, pair: usize| {
        let position = position * scale;
        let value = match freqs {
            Some(freqs) => position / number(freqs[[pair]]),
            None => position * bases[pair],
        };
        // Eight roundings of f64 at most, of the offset, the position, the scale, its product, the
        // quotient in a power, the power with two, and the angle; then three of what is computed in.
        let reduced = match freqs {
            Some(_) => value.abs(),
            None => value.abs().min(PI),
        };
        Angle {
            value,
            error: value.abs() * 4.0 * Format::F64.eps() + reduced * 1.5 * format.eps(),
        }
    };
    let elements = tensor.indexed_iter().map(|(place, &x)| {
        let (feature, place) = (place[tensor.ndim() - 1], place.slice());
        if feature >= 2 * pairs {
            return Rounded {
                value: x,
                on_the_way: 0.0,
            };
        }
        let (pair, second) = match op.traditional {
            true => (feature / 2, feature % 2 == 1),
            false => (feature % pairs, feature >= pairs),
        };
        let at = |feature: usize| {
            let mut other = place.to_vec();
            other[tensor.ndim() - 1] = feature;
            tensor[&other[..]]
        };
        let (a, b) = match op.traditional {
            true => (at(2 * pair), at(2 * pair + 1)),
            false => (at(pair), at(pair + pairs)),
        };
        let offset = match offsets.ndim() {
            0 => offsets.first(),
            _ => offsets.get([place[0]]),
        };
        let offset = offset.map_or(f64::NAN, |&offset| number(offset));
        let rotated = angle(offset + place[tensor.ndim() - 2] as f64, pair).turn(a, b, format);
        if second { rotated.1 } else { rotated.0 }
    });
    answer(elements.collect(), target)
}

/// The number that an element of any dtype is.
fn number(element: Wide) -> f64 {
    element.complex().re
}

struct Angle {
    value: f64,
    /// By how much it may be off.
    error: f64,
}

impl Angle {
    /// (a · cos − b · sin, a · sin + b · cos).
    ///
    /// A sine is off by as much as its angle, by eight units of a library's in `f64`, and by one of its
    /// rounding; a product has one more, and the sum. What underflows is less than tiny's last digit.
    fn turn(&self, a: f64, b: f64, format: Format) -> (Rounded, Rounded) {
        let (sin, cos) = self.value.sin_cos();
        let unit = format.eps() / 2.0;
        let of_angle = self.error.min(2.0) / unit;
        let units = 3.0 + 4.0 * Format::F64.eps() / unit;
        let sum = |x: f64, y: f64| Rounded {
            value: x + y,
            on_the_way: (x.abs() + y.abs()) * units
                + (a.abs() + b.abs()) * of_angle
                + 2.0 * format.tiny(),
        };
        (sum(a * cos, -(b * sin)), sum(a * sin, b * cos))
    }
}
