//! Systems of linear equations.
//!
//! MLX multiplies by inverses, whose errors grow with the matrix's condition; substitution's do not
//! (Higham, *Accuracy and Stability of Numerical Algorithms*, 8.2 and 14.2).

use emily_spec::{Class, DType, ErrorKind, TensorType, TransformA, TriangularSolve};
use mlx_rs::error::Result;
use mlx_rs::ops::{argsort_axis, concatenate, zeros_dtype};
use mlx_rs::{Array, Dtype, with_stream};

use super::decompose::{eliminated, finite, moderate, or_nan};
use super::{block, rows, transposed};
use crate::mlx::{arange, clone_array, conjugate, dtype_of, integer, to_mlx};
use crate::ops::cast::cast;
use crate::ops::{Cx, complex, dims, length};

pub(in crate::ops) fn triangular_solve(
    op: &TriangularSolve,
    inputs: &[Array],
    ty: &TensorType,
    cx: &mut Cx,
) -> Result<Array> {
    let solve = |a: &Array, b: &Array, cx: &mut Cx| {
        let flip = (op.transform == TransformA::Transpose) != op.right;
        let a = if flip { transposed(a)? } else { clone_array(a) };
        let a = match op.transform {
            TransformA::Conjugate if dtype_of(&a).is_complex() => conjugate(&a)?,
            TransformA::None | TransformA::Transpose | TransformA::Conjugate => a,
        };
        refuse(is_singular(&a)?, cx);
        substitute(&a, b, op.upper != flip)
    };
    system(inputs, ty, op.right, cx, solve)
}

/// By elimination with pivots. A matrix that is not finite has neither pivots nor a solution.
pub(in crate::ops) fn solve(inputs: &[Array], ty: &TensorType, cx: &mut Cx) -> Result<Array> {
    let solve = |a: &Array, b: &Array, cx: &mut Cx| {
        let (finite, a) = finite(a)?;
        let (a, back) = moderate(&a, &[-2])?;
        let (of_row, l, u) = eliminated(&a)?;
        let known = finite.squeeze_axes(&[-1])?;
        refuse(is_singular(&u)?.logical_and(known)?, cx);
        let y = substitute(&l, &in_order(b, &of_row)?, false)?;
        let x = substitute(&u, &y, true)?.divide(transposed(&back)?)?;
        or_nan(&finite, &x)
    };
    system(inputs, ty, false, cx, solve)
}

/// B's rows as L·U has them: row i of A, and of B, is row `of_row[i]` of L·U.
fn in_order(b: &Array, of_row: &Array) -> Result<Array> {
    let n = b.dim(-2);
    length(of_row.size())?;
    let order = argsort_axis(of_row, -1)?
        .as_dtype(Dtype::Int32)?
        .reshape(&[-1, n])?;
    let matrices = order.dim(0);
    let first = arange(matrices, Dtype::Int32)?.multiply(integer(DType::S32, n.into()))?;
    let rows = order.add(first.expand_dims(-1)?)?.flatten(None, None)?;
    let all = b.reshape(&[matrices * n, b.dim(-1)])?;
    all.take_axis(rows, 0)?.reshape(b.shape())
}

/// The system with its right-hand side as a matrix on the left's side; real ones in `f64`, in which nothing
/// on the way is beyond what `f32` holds.
fn system(
    inputs: &[Array],
    ty: &TensorType,
    right: bool,
    cx: &mut Cx,
    solve: impl Fn(&Array, &Array, &mut Cx) -> Result<Array>,
) -> Result<Array> {
    let shape = dims(&ty.shape);
    if ty.shape.contains(&0) {
        return zeros_dtype(&shape, to_mlx(ty.dtype));
    }
    let vector = inputs[1].ndim() < inputs[0].ndim();
    let computed_in = match ty.dtype.is_complex() {
        true => ty.dtype,
        false => DType::F64,
    };
    let wide = |x: &Array| cast(&cast(x, ty.dtype)?, computed_in);
    // As `on_cpu`, which would keep `cx` from the solver.
    let owned = cx.owned(inputs)?;
    with_stream(cx.cpu, || -> Result<_> {
        let (a, b) = (wide(&owned[0])?, wide(&owned[1])?);
        let b = match (vector, right) {
            (true, _) => b.expand_dims(-1)?,
            (false, true) => transposed(&b)?,
            (false, false) => b,
        };
        let x = match dtype_of(&b).is_complex() {
            true => solve(&a, &b, cx)?,
            false => {
                let (b, back) = moderate(&b, &[-2])?;
                solve(&a, &b, cx)?.multiply(back)?
            }
        };
        let x = if right && !vector { transposed(&x)? } else { x };
        cast(&x, ty.dtype)?.reshape(&shape)
    })
}

/// Where a triangular matrix has a zero on its diagonal.
fn is_singular(triangular: &Array) -> Result<Array> {
    let pivots = triangular.diagonal(None, -2, -1)?;
    pivots.eq(zeros_dtype(&[], triangular.dtype())?)
}

fn refuse(singular: Array, cx: &mut Cx) {
    cx.fail_where(
        singular,
        ErrorKind::Argument,
        "can't solve for singular matrix",
    );
}

/// X of T·X = B by halves: the first half of X leaves a system of half the size for the rest.
fn substitute(t: &Array, b: &Array, upper: bool) -> Result<Array> {
    let n = t.dim(-1);
    if n == 1 {
        return quotient(b, t);
    }
    let (top, bottom) = (0..n / 2, n / 2..n);
    let (first, rest) = if upper { (bottom, top) } else { (top, bottom) };
    let x = substitute(&block(t, &first, &first)?, &rows(b, &first)?, upper)?;
    let known = product(&block(t, &rest, &first)?, &x)?;
    let y = rows(b, &rest)?.subtract(known)?;
    let y = substitute(&block(t, &rest, &rest)?, &y, upper)?;
    concatenate(&if upper { [y, x] } else { [x, y] }, -2)
}

fn product(a: &Array, b: &Array) -> Result<Array> {
    match dtype_of(a).class() {
        Class::Complex => complex::matmul(a, b),
        Class::Float | Class::Unsigned | Class::Signed => a.matmul(b),
    }
}

fn quotient(a: &Array, b: &Array) -> Result<Array> {
    match dtype_of(a).class() {
        Class::Complex => complex::divide(a, b),
        Class::Float | Class::Unsigned | Class::Signed => a.divide(b),
    }
}
