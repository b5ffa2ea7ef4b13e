//! Elements as bits: reading and writing them, and the shape of each floating format.
//!
//! The judge has its own few lines for this, so that a fault in the oracle's conversions cannot
//! hide itself.

use emily_spec::{Class, DType, Tensor, TensorType};
use half::{bf16, f16};

/// A binary floating-point format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// All bits: 16, 32 or 64.
    pub width: u32,
    /// The bits of the fraction, without the hidden one.
    pub fraction: u32,
}

impl Format {
    /// IEEE binary16.
    pub const F16: Format = Format {
        width: 16,
        fraction: 10,
    };
    /// The upper half of binary32.
    pub const BF16: Format = Format {
        width: 16,
        fraction: 7,
    };
    /// IEEE binary32.
    pub const F32: Format = Format {
        width: 32,
        fraction: 23,
    };
    /// IEEE binary64.
    pub const F64: Format = Format {
        width: 64,
        fraction: 52,
    };

    /// The format of a float, or of a complex number's parts; `None` for integers.
    pub const fn of(dtype: DType) -> Option<Format> {
        match dtype {
            DType::F16 => Some(Format::F16),
            DType::Bf16 => Some(Format::BF16),
            DType::F32 | DType::C64 => Some(Format::F32),
            DType::F64 => Some(Format::F64),
            DType::U8
            | DType::U16
            | DType::U32
            | DType::U64
            | DType::S8
            | DType::S16
            | DType::S32
            | DType::S64 => None,
        }
    }

    /// The sign bit.
    pub const fn sign(self) -> u64 {
        1 << (self.width - 1)
    }

    /// +∞: every exponent bit.
    pub const fn inf(self) -> u64 {
        self.sign() - self.denorm_end()
    }

    /// The quiet NaN without payload.
    pub const fn nan(self) -> u64 {
        self.inf() | 1 << (self.fraction - 1)
    }

    /// The largest finite value.
    pub const fn max(self) -> u64 {
        self.inf() - 1
    }

    /// The smallest positive normal value.
    pub const fn tiny(self) -> u64 {
        self.denorm_end()
    }

    /// 1.
    pub const fn one(self) -> u64 {
        self.bias() << self.fraction
    }

    /// The distance from 1 to the next value.
    pub const fn eps(self) -> u64 {
        (self.bias() - self.fraction as u64) << self.fraction
    }

    /// True for a NaN.
    pub const fn is_nan(self, bits: u64) -> bool {
        bits & !self.sign() > self.inf()
    }

    /// True for neither a NaN nor an infinity.
    pub const fn is_finite(self, bits: u64) -> bool {
        bits & !self.sign() < self.inf()
    }

    /// The place among all values that are not NaN: neighbours differ by 1, −0 is just below +0.
    pub const fn place(self, bits: u64) -> i128 {
        let magnitude = (bits & !self.sign()) as i128;
        if bits & self.sign() == 0 {
            magnitude
        } else {
            -1 - magnitude
        }
    }

    /// The value, exactly.
    pub fn value(self, bits: u64) -> f64 {
        match (self.width, self.fraction) {
            (16, 10) => f16::from_bits(bits as u16).to_f64(),
            (16, _) => bf16::from_bits(bits as u16).to_f64(),
            (32, _) => f64::from(f32::from_bits(bits as u32)),
            _ => f64::from_bits(bits),
        }
    }

    /// The nearest value of this format, ties to even.
    pub fn nearest(self, value: f64) -> u64 {
        match (self.width, self.fraction) {
            (16, 10) => f16::from_f64(value).to_bits().into(),
            (16, _) => bf16::from_f64(value).to_bits().into(),
            (32, _) => (value as f32).to_bits().into(),
            _ => value.to_bits(),
        }
    }

    const fn bias(self) -> u64 {
        (1 << (self.width - self.fraction - 2)) - 1
    }

    const fn denorm_end(self) -> u64 {
        1 << self.fraction
    }
}

