//! Element types, with Nx's names and Nx's promotion rules.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::{Error, ErrorKind, Result};

/// An element type that Nx and MLX share.
///
/// Nx's other types (`f8`, `f8_e4m3fn`, `c128`, `u2`, `s2`, `u4`, `s4`) have no MLX primitive;
/// parsing one is an [`ErrorKind::Dtype`] that says what to use instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Nx's own: class and bits")]
pub enum DType {
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    Bf16,
    F32,
    F64,
    C64,
}

/// The kind of number a dtype holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `u8` to `u64`; arithmetic wraps.
    Unsigned,
    /// `s8` to `s64`, two's complement; arithmetic wraps.
    Signed,
    /// `f16`, `bf16`, `f32`, `f64`.
    Float,
    /// `c64`: two `f32`.
    Complex,
}

impl DType {
    /// Every dtype, in the order reports print them.
    pub const ALL: [DType; 13] = [
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::S8,
        DType::S16,
        DType::S32,
        DType::S64,
        DType::F16,
        DType::Bf16,
        DType::F32,
        DType::F64,
        DType::C64,
    ];

    /// Nx's short name, `"bf16"`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::U8 => "u8",
            DType::U16 => "u16",
            DType::U32 => "u32",
            DType::U64 => "u64",
            DType::S8 => "s8",
            DType::S16 => "s16",
            DType::S32 => "s32",
            DType::S64 => "s64",
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::C64 => "c64",
        }
    }

    /// The size of one element in bytes.
    pub const fn size(self) -> usize {
        match self {
            DType::U8 | DType::S8 => 1,
            DType::U16 | DType::S16 | DType::F16 | DType::Bf16 => 2,
            DType::U32 | DType::S32 | DType::F32 => 4,
            DType::U64 | DType::S64 | DType::F64 | DType::C64 => 8,
        }
    }

    /// The kind of number.
    pub const fn class(self) -> Class {
        match self {
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => Class::Unsigned,
            DType::S8 | DType::S16 | DType::S32 | DType::S64 => Class::Signed,
            DType::F16 | DType::Bf16 | DType::F32 | DType::F64 => Class::Float,
            DType::C64 => Class::Complex,
        }
    }

    /// True for signed and unsigned integers.
    pub const fn is_integer(self) -> bool {
        matches!(self.class(), Class::Unsigned | Class::Signed)
    }

    /// True for real floating point.
    pub const fn is_float(self) -> bool {
        matches!(self.class(), Class::Float)
    }

    /// True for the real floats of 16 bits, `f16` and `bf16`.
    pub const fn is_small_float(self) -> bool {
        matches!(self, DType::F16 | DType::Bf16)
    }

    /// True for complex numbers.
    pub const fn is_complex(self) -> bool {
        matches!(self.class(), Class::Complex)
    }

    /// The dtype both operands of a binary op are cast to, as `Nx.Type.merge/2` has it.
    ///
    /// `f64` with `c64` would be `c128`, which MLX does not have: an error.
    pub fn merge(self, other: DType) -> Result<DType> {
        if self == other {
            return Ok(self);
        }
        let (low, high) = if self.rank() <= other.rank() {
            (self, other)
        } else {
            (other, self)
        };
        Ok(match (low.class(), high.class()) {
            (Class::Unsigned, Class::Signed) => signed((low.size() * 2).min(8).max(high.size())),
            (Class::Float, Class::Complex) if low == DType::F64 => {
                return Err(Error::new(
                    ErrorKind::Dtype,
                    "f64 and c64 merge to c128, which MLX does not have; cast the f64 operand to f32",
                ));
            }
            (a, b) if a == b && low.rank() == high.rank() && low.size() > high.size() => low,
            _ => high,
        })
    }

    /// The dtype of a floating-point function of this dtype: itself when it is one, else `f32`.
    pub const fn to_floating(self) -> DType {
        match self.class() {
            Class::Float | Class::Complex => self,
            Class::Unsigned | Class::Signed => DType::F32,
        }
    }

    /// The dtype of a complex number's parts; of a real one, its own.
    pub const fn to_real(self) -> DType {
        match self.class() {
            Class::Complex => DType::F32,
            Class::Unsigned | Class::Signed | Class::Float => self,
        }
    }

    /// The complex dtype that holds this one, as `Nx.Type.to_complex/1` has it.
    ///
    /// That of `f64` would be `c128`, which MLX does not have: an error.
    pub fn to_complex(self) -> Result<DType> {
        if self == DType::F64 {
            return Err(Error::new(
                ErrorKind::Dtype,
                "f64 becomes c128, which MLX does not have; cast the operand to f32",
            ));
        }
        Ok(DType::C64)
    }

    /// The dtype that sums accumulate to, as `Nx.Type.to_aggregate/1` has it.
    pub const fn to_aggregate(self) -> DType {
        match self {
            DType::U8 | DType::U16 | DType::U32 => DType::U32,
            DType::S8 | DType::S16 | DType::S32 => DType::S32,
            // Nx's rule, also for u64.
            DType::U64 | DType::S64 => DType::S64,
            DType::F16 | DType::Bf16 | DType::F32 | DType::F64 | DType::C64 => self,
        }
    }

    /// The place in Nx's promotion order: unsigned, signed, brain float, float, complex.
    const fn rank(self) -> u8 {
        match self.class() {
            Class::Unsigned => 0,
            Class::Signed => 1,
            Class::Float if matches!(self, DType::Bf16) => 2,
            Class::Float => 3,
            Class::Complex => 4,
        }
    }
}

