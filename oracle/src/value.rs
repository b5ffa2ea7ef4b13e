//! One element, wide enough for every dtype, and its way from and to bytes.
//!
//! Decoding is exact and encoding rounds once, so decoding and encoding at one dtype gives back
//! the same bytes, NaN payloads included: an op that only moves elements moves bytes.

use emily_spec::{Class, DType};
use num_complex::Complex;

use crate::format::Format;

/// A number as the oracle computes with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wide {
    /// Any integer dtype.
    Int(i128),
    /// Any real float dtype.
    Float(f64),
    /// `c64`.
    Complex(Complex<f64>),
}

impl Wide {
    /// The element with these bits: the dtype's little-endian bytes, zero-extended. Bits beyond the
    /// dtype's size are ignored.
    pub fn from_bits(dtype: DType, bits: u64) -> Wide {
        match (Format::of(dtype), dtype) {
            (Some(format), DType::C64) => Wide::Complex(Complex::new(
                format.widen(bits & u64::from(u32::MAX)),
                format.widen(bits >> 32),
            )),
            (Some(format), _) => Wide::Float(format.widen(bits & mask(dtype))),
            (None, _) => Wide::Int(wrap(dtype, i128::from(bits))),
        }
    }

    /// The bits of this number at this dtype, cast as Nx casts.
    ///
    /// To a float: rounded once, to nearest, ties to even; a NaN keeps its sign and what fits of
    /// its payload. To an integer: wraps; floats truncate first, NaN gives 0, infinities give the
    /// dtype's limits. Complex to real drops the imaginary part.
    pub fn to_bits(self, dtype: DType) -> u64 {
        match (Format::of(dtype), dtype) {
            (Some(format), DType::C64) => {
                let Complex { re, im } = self.complex();
                // An integer's real part is rounded from the integer itself, not from its f64.
                let re = match self {
                    Wide::Int(value) => format.int_bits(value),
                    Wide::Float(_) | Wide::Complex(_) => format.float_bits(re),
                };
                re | format.float_bits(im) << 32
            }
            (Some(format), _) => match self {
                Wide::Int(value) => format.int_bits(value),
                Wide::Float(_) | Wide::Complex(_) => format.float_bits(self.float()),
            },
            (None, _) => {
                let value = match self {
                    Wide::Int(value) => value,
                    Wide::Float(_) | Wide::Complex(_) => truncate(dtype, self.float()),
                };
                value as u64 & mask(dtype)
            }
        }
    }

    /// This number cast to the dtype, as [`Wide::to_bits`] has it.
    pub fn cast(self, dtype: DType) -> Wide {
        Wide::from_bits(dtype, self.to_bits(dtype))
    }

    /// As an integer; floats truncate and saturate, the imaginary part is dropped.
    pub fn int(self) -> i128 {
        match self {
            Wide::Int(value) => value,
            Wide::Float(value) => value as i128,
            Wide::Complex(value) => value.re as i128,
        }
    }

    /// As a real number; integers beyond 2⁵³ round, the imaginary part is dropped.
    pub fn float(self) -> f64 {
        match self {
            Wide::Int(value) => value as f64,
            Wide::Float(value) => value,
            Wide::Complex(value) => value.re,
        }
    }

    /// As a complex number; integers beyond 2⁵³ round.
    pub fn complex(self) -> Complex<f64> {
        match self {
            Wide::Int(_) | Wide::Float(_) => self.float().into(),
            Wide::Complex(value) => value,
        }
    }

    /// True for either zero; NaN is not zero.
    pub fn is_zero(self) -> bool {
        match self {
            Wide::Int(value) => value == 0,
            Wide::Float(value) => value == 0.0,
            Wide::Complex(value) => value.re == 0.0 && value.im == 0.0,
        }
    }
}

impl From<i128> for Wide {
    fn from(value: i128) -> Wide {
        Wide::Int(value)
    }
}

impl From<f64> for Wide {
    fn from(value: f64) -> Wide {
        Wide::Float(value)
    }
}

impl From<Complex<f64>> for Wide {
    fn from(value: Complex<f64>) -> Wide {
        Wide::Complex(value)
    }
}

/// The elements in these little-endian bytes; a part of an element at the end is ignored.
pub fn decode(dtype: DType, bytes: &[u8]) -> Vec<Wide> {
    bytes
        .chunks_exact(dtype.size())
        .map(|element| {
            let mut bits = [0; 8];
            bits[..element.len()].copy_from_slice(element);
            Wide::from_bits(dtype, u64::from_le_bytes(bits))
        })
        .collect()
}

