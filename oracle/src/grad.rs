//! Gradients by finite differences, to judge computed gradients by.

use std::iter;

use emily_spec::{Error, ErrorKind, Op, Result, Role, Tensor, TensorType};
use ndarray::IxDyn;

use crate::Of;
use crate::array::{self, WideArray};
use crate::eval::{Precision, Types, eval_wide};
use crate::value::Wide;

/// A slope found by differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The derivative of the weighted sum of all results' elements, real parts.
    pub value: f64,
    /// The sum of the moduli of each result's derivative: what rounding errors of the sum are relative
    /// to.
    pub magnitude: f64,
    /// How far the differences may be from the derivative.
    pub error: f64,
}

/// The gradient of the sum of all results' elements, real parts, each times its weight, by each element
/// of the operands in `wrt`: one list per entry of `wrt`, row-major. There is a tensor of weights for
/// each result.
///
/// The op is evaluated in `f64` throughout, without rounding to the result's dtype. Central
/// differences over ever smaller steps are extrapolated to none (Ridders), and of all extrapolations
/// the one that agrees best with those of less order is taken: a smooth op's slopes are good to about
/// 10⁻¹³ of its results. Where an op jumps or has a kink the number means nothing.
///
/// # Errors
/// Those of [`crate::run`]; [`ErrorKind::Argument`] for an operand that is not there or is a
/// predicate, [`ErrorKind::Dtype`] for one that is not real floating: indices, integers, complex.
pub fn finite_difference(
    op: &Op,
    inputs: &[Tensor],
    wrt: &[usize],
    weights: &[Tensor],
) -> Result<Vec<Vec<Slope>>> {
    let types: Vec<_> = inputs.iter().map(|input| input.ty().clone()).collect();
    let results = op.infer(&types)?;
    let weights: Vec<_> = weights.iter().map(array::decode).collect::<Result<_>>()?;
    let weights: Vec<f64> = weights.iter().flatten().map(|x| x.float()).collect();
    let types = Types {
        inputs: &types,
        results: &results,
    };
    differences(op, inputs, types, wrt, &weights).map_err(|err| err.at(op, types.inputs))
}

/// The operands of these types by which the op can be differentiated.
pub fn operands(op: &Op, types: &[TensorType]) -> Vec<usize> {
    let all = 0..types.len();
    all.filter(|&operand| check_operand(op, types, operand).is_ok())
        .collect()
}

fn differences(
    op: &Op,
    inputs: &[Tensor],
    types: Types,
    wrt: &[usize],
    weights: &[f64],
) -> Result<Vec<Vec<Slope>>> {
    crate::check_size(types.results)?;
    for &operand in wrt {
        check_operand(op, types.inputs, operand)?;
    }
    let mut inputs: Vec<_> = inputs.iter().map(array::decode).collect::<Result<_>>()?;
    let mut gradients = Vec::with_capacity(wrt.len());
    for &operand in wrt {
        let gradient = ndarray::indices(inputs[operand].raw_dim())
            .into_iter()
            .map(|index| derivative(op, &mut inputs, types, (operand, &index), weights))
            .collect::<Result<_>>()?;
        gradients.push(gradient);
    }
    Ok(gradients)
}

fn check_operand(op: &Op, types: &[TensorType], operand: usize) -> Result<()> {
    let Some(ty) = types.get(operand) else {
        return Err(Error::new(
            ErrorKind::Argument,
            format!("no operand {operand} to differentiate by"),
        ));
    };
    match op.row().role(operand) {
        Role::Predicate => Err(Error::new(
            ErrorKind::Argument,
            "a predicate is not differentiated",
        )),
        Role::Data if ty.dtype.is_float() => Ok(()),
        Role::Data | Role::Index | Role::Codes => Err(Error::new(
            ErrorKind::Dtype,
            format!("operand {operand} is {ty}; only real floats are differentiated"),
        )),
    }
}

/// The largest step, relative to the element where that is large, and how often it is halved. In the
/// first few a smooth function's differences converge before rounding shows, the last few keep near
/// enough to the element not to see a kink beside it.
const STEP: f64 = 0.125;
const HALVINGS: usize = 10;

/// The derivative by one element, which is put back afterwards.
fn derivative(
    op: &Op,
    inputs: &mut [WideArray],
    types: Types,
    (operand, index): (usize, &IxDyn),
    weights: &[f64],
) -> Result<Slope> {
    let x = inputs[operand][index].float();
    let mut elements_at = |x: f64| {
        inputs[operand][index] = Wide::Float(x);
        elements(op, inputs, types, weights)
    };
    let mut best: Option<Slope> = None;
    let mut step = STEP * x.abs().max(1.0);
    // Neville's tableau: the entry of order n cancels the error's powers of the step up to 2n.
    let mut above: Vec<f64> = Vec::new();
    for _ in 0..HALVINGS {
        let (low, high) = (x - step, x + step);
        let level = level(&elements_at(low)?, &elements_at(high)?, high - low);
        let mut row = vec![level.value];
        for (order, &upper) in above.iter().enumerate() {
            let lower = row[order];
            let factor = 4f64.powi(order as i32 + 1);
            let value = lower + (lower - upper) / (factor - 1.0);
            row.push(value);
            let truncation = (value - lower).abs().max((value - upper).abs());
            let slope = Slope {
                value,
                error: truncation + level.error,
                ..level
            };
            if best.is_none_or(|best| slope.error < best.error) {
                best = Some(slope);
            }
        }
        above = row;
        step /= 2.0;
    }
    inputs[operand][index] = Wide::Float(x);
    best.ok_or_else(|| Error::new(ErrorKind::Internal, "no slope was found"))
}

