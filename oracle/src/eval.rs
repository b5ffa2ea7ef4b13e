//! From an op to its kernel, in wide values.

use emily_spec::{Class, DType, Op, Result, TensorType};

use crate::array::WideArray;
use crate::ops::{
    binary, close, conv, creation, cumulative, fast, fft, index, linalg, quantized, reduce, shape,
    sort, unary, window,
};
use crate::value::Wide;

/// A result before it is rounded.
#[derive(Debug)]
pub(crate) struct WideAnswer {
    pub(crate) values: WideArray,
    /// As in [`crate::Answer`].
    pub(crate) magnitude: Option<crate::Magnitude>,
}

impl From<WideArray> for WideAnswer {
    fn from(values: WideArray) -> WideAnswer {
        WideAnswer {
            values,
            magnitude: None,
        }
    }
}

/// Whether operands lose what the result's dtype cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// As an answer: operands are cast to the result's dtype.
    Rounded,
    /// As a smooth function: operands become the kind of number the result is, and floats keep
    /// every bit. Finite differences need it.
    Wide,
}

/// A result's type, and how operands are cast to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) ty: &'a TensorType,
    precision: Precision,
}

impl Target<'_> {
    pub(crate) fn dtype(self) -> DType {
        self.ty.dtype
    }

    pub(crate) fn class(self) -> Class {
        self.ty.dtype.class()
    }

    /// The operand's element as the kernel computes with it.
    pub(crate) fn cast(self, value: Wide) -> Wide {
        self.cast_to(self.dtype(), value)
    }

    /// The same where the kernel computes in another dtype than the result's.
    pub(crate) fn cast_to(self, dtype: DType, value: Wide) -> Wide {
        match (self.precision, dtype.class()) {
            (Precision::Wide, Class::Float) => Wide::Float(value.float()),
            (Precision::Wide, Class::Complex) => Wide::Complex(value.complex()),
            (Precision::Wide, Class::Unsigned | Class::Signed) | (Precision::Rounded, _) => {
                value.cast(dtype)
            }
        }
    }
}

/// The types of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Types<'a> {
    pub(crate) inputs: &'a [TensorType],
    /// What inference gave.
    pub(crate) results: &'a [TensorType],
}

