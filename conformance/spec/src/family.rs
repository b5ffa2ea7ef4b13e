//! Families of ops.

use std::fmt;

/// What an op belongs to: the folder of its cases, and its source file in spec, oracle and engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is documented by its source files")]
pub enum Family {
    Unary,
    Binary,
    Creation,
    Shape,
    Index,
    Reduce,
    Sort,
    Window,
    Cumulative,
    Conv,
    Fft,
    Linalg,
    Quantized,
    Fast,
}

impl Family {
    /// The name in paths and in text.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Unary => "unary",
            Family::Binary => "binary",
            Family::Creation => "creation",
            Family::Shape => "shape",
            Family::Index => "index",
            Family::Reduce => "reduce",
            Family::Sort => "sort",
            Family::Window => "window",
            Family::Cumulative => "cumulative",
            Family::Conv => "conv",
            Family::Fft => "fft",
            Family::Linalg => "linalg",
            Family::Quantized => "quantized",
            Family::Fast => "fast",
        }
    }

    /// Whether its ops answer each element by the elements at its place alone.
    pub const fn is_elementwise(self) -> bool {
        matches!(self, Family::Unary | Family::Binary)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
