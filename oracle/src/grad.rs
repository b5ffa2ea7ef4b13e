//! Gradients by finite differences, to judge computed gradients by.

use emily_spec::{Error, ErrorKind, Op, Result, Tensor, TensorType};
use ndarray::IxDyn;

use crate::array::{self, WideArray};
use crate::eval::{Precision, eval_wide};
use crate::value::Wide;

/// The gradient of the sum of all results' elements, real parts, by each element of the operands
/// in `wrt`: one list per entry of `wrt`, row-major.
///
/// The op is evaluated in `f64` throughout, without rounding to the result's dtype. Central
/// differences over two steps, extrapolated (Richardson), leave an error of about 10⁻¹² of the
/// results' size for a smooth op. Where an op jumps or has a kink the number means nothing.
///
/// # Errors
/// Those of [`crate::run`]; [`ErrorKind::Argument`] for an operand that is not there or is a
/// predicate, [`ErrorKind::Dtype`] for one that is not real floating: indices, integers, complex.
pub fn finite_difference(op: &Op, inputs: &[Tensor], wrt: &[usize]) -> Result<Vec<Vec<f64>>> {
    let types: Vec<_> = inputs.iter().map(|input| input.ty().clone()).collect();
    let results = op.infer(&types)?;
    differences(op, inputs, &results, wrt).map_err(|err| err.at(op, &types))
}

fn differences(
    op: &Op,
    inputs: &[Tensor],
    results: &[TensorType],
    wrt: &[usize],
) -> Result<Vec<Vec<f64>>> {
    crate::check_size(results)?;
    for &operand in wrt {
        check_operand(op, inputs, operand)?;
    }
    let mut inputs: Vec<_> = inputs.iter().map(array::decode).collect::<Result<_>>()?;
    let mut gradients = Vec::with_capacity(wrt.len());
    for &operand in wrt {
        let gradient = ndarray::indices(inputs[operand].raw_dim())
            .into_iter()
            .map(|index| derivative(op, &mut inputs, results, operand, &index))
            .collect::<Result<_>>()?;
        gradients.push(gradient);
    }
    Ok(gradients)
}

fn check_operand(op: &Op, inputs: &[Tensor], operand: usize) -> Result<()> {
    let Some(input) = inputs.get(operand) else {
        return Err(Error::new(
            ErrorKind::Argument,
            format!("no operand {operand} to differentiate by"),
        ));
    };
    if operand == 0 && matches!(op, Op::Select(_)) {
        return Err(Error::new(
            ErrorKind::Argument,
            "a predicate is not differentiated",
        ));
    }
    if !input.dtype().is_float() {
        return Err(Error::new(
            ErrorKind::Dtype,
            format!(
                "operand {operand} is {}; only real floats are differentiated",
                input.ty()
            ),
        ));
    }
    Ok(())
}

/// The derivative by one element, which is put back afterwards.
///
/// The error of the extrapolated slope is of the order of step⁴ by truncation and eps / step by
/// rounding; they balance at a step of eps^(1/5), relative to the element where it is large.
fn derivative(
    op: &Op,
    inputs: &mut [WideArray],
    results: &[TensorType],
    operand: usize,
    index: &IxDyn,
) -> Result<f64> {
    let x = inputs[operand][index].float();
    let step = f64::EPSILON.powf(0.2) * x.abs().max(1.0);
    let mut total_at = |x: f64| {
        inputs[operand][index] = Wide::Float(x);
        total(op, inputs, results)
    };
    let mut slope = |step: f64| -> Result<f64> {
        let (low, high) = (x - step, x + step);
        Ok((total_at(high)? - total_at(low)?) / (high - low))
    };
    let (coarse, fine) = (slope(step)?, slope(step / 2.0)?);
    inputs[operand][index] = Wide::Float(x);
    Ok(fine + (fine - coarse) / 3.0)
}

