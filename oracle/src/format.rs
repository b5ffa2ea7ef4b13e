//! Binary floating-point formats, rounded to exactly once.
//!
//! Hardware and the `half` crate convert `f64` to `f16` and `bf16` by way of fewer bits, which
//! rounds twice; here any value `magnitude · 2^exponent` is rounded in integers, so that a test
//! can read the rule off the code.

use emily_spec::DType;

/// A binary format: one sign bit, then the exponent, then the mantissa.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    mantissa_bits: i32,
    /// The exponent of the smallest normal value.
    min_exponent: i32,
    /// The bits of infinity: every exponent bit.
    infinity: u64,
    sign: u64,
}

impl Format {
    pub(crate) const F16: Format = Format::new(5, 10);
    pub(crate) const BF16: Format = Format::new(8, 7);
    pub(crate) const F32: Format = Format::new(8, 23);
    pub(crate) const F64: Format = Format::new(11, 52);

    /// The format of a real float, or of each part of a complex number.
    pub(crate) const fn of(dtype: DType) -> Option<Format> {
        match dtype {
            DType::F16 => Some(Format::F16),
            DType::Bf16 => Some(Format::BF16),
            DType::F32 | DType::C64 => Some(Format::F32),
            DType::F64 => Some(Format::F64),
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => None,
            DType::S8 | DType::S16 | DType::S32 | DType::S64 => None,
        }
    }

    const fn new(exponent_bits: i32, mantissa_bits: i32) -> Format {
        Format {
            mantissa_bits,
            min_exponent: 2 - (1 << (exponent_bits - 1)),
            infinity: ((1 << exponent_bits) - 1) << mantissa_bits,
            sign: 1 << (exponent_bits + mantissa_bits),
        }
    }

    /// The smallest positive normal value.
    pub(crate) fn tiny(self) -> f64 {
        2f64.powi(self.min_exponent)
    }

    /// The smallest positive value.
    pub(crate) fn least(self) -> f64 {
        self.tiny() * self.eps()
    }

    /// The power of two that the smallest positive value is.
    pub(crate) const fn last_exponent(self) -> i32 {
        self.min_exponent - self.mantissa_bits
    }

    /// The power of two that the last bit is of a finite number other than 0.
    pub(crate) fn last_bit(value: f64) -> i32 {
        let (mantissa, exponent) = Format::F64.split(value.abs().to_bits());
        exponent + mantissa.trailing_zeros() as i32
    }

    /// The distance from 1 to the next value.
    pub(crate) fn eps(self) -> f64 {
        2f64.powi(-self.mantissa_bits)
    }

    /// The bits of this integer, rounded.
    pub(crate) fn int_bits(self, value: i128) -> u64 {
        let sign = if value < 0 { self.sign } else { 0 };
        sign | self.round(value.unsigned_abs(), 0)
    }

    /// The bits of this number, rounded. A NaN keeps its sign and the payload bits that fit.
    pub(crate) fn float_bits(self, value: f64) -> u64 {
        let wide = Format::F64;
        let bits = value.to_bits();
        let sign = if bits & wide.sign != 0 { self.sign } else { 0 };
        let magnitude = bits & !wide.sign;
        if magnitude > wide.infinity {
            return sign | self.narrow_nan(magnitude - wide.infinity);
        }
        if magnitude == wide.infinity {
            return sign | self.infinity;
        }
        let (mantissa, exponent) = wide.split(magnitude);
        sign | self.round(u128::from(mantissa), exponent)
    }

    /// The number these bits stand for; every format's values and NaN payloads fit in an `f64`.
    pub(crate) fn widen(self, bits: u64) -> f64 {
        let wide = Format::F64;
        let sign = if bits & self.sign != 0 { wide.sign } else { 0 };
        let magnitude = bits & (self.sign - 1);
        let wide_magnitude = if magnitude >= self.infinity {
            let payload = magnitude - self.infinity;
            wide.infinity | payload << (wide.mantissa_bits - self.mantissa_bits)
        } else {
            let (mantissa, exponent) = self.split(magnitude);
            wide.round(u128::from(mantissa), exponent)
        };
        f64::from_bits(sign | wide_magnitude)
    }

    /// The bits of the nearest value to `magnitude · 2^exponent`, of two the even one.
    fn round(self, magnitude: u128, exponent: i32) -> u64 {
        if magnitude == 0 {
            return 0;
        }
        // 2^top ≤ magnitude · 2^exponent < 2^(top + 1); the last bit kept stands for 2^unit.
        let top = (magnitude.ilog2() as i32 + exponent).max(self.min_exponent);
        let unit = top - self.mantissa_bits;
        let units = shift_right_ties_even(magnitude, unit - exponent);
        // The leading one of a normal value counts as 1 in the exponent field, a subnormal has
        // none, and a carry out of the mantissa counts there too: addition does all three.
        let exponent_field = ((top - self.min_exponent) as u64) << self.mantissa_bits;
        (exponent_field + units as u64).min(self.infinity)
    }

    /// A finite value's mantissa, leading one included, and the power of two that its last bit is.
    fn split(self, magnitude: u64) -> (u64, i32) {
        let field = (magnitude >> self.mantissa_bits) as i32;
        let fraction = magnitude & ((1 << self.mantissa_bits) - 1);
        let leading = if field == 0 {
            0
        } else {
            1 << self.mantissa_bits
        };
        let exponent = field.max(1) - 1 + self.min_exponent - self.mantissa_bits;
        (leading | fraction, exponent)
    }

    /// A NaN with as much of an `f64` payload as fits; the quiet bit where nothing would be left,
    /// because a NaN without payload is infinity.
    fn narrow_nan(self, payload: u64) -> u64 {
        let kept = payload >> (Format::F64.mantissa_bits - self.mantissa_bits);
        let quiet = 1 << (self.mantissa_bits - 1);
        self.infinity | if kept == 0 { quiet } else { kept }
    }
}

