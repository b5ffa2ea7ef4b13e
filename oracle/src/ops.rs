//! One kernel per op, on wide values. Operand types have passed `Op::infer`.

pub(crate) mod accumulate;
pub(crate) mod binary;
pub(crate) mod close;
pub(crate) mod complex;
pub(crate) mod conv;
pub(crate) mod creation;
pub(crate) mod cumulative;
pub(crate) mod fast;
pub(crate) mod fft;
pub(crate) mod index;
pub(crate) mod linalg;
pub(crate) mod quantized;
pub(crate) mod reduce;
pub(crate) mod shape;
pub(crate) mod sort;
pub(crate) mod unary;
pub(crate) mod window;
pub(crate) mod zero;