/// The sum of all results' elements, real parts.
fn total(op: &Op, inputs: &[WideArray], results: &[TensorType]) -> Result<f64> {
    let answers = eval_wide(op, inputs, results, Precision::Wide)?;
    let elements = answers.iter().flat_map(|answer| &answer.values);
    Ok(elements.map(|x| x.float()).sum())
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use emily_spec::{Arithmetic, AsType, DType, Dot, Gather, Select, Typed, Unary};

    use super::*;
    use crate::testing::tensor;

    #[track_caller]
    fn check(op: &Op, inputs: &[&str], wrt: &[usize], want: &[&[f64]]) {
        let inputs: Vec<_> = inputs.iter().map(|text| tensor(text)).collect();
        let got = finite_difference(op, &inputs, wrt).unwrap();
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(*want) {
                assert_relative_eq!(got, want, max_relative = 1e-10, epsilon = 1e-10);
            }
        }
    }

    #[track_caller]
    fn refuses(op: &Op, inputs: &[&str], wrt: usize, kind: ErrorKind) {
        let inputs: Vec<_> = inputs.iter().map(|text| tensor(text)).collect();
        let err = finite_difference(op, &inputs, &[wrt]).unwrap_err();
        assert_eq!(err.kind, kind, "{err}");
        assert!(err.context.is_some());
    }

    #[test]
    fn smooth_functions_have_their_derivatives() {
        let e = std::f64::consts::E;
        check(&Op::Unary(Unary::Exp), &["f32[2] 0 1"], &[0], &[&[1.0, e]]);
        // −2/√π · e^(−x²)
        let slope = -2.0 / std::f64::consts::PI.sqrt();
        check(
            &Op::Unary(Unary::Erfc),
            &["f32[2] 0 1"],
            &[0],
            &[&[slope, slope / e]],
        );
        // y·x^(y−1) and ln x · x^y
        let ln2 = std::f64::consts::LN_2;
        check(
            &Op::Arithmetic(Arithmetic::Pow, Typed { dtype: None }),
            &["f32[1] 2", "f32[1] 3"],
            &[0, 1],
            &[&[12.0], &[8.0 * ln2]],
        );
    }

    #[test]
    fn a_broadcast_operand_sums_over_its_uses() {
        check(
            &Op::Arithmetic(Arithmetic::Divide, Typed { dtype: None }),
            &["f32[2] 1 2", "f32[] 2"],
            &[1, 0],
            &[&[-0.75], &[0.5, 0.5]],
        );
    }

    #[test]
    fn small_results_are_not_rounded_away() {
        // In bf16 a step this small would not move the result at all.
        check(&Op::Unary(Unary::Exp), &["bf16[1] 0"], &[0], &[&[1.0]]);
        let cast = Op::AsType(AsType { dtype: DType::Bf16 });
        check(&cast, &["f32[1] 1"], &[0], &[&[1.0]]);
    }

    #[test]
    fn products_have_the_other_operand_as_gradient() {
        let inner = Op::Dot(Dot {
            contract_left: [0].into(),
            batch_left: None,
            contract_right: [0].into(),
            batch_right: None,
            dtype: None,
        });
        check(
            &inner,
            &["f32[2] 1 2", "f16[2] 3 4"],
            &[0, 1],
            &[&[3.0, 4.0], &[1.0, 2.0]],
        );
        // The real part of (1 + 2i)·x.
        check(&inner, &["c64[1] 1+2i", "f32[1] 3"], &[1], &[&[1.0]]);
    }

    #[test]
    fn only_taken_elements_have_a_gradient() {
        let gather = Op::Gather(Gather { axes: [0].into() });
        check(
            &gather,
            &["f32[3] 1 2 3", "u8[3,1] 2 0 2"],
            &[0],
            &[&[1.0, 0.0, 2.0]],
        );
        let select = Op::Select(Select { dtype: None });
        let inputs = ["f32[2] 0 1", "f32[2] 1 2", "f32[2] 3 4"];
        check(&select, &inputs, &[1, 2], &[&[0.0, 1.0], &[1.0, 0.0]]);
    }

    #[test]
    fn predicates_indices_and_strangers_are_refused() {
        let select = Op::Select(Select { dtype: None });
        refuses(
            &select,
            &["f32[] 1", "f32[] 1", "f32[] 2"],
            0,
            ErrorKind::Argument,
        );
        let gather = Op::Gather(Gather { axes: [0].into() });
        refuses(&gather, &["f32[1] 1", "u8[1,1] 0"], 1, ErrorKind::Dtype);
        refuses(&Op::Unary(Unary::Exp), &["c64[] 1+0i"], 0, ErrorKind::Dtype);
        refuses(&Op::Unary(Unary::Exp), &["f32[] 1"], 1, ErrorKind::Argument);
    }

    #[test]
    fn empty_operands_have_empty_gradients() {
        check(&Op::Unary(Unary::Exp), &["f32[0]"], &[0], &[&[]]);
    }
}
