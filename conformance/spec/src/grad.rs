//! What a gradient is judged by.

use crate::Domain;

/// Where Nx's gradient of an op is its slope.
#[derive(Clone, Copy, Debug)]
pub struct Grad {
    /// Per operand, the values on which finite differences mean something.
    pub domain: &'static [Domain],
    /// How near the gradient must be to the oracle's finite differences, in units of the eps of the
    /// narrowest dtype on its way, times the largest magnitude of a slope.
    pub eps: f64,
    /// Whether only slopes along symmetric matrices mean something: the op reads one triangle of a
    /// matrix, and Nx leaves it open how a gradient spreads over both.
    pub symmetric: bool,
}

/// Nx writes a gradient as a handful of ops, each within the few units of its own tolerance; the
/// largest, a library's exponential of a rounded square up to 4, is within 4 + 2 · 4 of them.
pub(crate) const SMOOTH: Grad = Grad {
    domain: &[Domain::Range(-2.0, 2.0)],
    eps: 16.0,
    symmetric: false,
};

/// Nx writes the gradient of a system or a factorization as up to six products with inverses. Of n × n
/// matrices that are diagonally dominant, whose condition is below 4, a product is within n/2 eps of its
/// terms' magnitude, and an inverse within four times that (Higham, Accuracy and Stability, 8.2): with
/// the ten rows that gradients are judged at, 6 · 4 · 5 eps.
pub(crate) const MATRIX: Grad = Grad {
    domain: &[Domain::Dominant, Domain::Range(-2.0, 2.0)],
    eps: 120.0,
    symmetric: false,
};
