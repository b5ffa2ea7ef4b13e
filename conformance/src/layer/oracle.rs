//! The ndarray reference as a layer: judged by the answers that cases state.

use emily_spec::{Op, Result, Tensor};

use super::{Absent, Layer, Reference};
use crate::view::Input;

/// The reference. It knows no strides: views are nothing to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Oracle;

impl Layer for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn reference(&self) -> Reference {
        Reference::Literals
    }

    fn available(&self) -> std::result::Result<(), Absent> {
        Ok(())
    }

    fn run(&self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
        let tensors: Vec<Tensor> = inputs.iter().map(|input| input.tensor.clone()).collect();
        let answers = emily_oracle::run(op, &tensors)?;
        Ok(answers.into_iter().map(|answer| answer.tensor).collect())
    }
}
