//! Random calls of each op: the attributes, shapes and dtypes that make sense together.
//!
//! One file per family, named as in the oracle. Strategies shrink towards few axes, small
//! dimensions, plain views and small whole numbers.

mod binary;
mod conv;
mod creation;
mod cumulative;
mod fast;
mod fft;
mod index;
mod linalg;
mod quantized;
mod reduce;
mod shape;
mod sort;
mod unary;
mod values;
mod window;

use emily_spec::{
    Cholesky, Cumulative, DType, Determinant, Eigh, Lu, Op, OpKind, Reduce, Row, Shape, Tensor,
    TensorType, Window,
};
use proptest::prelude::*;

use super::Specimen;
use crate::number;
use crate::plan::domain;
use crate::view::{Input, View};
use values::{accumulates, element, factor, finite, tame, view};

/// Calls of the op of this row.
pub(super) fn specimens(row: &'static Row) -> BoxedStrategy<Specimen> {
    match row.kind {
        OpKind::Unary(op) => unary::calls(row, Just(op.into()).boxed()),
        OpKind::AsType => unary::as_type(row),
        OpKind::Bitcast => unary::bitcast(row),
        OpKind::Arithmetic(op) => binary::arithmetic(row, op),
        OpKind::Compare(op) => binary::compare(row, op),
        OpKind::Iota => creation::iota(),
        OpKind::Eye => creation::eye(),
        OpKind::Constant => creation::constant(),
        OpKind::Transpose => shape::transpose(row),
        OpKind::Reshape => shape::reshape(row),
        OpKind::Squeeze => shape::squeeze(row),
        OpKind::Reverse => shape::reverse(row),
        OpKind::Pad => shape::pad(row),
        OpKind::Broadcast => shape::broadcast(row),
        OpKind::Concatenate => shape::concatenate(row),
        OpKind::Stack => shape::stack(row),
        OpKind::Select => shape::choose(row),
        OpKind::Clip => shape::clip(row),
        OpKind::Slice => index::slice(row),
        OpKind::DynamicSlice => index::dynamic_slice(row),
        OpKind::Gather => index::gather(row),
        OpKind::Take => index::take(row),
        OpKind::TakeAlongAxis => index::take_along_axis(row),
        OpKind::PutSlice => index::put_slice(row),
        OpKind::DynamicPutSlice => index::dynamic_put_slice(row),
        OpKind::Indexed(op) => index::indexed(row, op),
        OpKind::Reduce(op) => reduce::reduce(row, op),
        OpKind::Quantifier(op) => reduce::quantify(row, op),
        OpKind::AllClose => reduce::all_close(row),
        OpKind::ArgReduce(op) => reduce::arg_reduce(row, op),
        OpKind::Argsort => sort::argsort(row),
        OpKind::Sort => sort::sort(row),
        OpKind::TopK => sort::top_k(row),
        OpKind::WindowScatter(op) => window::scatter(row, op),
        OpKind::Window(op) => window::window(row, op),
        OpKind::Cumulative(op) => cumulative::cumulative(row, op),
        OpKind::Dot => linalg::dot(row),
        OpKind::Qr => linalg::qr(row),
        OpKind::Conv => conv::conv(row),
        OpKind::Fourier(op) => fft::fourier(row, op),
        OpKind::Fourier2(op) => fft::fourier2(row, op),
        OpKind::TriangularSolve => linalg::triangular_solve(row),
        OpKind::GatherMm => linalg::gather_mm(row),
        OpKind::Determinant => linalg::square(row, Op::Determinant(Determinant {})),
        OpKind::Lu => linalg::square(row, Op::Lu(Lu {})),
        OpKind::Svd => linalg::svd(row),
        OpKind::Eigh => linalg::square(row, Op::Eigh(Eigh {})),
        OpKind::Solve => linalg::solve(row),
        OpKind::Cholesky => linalg::square(row, Op::Cholesky(Cholesky {})),
        OpKind::Quantize => quantized::quantize(row),
        OpKind::FpQuantize => quantized::fp_quantize(row),
        OpKind::GatherQmm => quantized::gather_qmm(row),
        OpKind::FpGatherQmm => quantized::fp_gather_qmm(row),
        OpKind::FpDequantize => quantized::fp_dequantize(row),
        OpKind::FpQuantizedMatmul => quantized::fp_quantized_matmul(row),
        OpKind::Dequantize => quantized::dequantize(row),
        OpKind::QuantizedMatmul => quantized::quantized_matmul(row),
        OpKind::Softmax => fast::softmax(row),
        OpKind::Logsumexp => fast::logsumexp(row),
        OpKind::Norm(op) => fast::norm(row, op),
        OpKind::ScaledDotProductAttention => fast::attention(row),
        OpKind::Rope => fast::rope(row),
        OpKind::Einsum => fast::einsum(row),
    }
}

/// Operands of these types, filled from the row's domains, for one of these ops.
fn specimen(
    row: &'static Row,
    op: BoxedStrategy<Op>,
    types: Vec<(DType, Shape)>,
) -> BoxedStrategy<Specimen> {
    view()
        .prop_flat_map(move |view| {
            let operand = |(i, (dtype, shape)): (usize, &(DType, Shape))| {
                let ty = TensorType::new(*dtype, shape.clone());
                let elements = if multiplies(row) {
                    factor(*dtype)
                } else if matches!(
                    row.kind,
                    OpKind::Norm(_)
                        | OpKind::ScaledDotProductAttention
                        | OpKind::Rope
                        | OpKind::Einsum
                ) {
                    // An infinity times what underflows is NaN or not by the order of rounding.
                    finite(*dtype)
                } else if accumulates(row, DType::F32) {
                    tame(*dtype)
                } else if dtype.is_complex() && accumulates(row, *dtype) {
                    // Nx names no rule for complex functions of infinities and NaN.
                    finite(*dtype)
                } else {
                    element(*dtype, domain(row, i))
                };
                operand(ty, elements, view)
            };
            let operands: Vec<_> = types.iter().enumerate().map(operand).collect();
            (op.clone(), operands).prop_map(move |(op, tensors)| Specimen { op, tensors, view })
        })
        .boxed()
}

/// Whether elements of results are products of many.
fn multiplies(row: &Row) -> bool {
    [
        OpKind::Reduce(Reduce::Product),
        OpKind::Window(Window::WindowProduct),
        OpKind::Cumulative(Cumulative::CumulativeProduct),
    ]
    .contains(&row.kind)
}

/// A tensor whose values allow the view.
fn operand(ty: TensorType, elements: BoxedStrategy<u64>, view: View) -> BoxedStrategy<Tensor> {
    let (view, filled) = match view.filled(&ty.shape) {
        Some(filled) => (view, filled),
        None => (View::Plain, ty.shape.clone()),
    };
    let count: usize = filled.iter().product();
    proptest::collection::vec(elements, count)
        .prop_filter_map("the values fill the tensor", move |values| {
            let filled = number::tensor(TensorType::new(ty.dtype, filled.clone()), values)?;
            let Input { tensor, .. } = view.wrap(filled, &ty.shape);
            Some(tensor)
        })
        .boxed()
}

/// A call without operands.
fn nullary(op: Op) -> Specimen {
    Specimen {
        op,
        tensors: Vec::new(),
        view: View::Plain,
    }
}
