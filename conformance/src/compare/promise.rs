//! Decompositions against what they promise.

use emily_spec::{Promise, Tensor};

use super::matrix::Matrix;
use super::{APART, Allowed, Comparison};
use crate::number::Format;

/// How much of a decomposition's form is owed: a QR's, and the order of an `eigh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The contract's: zeros below R's diagonal, the signs of reflections, and eigenvalues that descend by modulus.
    Exact,
    /// Those signs and that order; what elimination left below the diagonal counts as a residual.
    Rounded,
    /// What Nx's documentation says: neither zeros nor signs nor an order.
    Open,
}

/// Checks what a decomposition of `input` promises, in units of eps · dimension · norm.
pub fn promise(
    promise: Promise,
    k: f64,
    form: Form,
    input: &Tensor,
    results: &[Tensor],
) -> Comparison {
    let allowed = Allowed {
        text: format!("residual({k})"),
        distance: k,
        unit: "residual",
    };
    let mut comparison = Comparison::new(allowed);
    let count = |tensor: &Tensor| (tensor.bytes().len() / tensor.dtype().size()) as u64;
    comparison.checked = results.iter().map(count).sum();
    let outcome = matrices(input, results).and_then(|batch| {
        batch.iter().enumerate().try_for_each(|(at, (a, factors))| {
            let format = results.last().and_then(|factor| Format::of(factor.dtype()));
            let format = format.ok_or_else(|| "a factor is no float".to_owned())?;
            let unit = format.value(format.eps()) * a.rows.max(a.columns) as f64;
            let ends = Ends {
                largest: format.value(format.max()) * (1.0 - unit),
                least: format.value(1),
            };
            let residuals = match promise {
                Promise::Qr => qr(a, factors, ends, form),
                Promise::Cholesky => cholesky(a, factors),
                Promise::Lu => lu(a, factors, ends),
                Promise::Eigh => eigh(a, factors, ends, form),
                Promise::Svd => svd(a, factors, ends),
            };
            let residuals = residuals.map_err(|broken| format!("{broken} of matrix {at}"))?;
            for residual in residuals {
                judge(&mut comparison, at, unit, residual);
            }
            Ok(())
        })
    });
    match outcome {
        Ok(()) => comparison,
        Err(message) => comparison.breaking(message),
    }
}

/// What should be zero, and what it is relative to.
struct Residual {
    name: &'static str,
    size: f64,
    scale: f64,
}

/// The ends of what a factor can hold.
#[derive(Clone, Copy)]
struct Ends {
    /// What is beyond this, up to a rounding error, may be an infinity.
    largest: f64,
    /// The least number: what is near it is rounded by up to half of it.
    least: f64,
}

impl Ends {
    /// The factor with what its definition, from the others, makes of its infinities.
    fn restored(self, factor: &Matrix, definition: impl FnOnce() -> Matrix) -> Matrix {
        if factor.elements.iter().all(|x| !x.is_infinite()) {
            return factor.clone();
        }
        let definition = definition();
        Matrix::new(factor.rows, factor.columns, |i, j| {
            match (factor.at(i, j), definition.at(i, j)) {
                (x, meant) if x.is_infinite() && meant * x.signum() >= self.largest => meant,
                (x, _) => x,
            }
        })
    }

    /// What rounding so many elements near zero may leave.
    fn rounding(self, factor: &Matrix) -> f64 {
        self.least / 2.0 * (factor.elements.len() as f64).sqrt()
    }
}

type Residuals = Result<Vec<Residual>, String>;

fn judge(comparison: &mut Comparison, at: usize, unit: f64, residual: Residual) {
    let Residual { name, size, scale } = residual;
    let units = match size {
        0.0 => 0.0,
        size => size / (unit * scale).max(f64::MIN_POSITIVE),
    };
    // A NaN is no residual at all.
    let units = if units.is_nan() {
        APART
    } else {
        units.min(APART)
    };
    comparison.worst = comparison.worst.max(units);
    if units > comparison.allowed.distance && comparison.broken.is_none() {
        comparison.broken = Some(format!("‖{name}‖ of matrix {at} is {size:.3e}"));
    }
}