/// The slope between two evaluations, element by element, so that those that stay cancel, and what
/// their errors make of it: those of each that moves, over the distance.
fn level(low: &[Element], high: &[Element], distance: f64) -> Slope {
    let mut slope = Slope {
        value: 0.0,
        magnitude: 0.0,
        error: 0.0,
    };
    let pairs = low.iter().zip(high);
    for (low, high) in pairs.filter(|(low, high)| low.value != high.value) {
        let by = (high.value - low.value) / distance;
        slope.value += by;
        slope.magnitude += by.abs();
        // Two evaluations, and an extrapolation that doubles their errors at most.
        slope.error += 4.0 * low.error.max(high.error) / distance;
    }
    slope
}

/// A result's element times its weight.
struct Element {
    value: f64,
    /// By how much it may be off.
    error: f64,
}

/// All results' elements, real parts, times their weights. Each is within an ulp, or, of a function that
/// rounds on its way, within its magnitude's.
fn elements(op: &Op, inputs: &[WideArray], types: Types, weights: &[f64]) -> Result<Vec<Element>> {
    let answers = eval_wide(op, inputs, types, Precision::Wide)?;
    let elements = answers.iter().flat_map(|answer| {
        let function = answer.magnitude.as_ref().filter(|m| m.of == Of::Function);
        let sizes = function.map_or(&[][..], |magnitude| &magnitude.worst);
        let sizes = sizes.iter().copied().chain(iter::repeat(0.0));
        answer.values.iter().map(|x| x.float()).zip(sizes)
    });
    let weighted = elements.zip(weights).map(|((x, size), weight)| Element {
        value: x * weight,
        error: f64::EPSILON * (x * weight).abs().max(size * weight.abs()),
    });
    Ok(weighted.collect())
}

#[cfg(test)]
mod tests {
    use emily_spec::{Arithmetic, AsType, DType, Dot, Gather, Select, Typed, Unary};

    use super::*;
    use crate::testing::tensor;

    #[track_caller]
    fn check(op: &Op, inputs: &[&str], wrt: &[usize], want: &[&[f64]]) {
        let inputs: Vec<_> = inputs.iter().map(|text| tensor(text)).collect();
        let got = finite_difference(op, &inputs, wrt, &ones(op, &inputs)).unwrap();
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(*want) {
                assert!((got.value - want).abs() <= got.error, "{got:?} {want}");
                assert!(got.error <= 1e-11 * got.magnitude.max(0.1), "{got:?}");
            }
        }
    }

    /// Weights that change nothing.
    fn ones(op: &Op, inputs: &[Tensor]) -> Vec<Tensor> {
        let types: Vec<_> = inputs.iter().map(|input| input.ty().clone()).collect();
        let results = op.infer(&types).unwrap_or_default().into_iter();
        let one = |ty: TensorType| {
            let ones = vec![Wide::from(1.0); ty.shape.size().unwrap()];
            let bytes = crate::value::encode(DType::F32, &ones);
            Tensor::new(TensorType::new(DType::F32, ty.shape), bytes).unwrap()
        };
        results.map(one).collect()
    }

    #[track_caller]
    fn refuses(op: &Op, inputs: &[&str], wrt: usize, kind: ErrorKind) {
        let inputs: Vec<_> = inputs.iter().map(|text| tensor(text)).collect();
        let err = finite_difference(op, &inputs, &[wrt], &ones(op, &inputs)).unwrap_err();
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
    fn a_magnitude_is_of_all_that_is_added() {
        // d/db Σ aᵢ/b at b = 2 is −Σaᵢ/4: of terms ½ and −½.
        let op = Op::Arithmetic(Arithmetic::Divide, Typed { dtype: None });
        let inputs = ["f32[2] 2 -2", "f32[] 2"].map(tensor);
        let slope = finite_difference(&op, &inputs, &[1], &ones(&op, &inputs)).unwrap()[0][0];
        assert!(slope.value.abs() < 1e-12, "{slope:?}");
        assert!((slope.magnitude - 1.0).abs() < 1e-2, "{slope:?}");
    }

    #[test]
    fn operands_that_are_not_real_floats_are_left_out() {
        let types = |texts: &[&str]| -> Vec<TensorType> {
            texts.iter().map(|text| tensor(text).ty().clone()).collect()
        };
        let select = Op::Select(Select { dtype: None });
        assert_eq!(
            operands(&select, &types(&["f32[] 1", "f32[] 1", "s32[] 2"])),
            [1]
        );
        let add = Op::Arithmetic(Arithmetic::Add, Typed { dtype: None });
        assert_eq!(operands(&add, &types(&["f16[] 1", "f64[] 1"])), [0, 1]);
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
    fn results_count_by_their_weights() {
        let inputs = ["f32[2] 0 0"].map(tensor);
        let weights = ["f32[2] 3 -0.5"].map(tensor);
        let exp = Op::Unary(Unary::Exp);
        let slopes = &finite_difference(&exp, &inputs, &[0], &weights).unwrap()[0];
        let values: Vec<f64> = slopes.iter().map(|slope| slope.value).collect();
        assert!((values[0] - 3.0).abs() < 1e-11 && (values[1] + 0.5).abs() < 1e-11);
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
