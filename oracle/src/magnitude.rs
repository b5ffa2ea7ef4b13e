//! What a result's rounding errors are relative to.

/// What `Tolerance::Accum` counts in, per element of a result in row-major order: an allowance of
/// `k` is an error of `k · eps · worst`.
#[derive(Clone, Debug, PartialEq)]
pub struct Magnitude {
    /// What the sizes are of.
    pub of: Of,
    /// Σ|xᵢ| for a sum, Σ|aᵢ·bᵢ| for a product, the modulus of a complex function's result.
    pub sizes: Vec<f64>,
    /// The sizes times what errors may grow by: with the number of terms, or with a function's
    /// condition. Results that underflow on the way have errors of a size of their own, so none is
    /// smaller than the smallest normal value but where nothing is rounded.
    pub worst: Vec<f64>,
    /// The share of `worst` that errors reach where they do not all point the same way, as with
    /// operands drawn at random; 1 where that is no less.
    pub random: f64,
}

/// Where a magnitude comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Terms that are added up: partial sums are of any size up to theirs, and of either sign.
    Terms,
    /// A complex function, both of whose parts share the error of the modulus.
    Function,
}
