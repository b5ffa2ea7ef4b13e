//! Which calls can be said in Nx.

use emily_spec::{Arity, ErrorKind, Op, Row, TensorType};
use serde_json::Value;

use crate::layer::Question;

/// True when Nx's functions can be called so that they mean this.
///
/// Nx has no tensors without elements, infers the result's type of most functions, and takes a fixed
/// number of operands. Which types a function takes is its own: where the contract refuses one, Nx
/// may well have an answer (the rounding of an integer is that integer).
pub(super) fn in_nx(question: &Question<'_>) -> bool {
    let Question { op, types, .. } = *question;
    let fits = match Row::of(op).arity {
        Arity::Exactly(n) => types.len() == n,
        Arity::AtLeast(n) => types.len() >= n,
    };
    let refused = op.infer(types).err().map(|error| error.kind);
    fits && refused != Some(ErrorKind::Dtype)
        && types.iter().all(|ty| !ty.shape.contains(&0))
        && attributes_are(op, types)
}

fn attributes_are(op: &Op, inputs: &[TensorType]) -> bool {
    match op {
        Op::Iota { shape, .. } | Op::Broadcast { shape, .. } => !shape.contains(&0),
        // Starts are a list or operands, never both, and one per axis.
        Op::Slice { starts, .. } => match starts {
            Some(_) => inputs.len() == 1,
            None => inputs.len() == 1 + inputs[0].shape.rank(),
        },
        // Without an axis there is none that Nx would keep.
        Op::Argmax {
            axis, keep_axis, ..
        } => axis.is_some() || !keep_axis,
        // Nx counts no axis of a scalar, not even the first.
        Op::Argsort { .. } => inputs[0].shape.rank() > 0,
        Op::AsType { .. } => true,
        Op::Add { .. }
        | Op::Divide { .. }
        | Op::Remainder { .. }
        | Op::Pow { .. }
        | Op::Round
        | Op::Exp
        | Op::Erfc
        | Op::Equal
        | Op::Transpose { .. }
        | Op::Concatenate { .. }
        | Op::Select { .. }
        | Op::Sum { .. }
        | Op::Dot { .. }
        | Op::Gather { .. }
        | Op::Qr { .. } => has_inferred_dtype(op, inputs),
    }
}

/// True when the op asks for no dtype, or for the one that it has anyway.
fn has_inferred_dtype(op: &Op, inputs: &[TensorType]) -> bool {
    let Some(plain) = without_dtype(op) else {
        return true;
    };
    match (op.infer(inputs), plain.infer(inputs)) {
        (Ok(asked), Ok(inferred)) => asked == inferred,
        (Err(_), Err(_)) => true,
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

/// The op as it is without the `dtype` it asks for; `None` where it asks for none.
fn without_dtype(op: &Op) -> Option<Op> {
    let mut call = serde_json::to_value(op).ok()?;
    let dtype = call.get_mut("attrs")?.get_mut("dtype")?;
    if dtype.take() == Value::Null {
        return None;
    }
    serde_json::from_value(call).ok()
}

#[cfg(test)]
mod tests {
    use emily_spec::DType;

    use super::*;

    fn in_nx(op: &Op, types: &[TensorType]) -> bool {
        super::in_nx(&Question {
            op,
            types,
            generated: false,
            inputs: None,
        })
    }

    #[test]
    fn a_result_type_that_nx_would_not_infer_cannot_be_said() {
        let inputs = [DType::U8, DType::S8].map(|dtype| TensorType::new(dtype, [2]));
        let asked = |dtype| in_nx(&Op::Add { dtype }, &inputs);
        assert!(asked(None));
        assert!(asked(Some(DType::S16)));
        assert!(!asked(Some(DType::F32)));
    }

    #[test]
    fn tensors_without_elements_cannot_be_said() {
        assert!(!in_nx(&Op::Exp, &[TensorType::new(DType::F32, [0])]));
        let iota = Op::Iota {
            dtype: DType::U8,
            shape: [2, 0].into(),
            axis: None,
        };
        assert!(!in_nx(&iota, &[]));
    }

    #[test]
    fn what_is_refused_for_its_type_is_nx_s_own_matter() {
        assert!(!in_nx(&Op::Round, &[TensorType::new(DType::U8, [1])]));
        assert!(in_nx(&Op::Round, &[TensorType::new(DType::F32, [1])]));
    }
}