/// The bits of every element, zero-extended; a complex element has its real part below.
pub fn elements(tensor: &Tensor) -> impl ExactSizeIterator<Item = u64> + Clone + '_ {
    let size = tensor.dtype().size();
    tensor.bytes().chunks_exact(size).map(move |chunk| {
        let mut word = [0; 8];
        word[..size].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    })
}

/// The tensor with these elements' bits; `None` when their number does not fit the shape.
pub fn tensor(ty: TensorType, elements: impl IntoIterator<Item = u64>) -> Option<Tensor> {
    let size = ty.dtype.size();
    let mut bytes = Vec::new();
    for element in elements {
        bytes.extend_from_slice(&element.to_le_bytes()[..size]);
    }
    Tensor::new(ty, bytes).ok()
}

/// The parts of a complex element, real first.
pub const fn parts(element: u64) -> [u64; 2] {
    [element & 0xffff_ffff, element >> 32]
}

/// A complex element from its parts.
pub const fn complex(re: u64, im: u64) -> u64 {
    re | im << 32
}

/// An integer element's value; `None` for floats and complex numbers.
pub fn integer(dtype: DType, element: u64) -> Option<i128> {
    let unused = 64 - 8 * dtype.size() as u32;
    match dtype.class() {
        Class::Unsigned => Some(element.into()),
        Class::Signed => Some((((element << unused) as i64) >> unused).into()),
        Class::Float | Class::Complex => None,
    }
}

/// The smallest and the largest value of an integer dtype; `None` for others.
pub fn limits(dtype: DType) -> Option<(i128, i128)> {
    let bits = 8 * dtype.size() as u32;
    match dtype.class() {
        Class::Unsigned => Some((0, (1 << bits) - 1)),
        Class::Signed => Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1)),
        Class::Float | Class::Complex => None,
    }
}

/// An integer's bits in `dtype`, wrapped to its width.
pub fn wrapped(dtype: DType, value: i128) -> u64 {
    value as u64 & (u64::MAX >> (64 - 8 * dtype.size() as u32))
}

/// The elements as `f64`, of a dtype whose elements are real.
pub(crate) fn as_f64(tensor: &Tensor) -> Vec<f64> {
    let dtype = tensor.dtype();
    let value = |element: u64| match (Format::of(dtype), integer(dtype, element)) {
        (Some(format), _) => format.value(element),
        (None, integer) => integer.unwrap_or(0) as f64,
    };
    elements(tensor).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_the_formats_own() {
        assert_eq!(
            Format::F32.value(Format::F32.eps()),
            f64::from(f32::EPSILON)
        );
        assert_eq!(
            Format::F32.value(Format::F32.tiny()),
            f64::from(f32::MIN_POSITIVE)
        );
        assert_eq!(Format::F32.value(Format::F32.max()), f64::from(f32::MAX));
        assert_eq!(Format::F64.value(Format::F64.one()), 1.0);
        assert_eq!(Format::F16.value(Format::F16.max()), 65504.0);
        assert_eq!(Format::BF16.value(Format::BF16.eps()), 0.0078125);
        assert_eq!(Format::F32.nan(), 0x7fc0_0000);
        assert_eq!(Format::F16.inf(), 0x7c00);
    }

    #[test]
    fn neighbours_are_one_place_apart() {
        for format in [Format::F16, Format::BF16, Format::F32, Format::F64] {
            assert_eq!(format.place(0) - format.place(format.sign()), 1);
            assert_eq!(format.place(format.inf()) - format.place(format.max()), 1);
            assert_eq!(format.place(format.tiny()), 1 << format.fraction);
        }
    }

    #[test]
    fn integers_keep_their_sign() {
        assert_eq!(integer(DType::S8, 0xff), Some(-1));
        assert_eq!(integer(DType::U64, u64::MAX), Some(u64::MAX.into()));
        assert_eq!(wrapped(DType::S16, -1), 0xffff);
        assert_eq!(limits(DType::S64), Some((i64::MIN.into(), i64::MAX.into())));
    }
}
