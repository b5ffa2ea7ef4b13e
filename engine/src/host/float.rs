//! Floats that are computed with as `f32`: widened without loss, rounded once, ties to even.
//!
//! Neither direction has branches, so that loops over them become vector code.

use half::{bf16, f16};

use crate::mlx::Element;

/// A float of at most `f32`'s digits.
pub(super) trait Float: Element {
    /// As an `f32`.
    fn widen(self) -> f32;

    /// The nearest one; any NaN of a NaN.
    fn narrow(x: f32) -> Self;
}

/// `f::<T>(…)` with the float that elements of this dtype are, if they are one.
macro_rules! of_float {
    ($dtype:expr, $f:ident($($argument:expr),*)) => {
        match $dtype {
            emily_spec::DType::F32 => Some($f::<f32>($($argument),*)),
            emily_spec::DType::F16 => Some($f::<half::f16>($($argument),*)),
            emily_spec::DType::Bf16 => Some($f::<half::bf16>($($argument),*)),
            emily_spec::DType::U8
            | emily_spec::DType::U16
            | emily_spec::DType::U32
            | emily_spec::DType::U64
            | emily_spec::DType::S8
            | emily_spec::DType::S16
            | emily_spec::DType::S32
            | emily_spec::DType::S64
            | emily_spec::DType::F64
            | emily_spec::DType::C64 => None,
        }
    };
}

pub(super) use of_float;

impl Float for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(x: f32) -> f32 {
        x
    }
}

impl Float for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn narrow(x: f32) -> bf16 {
        let bits = x.to_bits();
        // Half a unit less where the last bit is even, so that a tie goes there.
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        let quiet = bits | 1 << 22;
        let bits = if x.is_nan() { quiet } else { rounded };
        bf16::from_bits((bits >> 16) as u16)
    }
}

impl Float for f16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let magnitude = (bits & 0x7fff) << 13;
        // The exponent's bias differs by 112; a product moves it, and makes subnormal numbers normal ones.
        let finite = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
        let special = magnitude | 0xff << 23;
        let bits_of = if magnitude >= 0x1f << 23 {
            special
        } else {
            finite.to_bits()
        };
        f32::from_bits(bits_of | (bits & 0x8000) << 16)
    }

    #[inline(always)]
    fn narrow(x: f32) -> f16 {
        let sign = x.to_bits() >> 16 & 0x8000;
        let magnitude = x.to_bits() & 0x7fff_ffff;
        // Half a unit less where the last bit is even, so that a tie goes there; a carry is the next exponent.
        let normal =
            (magnitude.wrapping_add(0xfff + (magnitude >> 13 & 1)) >> 13).wrapping_sub(112 << 10);
        // Beside a half, an f32's last bit is the unit of f16's subnormal numbers.
        let small = (f32::from_bits(magnitude) + 0.5)
            .to_bits()
            .wrapping_sub(0.5f32.to_bits());
        let bits = if magnitude < 113 << 23 { small } else { normal };
        // From halfway between the largest number and the next on.
        let bits = if magnitude >= 65520f32.to_bits() {
            0x7c00
        } else {
            bits
        };
        let bits = if x.is_nan() { 0x7e00 } else { bits };
        f16::from_bits((bits | sign) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_float_comes_back_and_is_the_number_that_it_was() {
        for bits in 0..=u16::MAX {
            let (half, brain) = (f16::from_bits(bits), bf16::from_bits(bits));
            assert_eq!(half.widen().is_nan(), half.is_nan());
            assert_eq!(brain.widen().is_nan(), brain.is_nan());
            if !half.is_nan() {
                assert_eq!(half.widen().to_bits(), half.to_f32().to_bits());
                assert_eq!(f16::narrow(half.widen()).to_bits(), bits);
            }
            if !brain.is_nan() {
                assert_eq!(bf16::narrow(brain.widen()).to_bits(), bits);
            }
        }
        assert!(f16::narrow(f32::NAN).is_nan() && bf16::narrow(f32::NAN).is_nan());
    }

    #[test]
    fn what_lies_between_goes_to_the_nearer_and_a_tie_to_the_even_one() {
        // The crate `half` rounds as IEEE 754 does.
        let step = if cfg!(miri) { 1 << 22 } else { 1 << 8 };
        for bits in (0..u32::MAX - step).step_by(step as usize) {
            for near in [bits, bits + 1, bits | 0xfff, bits | 0x1000, bits | 0x8000] {
                let x = f32::from_bits(near);
                if !x.is_nan() {
                    assert_eq!(
                        f16::narrow(x).to_bits(),
                        f16::from_f32(x).to_bits(),
                        "{x:e}"
                    );
                    assert_eq!(
                        bf16::narrow(x).to_bits(),
                        bf16::from_f32(x).to_bits(),
                        "{x:e}"
                    );
                }
            }
        }
    }
}