/// Each matrix of the batch with its factors; those that have an axis less are columns.
fn matrices(input: &Tensor, results: &[Tensor]) -> Result<Vec<(Matrix, Vec<Matrix>)>, String> {
    let rank = input.shape().rank();
    let factors = results.iter().map(|factor| Matrix::all_of(factor, rank));
    let factors: Vec<Vec<Matrix>> = factors.collect::<Result<_, _>>()?;
    let inputs = Matrix::all_of(input, rank)?.into_iter().enumerate();
    let factors_at = |at: usize| {
        let factors = factors.iter().map(|all| all.get(at).cloned());
        factors
            .collect::<Option<Vec<_>>>()
            .ok_or("a factor is missing")
    };
    inputs
        .map(|(at, matrix)| Ok((matrix, factors_at(at)?)))
        .collect()
}

fn is_of<const N: usize>(factors: &[Matrix]) -> Result<&[Matrix; N], String> {
    let found = factors.len();
    factors
        .try_into()
        .map_err(|_| format!("{found} factors, not {N},"))
}

/// A = Q·R, Qᵀ·Q = I, R upper triangular, with the signs of reflections where they are owed; NaN of what is
/// not finite.
fn qr(a: &Matrix, factors: &[Matrix], ends: Ends, form: Form) -> Residuals {
    let [q, r] = is_of(factors)?;
    if !a.is_finite() {
        return all_nan(factors);
    }
    let lower = |i, j| if j < i { r.at(i, j) } else { 0.0 };
    let lower = Matrix::new(r.rows, r.columns, lower);
    if form == Form::Exact {
        lower.require("R is not upper triangular", |_, _, x| x != 0.0)?;
    }
    if form != Form::Open {
        signs_of_reflections(a, q, r)?;
    }
    let r = ends.restored(r, || q.transposed().times(a));
    Ok(vec![
        Residual {
            name: "R below its diagonal",
            size: lower.norm(),
            scale: a.norm(),
        },
        residual("A − Q·R", a, &q.times(&r), ends.rounding(&r)),
        orthonormal("QᵀQ − I", q),
    ])
}

/// A reflection leaves a positive element on R's diagonal. None is made before a column that has something
/// below its diagonal.
fn signs_of_reflections(a: &Matrix, q: &Matrix, r: &Matrix) -> Result<(), String> {
    let steps = a.columns.min(a.rows - 1);
    let below = |j: usize| (j + 1..a.rows).any(|i| a.at(i, j) != 0.0);
    let kept = (0..steps).take_while(|&j| !below(j)).count();
    r.require("R's diagonal has another sign", |i, j, x| {
        let sign = if j < kept { a.at(j, j) } else { 1.0 };
        i == j && j < steps && x * sign < 0.0
    })?;
    match q.columns == steps + 1 && is_turned(q, r, kept) {
        true => Err("Q's last column has another sign".to_owned()),
        false => Ok(()),
    }
}

/// Whether a square Q is a product of reflections, one for each column from this one on but the last,
/// and then turns the last axis. The i-th reflection leaves the axes before i alone, so elimination
/// without exchanges takes I − Q apart, and leaves 0 of it, or 2. Its pivots are what a reflection
/// moves its axis by. One near 0 is hardly a reflection, one near 2 turns the axis itself, and a
/// column with nothing of its own is not the reason for either: then it is open how many there are.
fn is_turned(q: &Matrix, r: &Matrix, kept: usize) -> bool {
    let (last, norm) = (q.columns - 1, r.norm());
    let mut rest = Matrix::identity(q.rows).minus(q);
    for k in kept..last {
        let pivot = rest.at(k, k);
        if !(0.1..1.9).contains(&pivot) || r.at(k, k).abs() < norm / 64.0 {
            return false;
        }
        rest = Matrix::new(q.rows, q.columns, |i, j| {
            rest.at(i, j) - rest.at(i, k) * rest.at(k, j) / pivot
        });
    }
    rest.at(last, last) > 1.0
}

/// A = L·Lᵀ, each element relative to √(aᵢᵢ·aⱼⱼ); L lower triangular with a positive diagonal; NaN of a lower
/// triangle that is not finite.
fn cholesky(a: &Matrix, factors: &[Matrix]) -> Residuals {
    let [l] = is_of(factors)?;
    if !a.symmetric().is_finite() {
        return all_nan(factors);
    }
    l.require("L is not lower triangular", |i, j, x| j > i && x != 0.0)?;
    l.require("L's diagonal is not positive", |i, j, x| i == j && x <= 0.0)?;
    let sizes = Matrix::new(a.rows, a.columns, |i, j| (a.at(i, i) * a.at(j, j)).sqrt());
    let off = a.symmetric().minus(&l.times(&l.transposed()));
    Ok(vec![each("A − L·Lᵀ", &off, &sizes)])
}