const fn signed(bytes: usize) -> DType {
    match bytes {
        0..=1 => DType::S8,
        2 => DType::S16,
        3..=4 => DType::S32,
        _ => DType::S64,
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DType {
    type Err = Error;

    fn from_str(text: &str) -> Result<DType> {
        if let Some(dtype) = DType::ALL.into_iter().find(|d| d.name() == text) {
            return Ok(dtype);
        }
        let instead = match text {
            "f8" | "f8_e4m3fn" => "f16 or bf16",
            "c128" => "c64",
            "u2" | "u4" => "u8",
            "s2" | "s4" => "s8",
            _ => {
                let known: Vec<_> = DType::ALL.iter().map(|d| d.name()).collect();
                return Err(Error::new(
                    ErrorKind::Dtype,
                    format!("unknown dtype {text:?}; known are {}", known.join(" ")),
                ));
            }
        };
        Err(Error::new(
            ErrorKind::Dtype,
            format!("no MLX primitive for {text}; use {instead}"),
        ))
    }
}

impl Serialize for DType {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for DType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        name.parse().map_err(D::Error::custom)
    }
}

/// A set of dtypes, by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtypes {
    /// Integers of both signs.
    pub integer: bool,
    /// Real floats.
    pub float: bool,
    /// Complex numbers.
    pub complex: bool,
}

impl Dtypes {
    /// Complex numbers.
    pub const COMPLEX: Dtypes = Dtypes {
        complex: true,
        ..Dtypes::NONE
    };
    /// No dtype.
    pub const NONE: Dtypes = Dtypes {
        integer: false,
        float: false,
        complex: false,
    };
    /// Every dtype.
    pub const ALL: Dtypes = Dtypes {
        integer: true,
        float: true,
        complex: true,
    };
    /// Every dtype but complex.
    pub const REAL: Dtypes = Dtypes {
        complex: false,
        ..Dtypes::ALL
    };
    /// Integers.
    pub const INTEGER: Dtypes = Dtypes {
        integer: true,
        ..Dtypes::NONE
    };
    /// Real floats.
    pub const FLOAT: Dtypes = Dtypes {
        integer: false,
        ..Dtypes::REAL
    };

    /// True when the set holds this dtype.
    pub const fn contains(self, dtype: DType) -> bool {
        match dtype.class() {
            Class::Unsigned | Class::Signed => self.integer,
            Class::Float => self.float,
            Class::Complex => self.complex,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_follows_nx() {
        use DType::*;
        for (a, b, want) in [
            (U8, U8, U8),
            (U8, U64, U64),
            (U8, S8, S16),
            (U32, S8, S64),
            (U64, S8, S64),
            (U8, S32, S32),
            (S64, F16, F16),
            (S64, Bf16, Bf16),
            (Bf16, F16, F16),
            (Bf16, F32, F32),
            (F32, F64, F64),
            (F32, C64, C64),
            (U64, C64, C64),
        ] {
            assert_eq!(a.merge(b).unwrap(), want, "{a} {b}");
            assert_eq!(b.merge(a).unwrap(), want, "{b} {a}");
        }
        assert_eq!(F64.merge(C64).unwrap_err().kind, ErrorKind::Dtype);
    }

    #[test]
    fn complex_types_and_their_parts_follow_nx() {
        assert_eq!(DType::C64.to_real(), DType::F32);
        assert_eq!(DType::S8.to_real(), DType::S8);
        assert_eq!(DType::S8.to_complex(), Ok(DType::C64));
        assert_eq!(DType::F64.to_complex().unwrap_err().kind, ErrorKind::Dtype);
    }

    #[test]
    fn types_that_mlx_lacks_name_the_remedy() {
        let err = "f8_e4m3fn".parse::<DType>().unwrap_err();
        assert_eq!(err.kind, ErrorKind::Dtype);
        assert!(err.message.contains("no MLX primitive"), "{err}");
        assert!("f17".parse::<DType>().is_err());
    }

    #[test]
    fn names_round_trip() {
        for dtype in DType::ALL {
            assert_eq!(dtype.name().parse::<DType>().unwrap(), dtype);
        }
    }
}
