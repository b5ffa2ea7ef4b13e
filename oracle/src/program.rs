//! Programs by the reference: each node's op in turn, each branch and each turn of a loop as it is written.

use std::sync::Arc;

use emily_spec::{DType, Error, ErrorKind, Id, Program, Region, Result, Step, Tensor};

/// What a value is, or why it is not.
type Known = Result<Tensor>;

/// The program's results on these arguments. An error is of the results that need it alone, as on the engine.
///
/// # Errors
/// [`ErrorKind::Argument`] for other arguments than the parameters are.
pub fn run_program(program: &Program, inputs: &[Tensor]) -> Result<Vec<Result<Tensor>>> {
    if !inputs.iter().map(Tensor::ty).eq(program.parameters()) {
        let text = "the arguments are not of the parameters' types";
        return Err(Error::new(ErrorKind::Argument, text));
    }
    let constants = program.constants().iter().map(Arc::as_ref);
    let leaves = inputs.iter().chain(constants);
    let mut values: Vec<Known> = leaves.cloned().map(Ok).collect();
    values.resize_with(program.types().len(), unknown);
    run_region(program.body(), &mut values);
    Ok(values_of(&program.body().results, &values))
}

fn unknown() -> Known {
    let text = "a value was used before it was computed";
    Err(Error::new(ErrorKind::Internal, text))
}

fn values_of(ids: &[Id], values: &[Known]) -> Vec<Known> {
    ids.iter().map(|id| values[id.index()].clone()).collect()
}

fn run_region(region: &Region, values: &mut [Known]) {
    for node in &region.nodes {
        let results = run_step(&node.step, values).unwrap_or_else(|error| {
            let failed = node.results.iter().map(|_| Err(error.clone()));
            failed.collect()
        });
        set(&node.results, results, values);
    }
}

fn set(ids: &[Id], results: Vec<Known>, values: &mut [Known]) {
    for (id, result) in ids.iter().zip(results) {
        values[id.index()] = result;
    }
}

fn run_step(step: &Step, values: &mut [Known]) -> Result<Vec<Known>> {
    match step {
        Step::Op { op, operands } => {
            let operands: Vec<Tensor> = values_of(operands, values)
                .into_iter()
                .collect::<Result<_>>()?;
            let answers = crate::run(op, &operands)?.into_iter();
            Ok(answers.map(|answer| Ok(answer.tensor)).collect())
        }
        Step::If {
            predicate,
            then,
            otherwise,
        } => {
            let region = match is_true(&values[predicate.index()])? {
                true => then,
                false => otherwise,
            };
            run_region(region, values);
            Ok(values_of(&region.results, values))
        }
        Step::While {
            initial,
            state,
            condition,
            body,
        } => {
            set(state, values_of(initial, values), values);
            loop {
                run_region(condition, values);
                if !is_true(&values[condition.results[0].index()])? {
                    return Ok(values_of(state, values));
                }
                run_region(body, values);
                set(state, values_of(&body.results, values), values);
            }
        }
    }
}

/// Whether a scalar is anything but zero; both zeros are.
fn is_true(scalar: &Known) -> Result<bool> {
    let scalar = scalar.as_ref().map_err(Clone::clone)?;
    let bytes = scalar.bytes();
    let sign = match scalar.dtype() {
        DType::F16 | DType::Bf16 | DType::F32 | DType::F64 => bytes.len(),
        DType::C64 => bytes.len() / 2,
        DType::U8
        | DType::U16
        | DType::U32
        | DType::U64
        | DType::S8
        | DType::S16
        | DType::S32
        | DType::S64 => return Ok(bytes.iter().any(|&byte| byte != 0)),
    };
    // The last byte of each part has its sign.
    let nonzero = |part: &[u8]| {
        let last = part.len() - 1;
        part[last] & 0x7f != 0 || part[..last].iter().any(|&byte| byte != 0)
    };
    Ok(bytes.chunks(sign).any(nonzero))
}

#[cfg(test)]
mod tests {
    use emily_spec::TensorType;

    use super::*;

    fn scalar(dtype: DType, bytes: &[u8]) -> Tensor {
        Tensor::new(TensorType::new(dtype, []), bytes.to_vec()).expect("a scalar")
    }

    fn f32(value: f32) -> Tensor {
        scalar(DType::F32, &value.to_le_bytes())
    }

    fn program(text: &str) -> Program {
        serde_json::from_str(text).expect(text)
    }

    #[test]
    fn zeros_are_false_and_all_else_is_true() {
        let truth = |tensor| is_true(&Ok(tensor)).expect("a value");
        for (value, expected) in [(0.0, false), (-0.0, false), (1e-45, true), (f32::NAN, true)] {
            assert_eq!(truth(f32(value)), expected, "{value}");
        }
        assert!(!truth(scalar(DType::C64, &[0, 0, 0, 0x80, 0, 0, 0, 0x80])));
        assert!(truth(scalar(DType::C64, &[0, 0, 0, 0, 0, 0, 0x80, 0x3f])));
        assert!(truth(scalar(DType::S16, &[0, 0x80])));
        assert!(!truth(scalar(DType::F16, &[0, 0x80])));
    }

    #[test]
    fn a_loop_runs_while_its_condition_holds_and_a_branch_is_chosen() {
        let program = program(
            r#"{"parameters": [{"dtype": "f32", "shape": []}, {"dtype": "f32", "shape": []}],
                "body": {"nodes": [
                  {"results": [9], "step": {"while": {"initial": [0], "state": [2],
                    "condition": {"nodes": [
                      {"results": [3], "step": {"run": {"op": {"op": "less"}, "operands": [2, 1]}}}],
                      "results": [3]},
                    "body": {"nodes": [
                      {"results": [4], "step": {"run": {"op": {"op": "add"}, "operands": [2, 2]}}}],
                      "results": [4]}}}},
                  {"results": [10], "step": {"if": {"predicate": 0,
                    "then": {"nodes": [], "results": [9]},
                    "else": {"nodes": [], "results": [1]}}}}],
                "results": [10]}}"#,
        );
        let run = |a, b| run_program(&program, &[f32(a), f32(b)]).expect("arguments that fit");
        assert_eq!(run(3.0, 20.0), [Ok(f32(24.0))]);
        assert_eq!(run(3.0, 1.0), [Ok(f32(3.0))]);
        assert_eq!(run(-0.0, -1.0), [Ok(f32(-1.0))]);
        assert!(run_program(&program, &[f32(1.0)]).is_err());
    }

    #[test]
    fn an_error_is_of_what_needs_it() {
        let program = program(
            r#"{"parameters": [{"dtype": "s32", "shape": []}], "body": {"nodes": [
                 {"results": [1], "step": {"run": {"op": {"op": "remainder"}, "operands": [0, 0]}}}],
                "results": [1, 0]}}"#,
        );
        let zero = scalar(DType::S32, &[0; 4]);
        let results = run_program(&program, std::slice::from_ref(&zero)).expect("it fits");
        let error = results[0].as_ref().expect_err("a remainder by zero");
        assert_eq!(error.kind, ErrorKind::Numeric);
        assert_eq!(results[1], Ok(zero));
    }
}