/// The little-endian bytes of these numbers at this dtype, each cast as [`Wide::to_bits`] has it.
pub fn encode<'a>(dtype: DType, values: impl IntoIterator<Item = &'a Wide>) -> Vec<u8> {
    let values = values.into_iter();
    let mut bytes = Vec::with_capacity(values.size_hint().0 * dtype.size());
    for value in values {
        bytes.extend_from_slice(&value.to_bits(dtype).to_le_bytes()[..dtype.size()]);
    }
    bytes
}

/// The bits that the dtype has.
const fn mask(dtype: DType) -> u64 {
    u64::MAX >> (64 - 8 * dtype.size())
}

/// The integer modulo 2^bits, in the dtype's range.
fn wrap(dtype: DType, value: i128) -> i128 {
    let unused = 128 - 8 * dtype.size();
    match dtype.class() {
        Class::Signed => value << unused >> unused,
        Class::Unsigned | Class::Float | Class::Complex => value & i128::from(mask(dtype)),
    }
}

/// The float as an integer that is right modulo 2^64: NaN is 0, infinities are the dtype's limits.
fn truncate(dtype: DType, value: f64) -> i128 {
    let bits = 8 * dtype.size();
    let (min, max) = match dtype.class() {
        Class::Signed => (-1 << (bits - 1), (1 << (bits - 1)) - 1),
        Class::Unsigned | Class::Float | Class::Complex => (0, i128::from(mask(dtype))),
    };
    if value == f64::INFINITY {
        max
    } else if value == f64::NEG_INFINITY {
        min
    } else {
        // The remainder is exact, fits, and is NaN for NaN, which casts to 0.
        (value.trunc() % 2f64.powi(64)) as i128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn casts(value: impl Into<Wide>, dtype: DType, want: impl Into<Wide>) {
        assert_eq!(value.into().cast(dtype), want.into());
    }

    #[test]
    fn decoding_and_encoding_give_back_the_bytes() {
        for dtype in DType::ALL {
            let bytes: Vec<u8> = (0..64 * 1024u32)
                .flat_map(|i| i.wrapping_mul(0x9e37_79b1).to_le_bytes())
                .collect();
            let values = decode(dtype, &bytes);
            assert_eq!(values.len() * dtype.size(), bytes.len());
            assert_eq!(encode(dtype, &values), bytes, "{dtype}");
        }
    }

    #[test]
    fn signalling_nans_survive() {
        let bytes = 0x7f80_0001u32.to_le_bytes();
        assert_eq!(encode(DType::F32, &decode(DType::F32, &bytes)), bytes);
    }

    #[test]
    fn integers_wrap() {
        casts(128, DType::S8, -128);
        casts(-1, DType::U8, 255);
        casts(-1, DType::U64, i128::from(u64::MAX));
        casts(i128::from(u64::MAX), DType::S64, -1);
        casts(1 << 63, DType::U64, 1 << 63);
        casts(1 << 64, DType::U64, 0);
    }

    #[test]
    fn floats_truncate_then_wrap() {
        casts(-1.9, DType::S8, -1);
        casts(-1.9, DType::U8, 255);
        casts(300.7, DType::U8, 44);
        casts(2f64.powi(63), DType::U64, 1 << 63);
        casts(2f64.powi(63), DType::S64, i128::from(i64::MIN));
        casts(2f64.powi(64) + 4096.0, DType::S32, 4096);
        casts(1e300, DType::U64, 0);
    }

    #[test]
    fn nan_casts_to_zero_and_infinities_to_the_limits() {
        casts(f64::NAN, DType::S16, 0);
        casts(f64::INFINITY, DType::S16, 32767);
        casts(f64::NEG_INFINITY, DType::S16, -32768);
        casts(f64::INFINITY, DType::U64, i128::from(u64::MAX));
        casts(f64::NEG_INFINITY, DType::U64, 0);
    }

    #[test]
    fn integers_round_once_to_floats() {
        // 2^24 + 1 is a tie in f32.
        casts(16_777_217, DType::F32, 16_777_216.0);
        // f64 would drop the last bit and leave a tie, which goes down.
        let above_tie = (1i128 << 63) + (1 << 39) + 1;
        casts(above_tie, DType::F32, 2f64.powi(63) + 2f64.powi(40));
        casts(
            above_tie,
            DType::C64,
            Complex::from(2f64.powi(63) + 2f64.powi(40)),
        );
        casts(65520, DType::F16, f64::INFINITY);
    }

    #[test]
    fn complex_drops_its_imaginary_part() {
        casts(Complex::new(-2.5, 7.0), DType::F32, -2.5);
        casts(Complex::new(-2.5, 7.0), DType::S8, -2);
        casts(1.5, DType::C64, Complex::new(1.5, 0.0));
    }

    #[test]
    fn each_part_of_a_complex_number_rounds() {
        let third = 1.0 / 3.0;
        let single = f64::from(third as f32);
        casts(
            Complex::new(third, -third),
            DType::C64,
            Complex::new(single, -single),
        );
    }
}