/// Computes the op on operands of these types.
pub(crate) fn eval_wide(
    op: &Op,
    inputs: &[WideArray],
    types: Types,
    precision: Precision,
) -> Result<Vec<WideAnswer>> {
    let target = Target {
        ty: &types.results[0],
        precision,
    };
    let one = |answer: WideAnswer| Ok(vec![answer]);
    match op {
        Op::Unary(op) => one(unary::unary(*op, &inputs[0], target)),
        Op::AsType(_) => one(unary::as_type(&inputs[0], target).into()),
        Op::Bitcast(_) => one(unary::bitcast(&inputs[0], types.inputs[0].dtype, target).into()),
        Op::Arithmetic(op, _) => one(binary::arithmetic(*op, inputs, target)?),
        Op::Compare(op) => one(binary::compare(*op, inputs, target)?.into()),
        Op::Iota(op) => one(creation::iota(op, target)?.into()),
        Op::Eye(_) => one(creation::eye(target).into()),
        Op::Constant(op) => one(creation::constant(op, target).into()),
        Op::Transpose(op) => one(shape::transpose(op, &inputs[0]).into()),
        Op::Reshape(_) | Op::Squeeze(_) => one(shape::reshape(&inputs[0], target)?.into()),
        Op::Reverse(op) => one(shape::reverse(op, &inputs[0]).into()),
        Op::Pad(op) => one(shape::pad(op, inputs, target).into()),
        Op::Broadcast(op) => one(shape::broadcast(op, &inputs[0], target)?.into()),
        Op::Concatenate(op) => one(shape::concatenate(op, inputs, target)?.into()),
        Op::Stack(op) => one(shape::stack(op, inputs, target)?.into()),
        Op::Select(_) => one(shape::select(inputs, target)?.into()),
        Op::Clip(_) => one(shape::clip(inputs, target).into()),
        Op::Slice(op) => one(index::slice(op, &inputs[0]).into()),
        Op::DynamicSlice(op) => one(index::dynamic_slice(op, inputs).into()),
        Op::Gather(op) => one(index::gather(op, inputs, target)?.into()),
        Op::Take(op) => one(index::take(op, inputs, target)?.into()),
        Op::TakeAlongAxis(op) => one(index::take_along_axis(op, inputs)?.into()),
        Op::PutSlice(op) => one(index::put_slice(op, inputs, target).into()),
        Op::DynamicPutSlice(_) => one(index::dynamic_put_slice(inputs, target).into()),
        Op::Indexed(op, attrs) => one(index::indexed(*op, attrs, inputs, target)?),
        Op::Reduce(op, attrs) => one(reduce::reduce(*op, attrs, &inputs[0], target)?),
        Op::Quantifier(op, attrs) => one(reduce::quantify(*op, attrs, &inputs[0], target)?.into()),
        Op::AllClose(op) => one(close::all_close(op, inputs, types.inputs)?.into()),
        Op::ArgReduce(op, attrs) => one(reduce::arg_reduce(*op, attrs, &inputs[0], target)?.into()),
        Op::Argsort(op) => one(sort::argsort(op, &inputs[0]).into()),
        Op::Sort(op) => one(sort::sort(op, &inputs[0]).into()),
        Op::TopK(op) => Ok(sort::top_k(op, &inputs[0]).map(WideAnswer::from).into()),
        Op::WindowScatter(op, attrs) => one(window::scatter(*op, attrs, inputs, target)?),
        Op::Window(op, attrs) => one(window::window(*op, attrs, &inputs[0], target)?),
        Op::Cumulative(op, attrs) => one(cumulative::cumulative(*op, attrs, &inputs[0], target)?),
        Op::Dot(op) => one(linalg::dot(op, inputs, target)?),
        Op::Qr(_) => linalg::qr(&inputs[0], types.results, target),
        Op::Conv(op) => one(conv::conv(op, inputs, target)?),
        Op::Fourier(op, attrs) => one(fft::fourier(*op, attrs, &inputs[0], target)?),
        Op::Fourier2(op, attrs) => one(fft::fourier2(*op, attrs, &inputs[0], target)?),
        Op::TriangularSolve(op) => one(linalg::triangular_solve(op, inputs, target)?),
        Op::GatherMm(_) => one(linalg::gather_mm(inputs, target)?),
        Op::Determinant(_) => one(linalg::determinant(&inputs[0], target)?),
        Op::Lu(_) => linalg::lu(&inputs[0], types.results, target),
        Op::Eigh(_) => linalg::eigh(&inputs[0], types.results, target),
        Op::Svd(_) => linalg::svd(&inputs[0], types.results, target),
        Op::Solve(_) => one(linalg::solve(inputs, target)?),
        Op::Cholesky(_) => linalg::cholesky(&inputs[0], types.results, target),
        Op::Quantize(op) => quantized::quantize(op, &inputs[0], types.results),
        Op::FpQuantize(op) => quantized::fp_quantize(op, &inputs[0], types.results),
        Op::GatherQmm(op) => one(quantized::gather_qmm(op, inputs, target)?),
        Op::FpGatherQmm(op) => one(quantized::fp_gather_qmm(op, inputs, target)?),
        Op::FpDequantize(op) => one(quantized::fp_dequantize(op, inputs, target)?.into()),
        Op::FpQuantizedMatmul(op) => one(quantized::fp_quantized_matmul(op, inputs, target)?),
        Op::Dequantize(op) => one(quantized::dequantize(op, inputs, target)?),
        Op::QuantizedMatmul(op) => one(quantized::quantized_matmul(op, inputs, target)?),
        Op::Softmax(op) => one(fast::softmax(op, &inputs[0], target)?),
        Op::Logsumexp(op) => one(fast::logsumexp(op, &inputs[0], target)?),
        Op::Norm(op, attrs) => one(fast::norm(*op, attrs, inputs, target)?),
        Op::ScaledDotProductAttention(op) => one(fast::attention(op, inputs, target)?),
        Op::Rope(op) => one(fast::rope(op, inputs, target)?),
        Op::Einsum(op) => one(fast::einsum(op, inputs, target)?),
    }
}
