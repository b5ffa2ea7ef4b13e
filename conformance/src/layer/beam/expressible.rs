//! Which calls can be said in Nx.

use emily_spec::{
    Axes, Broadcast, Clip, Concatenate, Constant, DType, Dot, ErrorKind, Eye, Iota, Op, Pad,
    Reduction, Reshape, Role, Scalar, Select, Stack, TensorType, Typed,
};

use crate::layer::Question;

/// True when Nx's functions can be called so that they mean this.
///
/// Nx has no tensors without elements, infers the result's type of most functions, and takes a fixed
/// number of operands. Which types a function takes is its own: where the contract refuses one, Nx
/// may well have an answer (the rounding of an integer is that integer).
pub(super) fn in_nx(question: &Question<'_>) -> bool {
    let Question { op, types, .. } = *question;
    let fits = op.row().arity.takes(types.len());
    let refused = op.infer(types).err().map(|error| error.kind);
    fits && refused != Some(ErrorKind::Dtype)
        && types.iter().all(|ty| !ty.shape.contains(&0))
        && attributes_are(op, types)
}

fn attributes_are(op: &Op, inputs: &[TensorType]) -> bool {
    match op {
        Op::Iota(Iota { shape, .. })
        | Op::Eye(Eye { shape, .. })
        | Op::Reshape(Reshape { shape })
        | Op::Broadcast(Broadcast { shape, .. }) => !shape.contains(&0),
        // Nx casts no complex number to what is not one.
        Op::Constant(Constant {
            shape,
            dtype,
            value,
        }) => {
            let is_complex = matches!(value, Scalar::Complex(..));
            !shape.contains(&0) && (dtype.is_complex() || !is_complex)
        }
        // Starts are one per axis, and Nx takes some number of them for a static one.
        Op::DynamicSlice(_) => inputs.len() == 1 + inputs[0].shape.rank() && inputs.len() > 1,
        Op::DynamicPutSlice(_) => inputs.len() == 2 + inputs[0].shape.rank() && inputs.len() > 2,
        // Without an axis there is none that Nx would keep.
        Op::ArgReduce(_, attrs) => attrs.axis.is_some() || !attrs.keep_axis,
        // Nx counts no axis of a scalar, not even the first.
        Op::Argsort(_) | Op::Sort(_) => inputs[0].shape.rank() > 0,
        // Over no axes, as over all of a scalar's, Nx casts the tensor, whatever the backend.
        Op::Quantifier(_, Axes { axes, .. }) => match axes {
            Some(axes) => !axes.is_empty(),
            None => inputs[0].shape.rank() > 0,
        },
        // An axis without elements is no axis in Nx, which does not look.
        Op::Pad(Pad { dtype, .. }) => {
            let results = op.infer(inputs).unwrap_or_default();
            let filled = results.iter().all(|result| !result.shape.contains(&0));
            filled && dtype.is_none_or(|asked| infers(op, inputs, asked))
        }
        Op::Arithmetic(_, Typed { dtype })
        | Op::Stack(Stack { dtype, .. })
        | Op::Concatenate(Concatenate { dtype, .. })
        | Op::Select(Select { dtype })
        | Op::Clip(Clip { dtype })
        | Op::Reduce(_, Reduction { dtype, .. })
        | Op::Dot(Dot { dtype, .. }) => dtype.is_none_or(|asked| infers(op, inputs, asked)),
        Op::Unary(_)
        | Op::AsType(_)
        | Op::Bitcast(_)
        | Op::AllClose(_)
        | Op::TopK(_)
        | Op::Compare(_)
        | Op::Transpose(_)
        | Op::Squeeze(_)
        | Op::Reverse(_)
        | Op::Slice(_)
        | Op::Gather(_)
        | Op::Take(_)
        | Op::TakeAlongAxis(_)
        | Op::PutSlice(_)
        | Op::Indexed(..)
        | Op::Conv(_)
        | Op::Fourier(..)
        | Op::Fourier2(..)
        | Op::Window(..)
        | Op::WindowScatter(..)
        | Op::Cumulative(..)
        | Op::Qr(_)
        | Op::TriangularSolve(_)
        | Op::Determinant(_)
        | Op::GatherMm(_)
        | Op::Lu(_)
        | Op::Eigh(_)
        | Op::Svd(_)
        | Op::Solve(_)
        | Op::Cholesky(_)
        | Op::Quantize(_)
        | Op::Dequantize(_)
        | Op::FpQuantize(_)
        | Op::FpDequantize(_)
        | Op::FpGatherQmm(_)
        | Op::GatherQmm(_)
        | Op::FpQuantizedMatmul(_)
        | Op::QuantizedMatmul(_)
        | Op::Softmax(_)
        | Op::Logsumexp(_)
        | Op::Norm(..)
        | Op::Rope(_) => true,
        // An equation is of the operands' axes.
        Op::Einsum(op) => inputs.iter().map(|ty| ty.shape.rank()).sum::<usize>() == op.labels.len(),
        // Which operands are there is said by their names.
        Op::ScaledDotProductAttention(op) => op.operands(inputs).is_some(),
    }
}

/// True when the op has the dtype that it asks for anyway.
fn infers(op: &Op, inputs: &[TensorType], asked: DType) -> bool {
    let row = op.row();
    let operands = inputs.iter().enumerate();
    let data = operands.filter(|(index, _)| row.role(*index) == Role::Data);
    let data: Vec<TensorType> = data.map(|(_, ty)| ty.clone()).collect();
    row.result_dtype(&data, None) == Ok(asked)
}

#[cfg(test)]
mod tests {
    use emily_spec::{Arithmetic, DType, Unary};

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
        let asked = |dtype| in_nx(&Op::Arithmetic(Arithmetic::Add, Typed { dtype }), &inputs);
        assert!(asked(None));
        assert!(asked(Some(DType::S16)));
        assert!(!asked(Some(DType::F32)));
    }

    #[test]
    fn tensors_without_elements_cannot_be_said() {
        assert!(!in_nx(
            &Unary::Exp.into(),
            &[TensorType::new(DType::F32, [0])]
        ));
        let iota = Op::Iota(Iota {
            dtype: DType::U8,
            shape: [2, 0].into(),
            axis: None,
        });
        assert!(!in_nx(&iota, &[]));
    }

    #[test]
    fn what_is_refused_for_its_type_is_nx_s_own_matter() {
        assert!(!in_nx(
            &Unary::Round.into(),
            &[TensorType::new(DType::U8, [1])]
        ));
        assert!(in_nx(
            &Unary::Round.into(),
            &[TensorType::new(DType::F32, [1])]
        ));
    }
}