/// A = P·L·U, each element relative to P·|L|·|U|; P a permutation, L unit lower triangular, its elements
/// at most 1, U upper triangular; NaN of what is not finite, beside any P.
fn lu(a: &Matrix, factors: &[Matrix], ends: Ends) -> Residuals {
    let [p, l, u] = is_of(factors)?;
    p.require("P is no permutation", |_, _, x| x != 0.0 && x != 1.0)?;
    if p.transposed().times(p).elements != Matrix::identity(p.rows).elements {
        return Err("P is no permutation".to_owned());
    }
    if !a.is_finite() {
        return all_nan(&factors[1..]);
    }
    l.require("L is not lower triangular", |i, j, x| j > i && x != 0.0)?;
    l.require("L's diagonal is not 1", |i, j, x| i == j && x != 1.0)?;
    u.require("U is not upper triangular", |i, j, x| j < i && x != 0.0)?;
    l.require("a pivot is not the largest", |_, _, x| x.abs() > 1.0)?;
    let u = ends.restored(u, || l.solved(&p.transposed().times(a)));
    let (l_sizes, u_sizes) = (p.times(&l.map(f64::abs)), u.map(f64::abs));
    // Elements near zero are rounded by up to half of the least number, U's as well as L's.
    let all = Matrix::new(a.rows, a.columns, |_, _| ends.least / 2.0);
    let (of_u, of_l) = (l_sizes.times(&all), all.times(&u_sizes));
    let rounding = Matrix::new(a.rows, a.columns, |i, j| of_u.at(i, j) + of_l.at(i, j));
    let off = a.minus(&p.times(l).times(&u));
    let off = Matrix::new(a.rows, a.columns, |i, j| {
        beyond(off.at(i, j).abs(), rounding.at(i, j))
    });
    Ok(vec![each("A − P·L·U", &off, &l_sizes.times(&u_sizes))])
}

/// A = V·diag(λ)·Vᵀ, Vᵀ·V = I, λ descending by modulus where an order is owed; NaN of what is not finite.
fn eigh(a: &Matrix, factors: &[Matrix], ends: Ends, form: Form) -> Residuals {
    let [values, v] = is_of(factors)?;
    if !a.is_finite() {
        return all_nan(factors);
    }
    if form != Form::Open {
        values.require("λ does not descend by modulus", |i, _, x| {
            i > 0 && values.at(i - 1, 0).abs() < x.abs()
        })?;
    }
    let a = a.symmetric();
    let values = ends.restored(values, || v.transposed().times(&a).times(v).diagonal());
    let product = v.scaled(&values).times(&v.transposed());
    Ok(vec![
        residual("A − V·Λ·Vᵀ", &a, &product, ends.rounding(&values)),
        orthonormal("VᵀV − I", v),
    ])
}

/// A = U·diag(S)·Vᵀ, Uᵀ·U = I, V likewise, S descending to zero or above; NaN of what is not finite.
fn svd(a: &Matrix, factors: &[Matrix], ends: Ends) -> Residuals {
    let [u, s, vt] = is_of(factors)?;
    if !a.is_finite() {
        return all_nan(factors);
    }
    s.require("S does not descend to zero", |i, _, x| {
        x < 0.0 || (i > 0 && s.at(i - 1, 0) < x)
    })?;
    let v = vt.transposed();
    let s = &ends.restored(s, || u.transposed().times(a).times(&v).diagonal());
    let product = v
        .scaled(s)
        .times(&Matrix::new(s.rows, u.rows, |i, j| u.at(j, i)));
    Ok(vec![
        residual("A − U·S·Vᵀ", a, &product.transposed(), ends.rounding(s)),
        orthonormal("UᵀU − I", u),
        orthonormal("VᵀV − I", &v),
    ])
}

fn all_nan(factors: &[Matrix]) -> Residuals {
    match factors.iter().flat_map(|f| &f.elements).all(|x| x.is_nan()) {
        true => Ok(Vec::new()),
        false => Err("a factor is a number, beside what is not finite,".to_owned()),
    }
}

/// Relative to A, beside what rounding left.
fn residual(name: &'static str, a: &Matrix, product: &Matrix, rounding: f64) -> Residual {
    let size = a.minus(product).norm();
    Residual {
        name,
        size: beyond(size, rounding),
        scale: a.norm(),
    }
}

/// How much more it is than rounding may leave. `max` would forget a NaN.
fn beyond(off: f64, rounding: f64) -> f64 {
    if off <= rounding { 0.0 } else { off - rounding }
}

