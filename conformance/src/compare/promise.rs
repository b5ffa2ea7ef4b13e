//! Decompositions against what they promise.

use emily_spec::{Promise, Tensor};

use super::{APART, Allowed, Comparison};
use crate::number::{self, Format};

/// Checks what a decomposition of `input` promises, in units of eps · dimension · norm.
pub fn promise(promise: Promise, k: f64, input: &Tensor, results: &[Tensor]) -> Comparison {
    let allowed = Allowed {
        text: format!("residual({k})"),
        distance: k,
        unit: "residual",
    };
    let mut comparison = Comparison::new(allowed);
    let outcome = match promise {
        Promise::Qr => qr(input, results, &mut comparison),
    };
    match outcome {
        Ok(()) => comparison,
        Err(message) => comparison.breaking(message),
    }
}

/// A = Q·R, Qᵀ·Q = I, R upper triangular, for each matrix of the batch.
fn qr(input: &Tensor, results: &[Tensor], comparison: &mut Comparison) -> Result<(), String> {
    let [q, r] = results else {
        return Err(format!("qr gives 2 results, got {}", results.len()));
    };
    let (m, n) = last_two(input)?;
    let (_, k) = last_two(q)?;
    let eps = Format::of(q.dtype()).map_or(0.0, |format| format.value(format.eps()));
    let dimension = m.max(n) as f64;
    comparison.checked =
        (q.bytes().len() / q.dtype().size() + r.bytes().len() / r.dtype().size()) as u64;
    let [a, q, r] = [input, q, r].map(number::as_f64);
    let matrices = a.chunks(m * n).zip(q.chunks(m * k)).zip(r.chunks(k * n));
    for (batch, ((a, q), r)) in matrices.enumerate() {
        let below = (0..k).flat_map(|i| (0..n.min(i)).map(move |j| (i, j)));
        if let Some((i, j)) = below.into_iter().find(|&(i, j)| r[i * n + j] != 0.0) {
            return Err(format!(
                "R is not upper triangular at [{i},{j}] of matrix {batch}"
            ));
        }
        let product = |i: usize, j: usize| (0..k).map(|l| q[i * k + l] * r[l * n + j]).sum::<f64>();
        let gram = |i: usize, j: usize| (0..m).map(|l| q[l * k + i] * q[l * k + j]).sum::<f64>();
        let identity = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
        let residuals = [
            (
                "A − Q·R",
                norm(m, n, |i, j| a[i * n + j] - product(i, j)),
                norm(m, n, |i, j| a[i * n + j]),
            ),
            (
                "QᵀQ − I",
                norm(k, k, |i, j| gram(i, j) - identity(i, j)),
                (k as f64).sqrt(),
            ),
        ];
        for (name, residual, scale) in residuals {
            let unit = (eps * dimension * scale).max(f64::MIN_POSITIVE);
            let units = if residual == 0.0 {
                0.0
            } else {
                residual / unit
            };
            // A NaN is no residual at all.
            let units = if units.is_nan() {
                APART
            } else {
                units.min(APART)
            };
            comparison.worst = comparison.worst.max(units);
            if units > comparison.allowed.distance && comparison.broken.is_none() {
                comparison.broken = Some(format!("‖{name}‖ of matrix {batch} is {residual:.3e}"));
            }
        }
    }
    Ok(())
}

/// Of elements whose squares may be beyond `f64`.
fn norm(rows: usize, columns: usize, at: impl Fn(usize, usize) -> f64) -> f64 {
    let places = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
    places.map(|(i, j)| at(i, j)).fold(0.0, f64::hypot)
}

fn last_two(tensor: &Tensor) -> Result<(usize, usize), String> {
    match tensor.shape().split_last_chunk::<2>() {
        Some((_, &[m, n])) if m > 0 && n > 0 => Ok((m, n)),
        _ => Err(format!("{} is not a matrix", tensor.ty())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensor;
    use super::*;

    #[test]
    fn a_decomposition_is_judged_by_what_it_promises() {
        let a = tensor("f32[2,2] 3 1 4 2");
        let judge = |q: &str, r: &str| promise(Promise::Qr, 8.0, &a, &[tensor(q), tensor(r)]);
        let q = "f32[2,2] 0.6 -0.8 0.8 0.6";
        assert!(judge(q, "f32[2,2] 5 2.2 0 0.4").agrees());
        // The signs of a column of Q and a row of R may both turn.
        assert!(judge("f32[2,2] -0.6 -0.8 -0.8 0.6", "f32[2,2] -5 -2.2 0 0.4").agrees());
        assert!(
            judge(q, "f32[2,2] 5 2.2 0 0.5")
                .broken
                .unwrap()
                .contains("A − Q·R")
        );
        assert!(
            judge(q, "f32[2,2] 5 2.2 1e-9 0.4")
                .broken
                .unwrap()
                .contains("triangular")
        );
        assert!(
            judge("f32[2,2] 1.2 0 1.6 0", "f32[2,2] 2.5 1.1 0 0")
                .broken
                .is_some()
        );
        assert!(
            judge("f32[2,2] *nan", "f32[2,2] nan nan 0 nan")
                .broken
                .is_some()
        );
    }
}
