//! The reference: what every op's answer is, computed slowly and plainly.
//!
//! Operands are decoded to [`value::Wide`] (`i128`, `f64` or complex `f64`), cast to the result's
//! dtype as Nx casts, computed on without rounding, and rounded once to the result's dtype. Speed
//! is no aim beyond letting exhaustive sweeps run.
//!
//! Functions of one real number are the crate libm's, with the same bits on every platform. `exp` and what is made of
//! it, powers, `atan2`, moduli and the functions of complex numbers are the system's library's, and may differ between
//! platforms by a unit of `f64`. That is 2⁻²⁹ units of an `f32`, and of an `f64` result one of the units that its row
//! allows to a library.
//!
//! **Architecture invariant:** this crate knows no MLX and never depends on the engine, which it
//! judges; it shares with it the contract in emily-spec and nothing else. `ops/` has one file per
//! family, named as in the engine, so that the two open side by side.
#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

mod array;
mod eval;
mod format;
pub mod grad;
mod magnitude;
mod ops;
mod program;
#[cfg(test)]
mod testing;
pub mod value;

use emily_spec::{Error, ErrorKind, Op, Result, Tensor, TensorType};

use eval::{Precision, Types, WideAnswer, eval_wide};
pub use magnitude::{Magnitude, Of};
pub use program::run_program;

/// The most elements a result may have: 2 GiB of wide values.
const MAX_ELEMENTS: usize = 1 << 26;

/// A result, and how large the terms were that it was added up from.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The result, rounded once.
    pub tensor: Tensor,
    /// What `Tolerance::Accum` is relative to. `None` where no such tolerance applies: integers, and
    /// ops that do not accumulate.
    pub magnitude: Option<Magnitude>,
}

/// Runs the op on these operands.
///
/// # Errors
/// Those of [`Op::infer`]; [`ErrorKind::Index`] for an index out of range;
/// [`ErrorKind::Numeric`] for integers whose values have no answer, such as a zero divisor;
/// [`ErrorKind::Argument`] for values that the op does not take, such as a negative shift;
/// [`ErrorKind::Memory`] for a result of more than 2²⁶ elements, too many for a reference.
pub fn run(op: &Op, inputs: &[Tensor]) -> Result<Vec<Answer>> {
    let types: Vec<_> = inputs.iter().map(|input| input.ty().clone()).collect();
    let results = op.infer(&types)?;
    let types = Types {
        inputs: &types,
        results: &results,
    };
    compute(op, inputs, types).map_err(|err| err.at(op, types.inputs))
}

fn compute(op: &Op, inputs: &[Tensor], types: Types) -> Result<Vec<Answer>> {
    check_size(types.results)?;
    let inputs: Vec<_> = inputs.iter().map(array::decode).collect::<Result<_>>()?;
    let answers = eval_wide(op, &inputs, types, Precision::Rounded)?;
    answers
        .into_iter()
        .zip(types.results)
        .map(|(answer, ty)| round(answer, ty))
        .collect()
}

/// Rounds to the result's dtype. A shape other than the inferred one is a fault of the kernel's.
fn round(answer: WideAnswer, ty: &TensorType) -> Result<Answer> {
    let WideAnswer { values, magnitude } = answer;
    if values.shape() != ty.shape.dims() {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("the oracle computed {:?} for {ty}", values.shape()),
        ));
    }
    Ok(Answer {
        tensor: array::encode(&values, ty.dtype)?,
        magnitude,
    })
}

fn check_size(results: &[TensorType]) -> Result<()> {
    for ty in results {
        if ty.shape.size()? > MAX_ELEMENTS {
            return Err(Error::new(
                ErrorKind::Memory,
                format!("{ty} is too large for the oracle, which stops at {MAX_ELEMENTS} elements"),
            ));
        }
    }
    Ok(())
}