/// `value / 2^count`, rounded to the nearest integer, of two the even one.
fn shift_right_ties_even(value: u128, count: i32) -> u128 {
    if count <= 0 {
        return value << -count;
    }
    // Beyond 128 bits nothing reaches half a unit.
    let Some(floor) = value.checked_shr(count as u32) else {
        return u128::from(count == 128 && value > 1 << 127);
    };
    let rest = value - (floor << count);
    let half = 1 << (count - 1);
    let up = rest > half || (rest == half && floor % 2 == 1);
    floor + u128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_and_brain_float_survives_widening() {
        for format in [Format::F16, Format::BF16] {
            for bits in 0..=u64::from(u16::MAX) {
                assert_eq!(format.float_bits(format.widen(bits)), bits, "{bits:#06x}");
            }
        }
    }

    /// Bit patterns spread over every exponent, both signs, NaNs included.
    fn patterns() -> impl Iterator<Item = u64> {
        (0..200_000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[test]
    fn single_and_double_floats_agree_with_the_hardware() {
        for bits in patterns() {
            let value = f64::from_bits(bits);
            assert_eq!(Format::F64.float_bits(value), bits);
            assert_eq!(Format::F64.widen(bits).to_bits(), bits);
            if !value.is_nan() {
                assert_eq!(
                    Format::F32.float_bits(value),
                    u64::from((value as f32).to_bits())
                );
            }
            let single = f32::from_bits(bits as u32);
            assert_eq!(
                Format::F32.float_bits(Format::F32.widen(bits as u32 as u64)),
                bits as u32 as u64
            );
            if !single.is_nan() {
                assert_eq!(
                    Format::F32.widen(bits as u32 as u64).to_bits(),
                    f64::from(single).to_bits()
                );
            }
        }
    }

    #[test]
    fn integers_round_as_the_hardware_rounds_them() {
        for bits in patterns() {
            let value = i128::from(bits as i64) << (bits % 64);
            assert_eq!(
                Format::F32.int_bits(value),
                u64::from((value as f32).to_bits())
            );
            assert_eq!(Format::F64.int_bits(value), (value as f64).to_bits());
        }
    }

    #[test]
    fn halves_go_to_even_and_anything_above_goes_up() {
        let unit = f64::EPSILON;
        // One unit of f16 at 1 is 2^-10, so 1 + 2^-11 is a tie.
        let tie = 1.0 + 2f64.powi(-11);
        assert_eq!(Format::F16.float_bits(tie), 0x3c00);
        // By way of f32 the last bit is lost first and the tie goes down to 1.
        assert_eq!(Format::F16.float_bits(tie + unit), 0x3c01);
        assert_eq!(Format::F16.float_bits(tie - unit), 0x3c00);
        // The same for bf16, whose unit at 1 is 2^-7.
        let tie = 1.0 + 2f64.powi(-8);
        assert_eq!(Format::BF16.float_bits(tie), 0x3f80);
        assert_eq!(Format::BF16.float_bits(tie + unit), 0x3f81);
    }

    #[test]
    fn the_ends_of_the_range_are_rounded_too() {
        assert_eq!(Format::F16.float_bits(65504.0), 0x7bff);
        assert_eq!(Format::F16.float_bits(65519.999), 0x7bff);
        assert_eq!(Format::F16.float_bits(65520.0), 0x7c00);
        assert_eq!(Format::F16.float_bits(-f64::INFINITY), 0xfc00);
        assert_eq!(Format::F16.int_bits(i128::MAX), 0x7c00);
        // Half of the smallest subnormal is a tie with zero.
        assert_eq!(Format::F16.float_bits(2f64.powi(-25)), 0);
        assert_eq!(Format::F16.float_bits(2f64.powi(-25) * 1.01), 1);
        assert_eq!(Format::F16.float_bits(-f64::MIN_POSITIVE), 0x8000);
        assert_eq!(Format::F16.float_bits(5e-324), 0);
        // The largest subnormal and a half rounds up into the normal range.
        assert_eq!(Format::F16.float_bits(1023.5 * 2f64.powi(-24)), 0x0400);
    }

    #[test]
    fn a_nan_never_turns_into_infinity() {
        let payload_below_f16 = f64::from_bits(0x7ff0_0000_0000_0001);
        assert_eq!(Format::F16.float_bits(payload_below_f16), 0x7e00);
        assert_eq!(
            Format::F64.float_bits(payload_below_f16),
            0x7ff0_0000_0000_0001
        );
    }

    #[test]
    fn the_last_bit_of_a_number_is_a_power_of_two() {
        for (value, exponent) in [
            (1.0, 0),
            (-6.0, 1),
            (0.75, -2),
            (5e-324, -1074),
            (3e-323, -1073),
        ] {
            assert_eq!(Format::last_bit(value), exponent, "{value}");
        }
        for format in [Format::F16, Format::BF16, Format::F32, Format::F64] {
            assert_eq!(format.widen(1), format.least());
            assert_eq!(Format::last_bit(format.least()), format.last_exponent());
        }
    }

    #[test]
    fn shifting_past_every_bit_leaves_what_is_over_half() {
        assert_eq!(shift_right_ties_even(u128::MAX, 128), 1);
        assert_eq!(shift_right_ties_even(1 << 127, 128), 0);
        assert_eq!(shift_right_ties_even(u128::MAX, 129), 0);
        assert_eq!(shift_right_ties_even(3, 1), 2);
        assert_eq!(shift_right_ties_even(1, 1), 0);
        assert_eq!(shift_right_ties_even(3, -1), 6);
    }
}