fn orthonormal(name: &'static str, q: &Matrix) -> Residual {
    let gram = q.transposed().times(q);
    Residual {
        name,
        size: gram.minus(&Matrix::identity(q.columns)).norm(),
        scale: (q.columns as f64).sqrt(),
    }
}

/// The element that is furthest off relative to its own size.
fn each(name: &'static str, off: &Matrix, sizes: &Matrix) -> Residual {
    let pairs = off.elements.iter().zip(&sizes.elements);
    let relative = pairs.map(|(off, size)| match off {
        0.0 => 0.0,
        off => off.abs() / size,
    });
    // `max` would forget a NaN.
    let size = relative.fold(0.0, |max, x| if x > max || x.is_nan() { x } else { max });
    Residual {
        name,
        size,
        scale: 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensor;
    use super::*;

    #[test]
    fn a_decomposition_is_judged_by_what_it_promises() {
        let a = tensor("f32[2,2] 3 1 4 2");
        let judge = |q: &str, r: &str| {
            let factors = [tensor(q), tensor(r)];
            promise(Promise::Qr, 8.0, Form::Exact, &a, &factors)
        };
        let broken = |q: &str, r: &str| judge(q, r).broken.unwrap();
        let q = "f32[2,2] 0.6 0.8 0.8 -0.6";
        assert!(judge(q, "f32[2,2] 5 2.2 0 -0.4").agrees());
        assert!(broken(q, "f32[2,2] 5 2.2 0 -0.5").contains("A − Q·R"));
        assert!(broken(q, "f32[2,2] 5 2.2 1e-9 -0.4").contains("triangular"));
        // The signs of a column of Q and a row of R may not turn.
        assert!(
            broken("f32[2,2] -0.6 0.8 -0.8 -0.6", "f32[2,2] -5 -2.2 0 -0.4").contains("diagonal")
        );
        assert!(
            broken("f32[2,2] 0.6 -0.8 0.8 0.6", "f32[2,2] 5 2.2 0 0.4").contains("last column")
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

    #[test]
    fn what_elimination_left_below_the_diagonal_is_a_residual_where_nx_s_own_is_judged() {
        let a = tensor("f32[2,2] 3 1 4 2");
        let judge = |below: &str, form| {
            let r = format!("f32[2,2] 5 2.2 {below} -0.4");
            let factors = [tensor("f32[2,2] 0.6 0.8 0.8 -0.6"), tensor(&r)];
            promise(Promise::Qr, 8.0, form, &a, &factors)
        };
        assert!(judge("1e-7", Form::Rounded).agrees());
        assert!(!judge("1e-7", Form::Exact).agrees());
        assert!(!judge("0.5", Form::Rounded).agrees());
    }

    #[test]
    fn the_signs_of_a_qr_are_open_where_nx_s_documentation_is_owed() {
        let a = tensor("f32[2,2] 3 1 4 2");
        let judge = |q: &str, r: &str, form| {
            let factors = [tensor(q), tensor(r)];
            promise(Promise::Qr, 8.0, form, &a, &factors)
        };
        // A column of Q is turned with its row of R: the first, the last, and both.
        let turned = [
            ("f32[2,2] -0.6 0.8 -0.8 -0.6", "f32[2,2] -5 -2.2 0 -0.4"),
            ("f32[2,2] 0.6 -0.8 0.8 0.6", "f32[2,2] 5 2.2 0 0.4"),
            ("f32[2,2] -0.6 -0.8 -0.8 0.6", "f32[2,2] -5 -2.2 1e-7 0.4"),
        ];
        for (q, r) in turned {
            assert!(judge(q, r, Form::Open).agrees());
            assert!(!judge(q, r, Form::Rounded).agrees());
        }
        // One is turned without the other, and two columns are not orthogonal.
        assert!(
            !judge(
                "f32[2,2] 0.6 -0.8 0.8 0.6",
                "f32[2,2] 5 2.2 0 -0.4",
                Form::Open
            )
            .agrees()
        );
        assert!(!judge("f32[2,2] 0.6 1 0.8 0", "f32[2,2] 5 2 0 -0.2", Form::Open).agrees());
        assert!(
            !judge(
                "f32[2,2] -0.6 0.8 -0.8 -0.6",
                "f32[2,2] -5 -2.2 0.5 -0.4",
                Form::Open
            )
            .agrees()
        );
    }

    #[test]
    fn what_is_beyond_the_largest_is_an_infinity_and_nothing_else_is() {
        let a = tensor("f32[2,1] 3e38 -3e38");
        let half = 0.5f32.sqrt();
        let judge = |r: &str| {
            let q = tensor(&format!("f32[2,1] {half} -{half}"));
            promise(Promise::Qr, 8.0, Form::Exact, &a, &[q, tensor(r)])
        };
        assert!(judge("f32[1,1] inf").agrees());
        assert!(!judge("f32[1,1] 3.4e38").agrees());
        assert!(!judge("f32[1,1] -inf").agrees());
        let finite = [tensor("f32[1,1] 1"), tensor("f32[1,1] inf")];
        let a = tensor("f32[1,1] 3e38");
        assert!(!promise(Promise::Qr, 8.0, Form::Exact, &a, &finite).agrees());
    }

    #[test]
    fn an_elimination_is_judged_by_its_factors_and_pivots() {
        let a = tensor("f32[2,2] 1 2 4 6");
        let judge = |p: &str, l: &str, u: &str| {
            let factors = [tensor(p), tensor(l), tensor(u)];
            promise(Promise::Lu, 1.5, Form::Exact, &a, &factors)
        };
        let (p, l) = ("f32[2,2] 0 1 1 0", "f32[2,2] 1 0 0.25 1");
        assert!(judge(p, l, "f32[2,2] 4 6 0 0.5").agrees());
        assert!(!judge(p, l, "f32[2,2] 4 6 0 0.6").agrees());
        assert!(!judge("f32[2,2] 0 1 0 1", l, "f32[2,2] 4 6 0 0.5").agrees());
        // The same product from the smaller pivot.
        let in_order = judge("f32[2,2] 1 0 0 1", "f32[2,2] 1 0 4 1", "f32[2,2] 1 2 0 -2");
        assert!(in_order.broken.unwrap().contains("not the largest"));
    }

    #[test]
    fn eigenvectors_may_turn_and_eigenvalues_keep_their_order() {
        let a = tensor("f32[2,2] 6 9 2 9");
        let judge = |values: &str, v: &str| {
            let factors = [tensor(values), tensor(v)];
            promise(Promise::Eigh, 16.0, Form::Exact, &a, &factors)
        };
        let (values, r, s) = ("f32[2] 10 5", 0.2f32.sqrt(), 0.8f32.sqrt());
        assert!(judge(values, &format!("f32[2,2] {r} {s} {s} -{r}")).agrees());
        assert!(judge(values, &format!("f32[2,2] -{r} {s} -{s} -{r}")).agrees());
        assert!(!judge(values, &format!("f32[2,2] {s} {r} -{r} {s}")).agrees());
        let other = judge("f32[2] 5 10", &format!("f32[2,2] {s} {r} -{r} {s}"));
        assert!(other.broken.unwrap().contains("descend"));
    }

    #[test]
    fn the_order_of_an_eigh_is_open_where_nx_s_documentation_is_owed() {
        let a = tensor("f32[2,2] 6 9 2 9");
        let judge = |values: &str, form| {
            let (r, s) = (0.2f32.sqrt(), 0.8f32.sqrt());
            let factors = [
                tensor(values),
                tensor(&format!("f32[2,2] {s} {r} -{r} {s}")),
            ];
            promise(Promise::Eigh, 16.0, form, &a, &factors)
        };
        assert!(judge("f32[2] 5 10", Form::Open).agrees());
        assert!(!judge("f32[2] 5 10", Form::Rounded).agrees());
        // Each value has its own vector still.
        assert!(!judge("f32[2] 10 5", Form::Open).agrees());
    }

    #[test]
    fn singular_values_are_not_negative_and_descend() {
        let a = tensor("f32[2,1] -3 4");
        let judge = |u: &str, s: &str, v: &str| {
            let factors = [tensor(u), tensor(s), tensor(v)];
            promise(Promise::Svd, 20.0, Form::Exact, &a, &factors)
        };
        assert!(judge("f32[2,1] -0.6 0.8", "f32[1] 5", "f32[1,1] 1").agrees());
        assert!(judge("f32[2,2] 0.6 0.8 -0.8 0.6", "f32[1] 5", "f32[1,1] -1").agrees());
        assert!(!judge("f32[2,2] 0.6 0.6 -0.8 -0.8", "f32[1] 5", "f32[1,1] -1").agrees());
        let negative = judge("f32[2,1] -0.6 0.8", "f32[1] -5", "f32[1,1] -1");
        assert!(negative.broken.unwrap().contains("descend to zero"));
    }
}
