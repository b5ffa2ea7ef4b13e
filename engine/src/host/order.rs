//! Numbers in order, as unsigned integers: what sorts by digits and what asks for the largest compare those.

use half::{bf16, f16};

use crate::mlx::Element;

/// An unsigned integer that is sorted by its digits.
pub(super) trait Digits: Copy + Ord + Default + Send + Sync + 'static {
    /// Eleven bits from this one on.
    fn digit(self, from: u32) -> usize;
}

macro_rules! digits {
    ($($key:ty),*) => {
        $(
            impl Digits for $key {
                #[inline(always)]
                fn digit(self, from: u32) -> usize {
                    (self >> from) as usize & 0x7ff
                }
            }
        )*
    };
}

digits!(u32, u64, u128);

/// An unsigned integer in place of a number.
pub(super) trait Key: Digits {
    /// A key over an index.
    type Pair: Digits;

    /// Of so many bits the key of what is as far from the other end.
    fn turned(self, bits: u32) -> Self;

    /// Over an index of 32 bits.
    fn over(self, index: u32) -> Self::Pair;

    /// The index below a key.
    fn index(pair: Self::Pair) -> u32;
}

macro_rules! keys {
    ($($key:ty => $pair:ty;)*) => {
        $(
            impl Key for $key {
                type Pair = $pair;

                #[inline(always)]
                fn turned(self, bits: u32) -> $key {
                    self ^ <$key>::MAX >> (<$key>::BITS - bits)
                }

                #[inline(always)]
                fn over(self, index: u32) -> $pair {
                    <$pair>::from(self) << 32 | <$pair>::from(index)
                }

                #[inline(always)]
                fn index(pair: $pair) -> u32 {
                    pair as u32
                }
            }
        )*
    };
}

keys! {
    u32 => u64;
    u64 => u128;
}

/// A real number.
pub(super) trait Ordered: Element {
    /// What holds its key.
    type Key: Key;

    /// As many bits has the key.
    const BITS: u32;

    /// In the order of the numbers: the zeros are equal; so are NaNs, which are above everything.
    fn key(self) -> Self::Key;

    /// The number that has this key, of the zeros the positive one.
    fn of(key: Self::Key) -> Self;

    /// Whether it is the zero whose key is another's.
    fn is_negative_zero(self) -> bool;

    /// Whether it is no number.
    fn is_nan(self) -> bool;

    /// The nearest integer of 64 bits that is no larger in magnitude.
    fn saturated(self) -> i64;
}

macro_rules! integers {
    ($($number:ty => $key:ty, $flip:expr;)*) => {
        $(
            impl Ordered for $number {
                type Key = $key;

                const BITS: u32 = <$number>::BITS;

                #[inline(always)]
                fn key(self) -> $key {
                    (self ^ $flip) as $key & <$key>::MAX >> (<$key>::BITS - Self::BITS)
                }

                #[inline(always)]
                fn of(key: $key) -> $number {
                    key as $number ^ $flip
                }

                #[inline(always)]
                fn is_negative_zero(self) -> bool {
                    false
                }

                #[inline(always)]
                fn is_nan(self) -> bool {
                    false
                }

                #[inline(always)]
                fn saturated(self) -> i64 {
                    i64::try_from(self).unwrap_or(i64::MAX)
                }
            }
        )*
    };
}

integers! {
    u8 => u32, 0;
    u16 => u32, 0;
    u32 => u32, 0;
    u64 => u64, 0;
    i8 => u32, i8::MIN;
    i16 => u32, i16::MIN;
    i32 => u32, i32::MIN;
    i64 => u64, i64::MIN;
}

