//! Faults of decompositions, whose factors are not the only ones.

use emily_conformance::number::{self, Format};
use emily_conformance::view::Input;
use emily_spec::{Judged, Op, Promise, Result, Row, Tensor, Transpose};

use super::{Befalls, FAULT, Fault, floats, rebuild, run};

pub(super) static FAULTS: &[Fault] = &[
    Fault {
        name: "q_not_normalised",
        what: "Q is doubled and R halved",
        befalls: Befalls::Calls(|row, _| promises(row, Promise::Qr)),
        run: |op, inputs| {
            let scales = [2.0, 0.5];
            let results = run(op, inputs)?.into_iter().zip(scales);
            results
                .map(|(t, by)| floats(&t, |f, x| f.nearest(f.value(x) * by)))
                .collect()
        },
        ..FAULT
    },
    Fault {
        name: "below_the_diagonal_not_cleared",
        what: "R keeps rounding errors below its diagonal",
        befalls: Befalls::Calls(|row, _| promises(row, Promise::Qr)),
        run: |op, inputs| {
            let mut results = run(op, inputs)?;
            let clear = |f: Format, x: u64| if x & !f.sign() == 0 { 1 } else { x };
            if let Some(r) = results.get_mut(1) {
                *r = floats(r, clear)?;
            }
            Ok(results)
        },
        ..FAULT
    },
    Fault {
        name: "columns_become_negative",
        what: "a column is reflected to minus its norm, as LAPACK does with a positive one",
        befalls: Befalls::Calls(|row, _| promises(row, Promise::Qr)),
        run: |op, inputs| {
            let all = run(op, inputs)?;
            all.iter()
                .map(|t| floats(t, |f, x| if f.value(x) == 0.0 { x } else { x ^ f.sign() }))
                .collect()
        },
        ..FAULT
    },
    Fault {
        name: "the_last_column_turned",
        what: "a square Q has the other determinant",
        befalls: Befalls::Calls(|row, _| promises(row, Promise::Qr)),
        run: last_column_turned,
        ..FAULT
    },
    Fault {
        name: "eigenvalues_ascend",
        what: "the eigenvalues are in LAPACK's order",
        befalls: Befalls::Calls(|row, _| promises(row, Promise::Eigh)),
        run: |op, inputs| {
            let values_and_vectors = run(op, inputs)?;
            values_and_vectors.iter().map(last_axis_reversed).collect()
        },
        ..FAULT
    },
    Fault {
        name: "the_upper_triangle_read",
        what: "what is above the diagonal counts, and not what is below",
        befalls: Befalls::Calls(|row, _| promises(row, Promise::Eigh)),
        run: |op, inputs| {
            let tensors: Result<Vec<Tensor>> = inputs
                .iter()
                .map(|input| matrices_transposed(&input.tensor))
                .collect();
            let inputs: Vec<Input> = tensors?.into_iter().map(Input::plain).collect();
            run(op, &inputs)
        },
        ..FAULT
    },
    Fault {
        name: "vectors_in_rows",
        what: "the eigenvectors are the rows of what should have them in its columns",
        befalls: Befalls::Calls(|row, _| promises(row, Promise::Eigh)),
        run: |op, inputs| {
            let mut results = run(op, inputs)?;
            if let Some(v) = results.get_mut(1) {
                *v = matrices_transposed(v)?;
            }
            Ok(results)
        },
        ..FAULT
    },
    Fault {
        name: "v_for_its_transpose",
        what: "the third result is V",
        befalls: Befalls::Calls(|row, _| promises(row, Promise::Svd)),
        run: |op, inputs| {
            let mut results = run(op, inputs)?;
            if let Some(v) = results.get_mut(2)
                && let Some(&[m, n]) = v.shape().last_chunk::<2>()
                && m == n
            {
                *v = matrices_transposed(v)?;
            }
            Ok(results)
        },
        ..FAULT
    },
    Fault {
        name: "singular_values_keep_a_sign",
        what: "U's columns are turned, and S instead of V",
        befalls: Befalls::Calls(|row, _| promises(row, Promise::Svd)),
        run: |op, inputs| {
            let mut results = run(op, inputs)?;
            for result in &mut results[..2] {
                *result = floats(result, |f, x| x ^ f.sign())?;
            }
            Ok(results)
        },
        ..FAULT
    },
    Fault {
        name: "no_vector_beyond_the_rank",
        what: "U is A·V over S, and 0 where that divides by 0, as Nx's own is",
        befalls: Befalls::Calls(|row, _| promises(row, Promise::Svd)),
        run: no_vector_beyond_the_rank,
        ..FAULT
    },
];

fn promises(row: &Row, this: Promise) -> bool {
    matches!(row.judged, Judged::Promise { promise, .. } if promise == this)
}

/// The columns of U whose singular value is hardly more than 0 are 0.
fn no_vector_beyond_the_rank(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let mut results = run(op, inputs)?;
    let &[m, columns] = results[0].shape().last_chunk::<2>().unwrap_or(&[1, 1]);
    let k = results[1].shape().last().copied().unwrap_or(1);
    let format = Format::of(results[1].dtype()).expect("factors are floats");
    let s: Vec<f64> = number::elements(&results[1])
        .map(|x| format.value(x))
        .collect();
    let is_zero = |at: usize| {
        let (batch, column) = (at / (m * columns), at % columns);
        let s = &s[batch * k..(batch + 1) * k];
        s.get(column).is_none_or(|&value| value <= 1e-5 * s[0])
    };
    let elements = number::elements(&results[0]).enumerate();
    let kept = elements.map(|(at, x)| if is_zero(at) { 0 } else { x });
    results[0] = rebuild(results[0].ty(), kept.collect())?;
    Ok(results)
}

/// Of a square Q the last column, and the last row of R.
fn last_column_turned(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let results = run(op, inputs)?;
    let Some(&[m, k]) = results[0].shape().last_chunk::<2>() else {
        return Ok(results);
    };
    if m != k {
        return Ok(results);
    }
    let turned = |tensor: &Tensor, is_last: &dyn Fn(usize) -> bool| {
        let sign = Format::of(tensor.dtype()).map_or(0, Format::sign);
        let elements = number::elements(tensor).enumerate();
        let turn = |(at, x)| if is_last(at) { x ^ sign } else { x };
        rebuild(tensor.ty(), elements.map(turn).collect())
    };
    let n = results[1].shape().last().copied().unwrap_or(1);
    Ok(vec![
        turned(&results[0], &|at| at % m == m - 1)?,
        turned(&results[1], &|at| at / n % m == m - 1)?,
    ])
}

fn last_axis_reversed(tensor: &Tensor) -> Result<Tensor> {
    let n = tensor.shape().last().copied().unwrap_or(1).max(1);
    let elements: Vec<u64> = number::elements(tensor).collect();
    let reversed = elements.chunks(n).flat_map(|row| row.iter().rev().copied());
    rebuild(tensor.ty(), reversed.collect())
}

fn matrices_transposed(tensor: &Tensor) -> Result<Tensor> {
    let rank = tensor.shape().rank();
    let mut axes: Vec<usize> = (0..rank).collect();
    if let Some([m, n]) = axes.last_chunk_mut::<2>() {
        std::mem::swap(m, n);
    }
    let transpose = Op::Transpose(Transpose { axes: axes.into() });
    Ok(run(&transpose, &[Input::plain(tensor.clone())])?.remove(0))
}