macro_rules! floats {
    ($($number:ty => $key:ty, $bits:ty;)*) => {
        $(
            impl Ordered for $number {
                type Key = $key;

                const BITS: u32 = <$bits>::BITS;

                #[inline(always)]
                fn key(self) -> $key {
                    let bits = self.to_bits();
                    let sign = 1 << (<$bits>::BITS - 1);
                    // Sign and magnitude: flipping a negative's makes them ascend.
                    let ascending = if bits > sign { !bits } else { bits | sign };
                    let key = if <$number>::is_nan(self) { <$bits>::MAX } else { ascending };
                    key.into()
                }

                #[inline(always)]
                fn of(key: $key) -> $number {
                    let key = key as $bits;
                    let sign = 1 << (<$bits>::BITS - 1);
                    let bits = if key >= sign { key ^ sign } else { !key };
                    <$number>::from_bits(bits)
                }

                #[inline(always)]
                fn is_negative_zero(self) -> bool {
                    self.to_bits() == 1 << (<$bits>::BITS - 1)
                }

                #[inline(always)]
                fn is_nan(self) -> bool {
                    <$number>::is_nan(self)
                }

                #[inline(always)]
                fn saturated(self) -> i64 {
                    f64::from(self) as i64
                }
            }
        )*
    };
}

floats! {
    f16 => u32, u16;
    bf16 => u32, u16;
    f32 => u32, u32;
    f64 => u64, u64;
}

/// `f::<T>(…)` with the integer of this dtype; `None` for others.
macro_rules! of_integer {
    ($dtype:expr, $f:ident($($argument:expr),*)) => {
        match $dtype {
            emily_spec::DType::U8 => Some($f::<u8>($($argument),*)),
            emily_spec::DType::U16 => Some($f::<u16>($($argument),*)),
            emily_spec::DType::U32 => Some($f::<u32>($($argument),*)),
            emily_spec::DType::U64 => Some($f::<u64>($($argument),*)),
            emily_spec::DType::S8 => Some($f::<i8>($($argument),*)),
            emily_spec::DType::S16 => Some($f::<i16>($($argument),*)),
            emily_spec::DType::S32 => Some($f::<i32>($($argument),*)),
            emily_spec::DType::S64 => Some($f::<i64>($($argument),*)),
            emily_spec::DType::F16
            | emily_spec::DType::Bf16
            | emily_spec::DType::F32
            | emily_spec::DType::F64
            | emily_spec::DType::C64 => None,
        }
    };
}

pub(super) use of_integer;

/// `f::<T>(…)` with the real number that elements of this dtype are; none of complex ones.
macro_rules! of_real {
    ($dtype:expr, $f:ident($($argument:expr),*)) => {
        match $dtype {
            dtype @ (emily_spec::DType::U8
            | emily_spec::DType::U16
            | emily_spec::DType::U32
            | emily_spec::DType::U64
            | emily_spec::DType::S8
            | emily_spec::DType::S16
            | emily_spec::DType::S32
            | emily_spec::DType::S64) => $crate::host::order::of_integer!(dtype, $f($($argument),*)),
            dtype @ (emily_spec::DType::F16 | emily_spec::DType::Bf16 | emily_spec::DType::F32) => {
                $crate::host::float::of_float!(dtype, $f($($argument),*))
            }
            emily_spec::DType::F64 => Some($f::<f64>($($argument),*)),
            emily_spec::DType::C64 => None,
        }
    };
}

pub(super) use of_real;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_the_numbers_and_lead_back_to_them() {
        let numbers = [f32::NEG_INFINITY, -f32::MAX, -1.0, -f32::from_bits(1), 0.0];
        let numbers = numbers
            .into_iter()
            .chain([f32::from_bits(1), 1.0, f32::INFINITY]);
        let keys: Vec<u32> = numbers.clone().map(Ordered::key).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert!(numbers.zip(&keys).all(|(x, key)| f32::of(*key) == x));
        assert_eq!((-0.0f32).key(), 0.0f32.key());
        for nan in [f32::NAN, -f32::NAN] {
            assert_eq!(nan.key(), u32::MAX);
        }
        assert!(f32::of(u32::MAX).is_nan());
        assert!([i8::MIN, -1, 0, i8::MAX].map(Ordered::key).is_sorted());
        assert_eq!(<i8 as Ordered>::of((-7i8).key()), -7);
        assert!(f16::NAN.key() == 0xffff && f64::of((-0.5f64).key()) == -0.5);
    }
}
