//! Every op's exact Nx meaning, out of MLX primitives.
//!
//! One file per family, named as in the oracle, so that the two open side by side. An op builds
//! graph and evaluates nothing, but for two ([`is_evaluated_at_once`]): what depends on values is checked by a condition
//! ([`Cx::fail_where`]), and the computation is made safe on the values it refuses. Operands were
//! checked by `Op::infer`, so shapes, dtypes and attributes fit.
//!
//! **Architecture invariant:** no `_` arm over `Op`: an op that the contract gains does not compile
//! until it is here.
#![deny(clippy::wildcard_enum_match_arm)]

mod binary;
mod cast;
mod close;
mod complex;
mod conv;
mod creation;
mod cumulative;
mod cx;
mod equal;
mod erfc;
mod fast;
mod fft;
mod float;
mod index;
mod integer;
mod layout;
mod less;
mod linalg;
mod quantized;
mod reduce;
mod shape;
mod sort;
mod unary;
mod view;
mod window;

use emily_spec::{Error, ErrorKind, Op, Result, Shape, TensorType};
use mlx_rs::Array;

pub(crate) use cx::{Condition, Cx};
pub(crate) use layout::{Layout, check_count, check_counts};
pub(crate) use view::{constant, view};

use crate::mlx::{dims, dtype_of, from_mlx, refusal, shape_of, to_mlx};
use crate::{Device, host};

/// The op's results, not evaluated, of exactly the types `results`, which `Op::infer` gave.
///
/// Runs on the worker's thread within its stream's scope.
pub(crate) fn run(
    op: &Op,
    inputs: &[Array],
    results: &[TensorType],
    cx: &mut Cx,
) -> Result<Vec<Array>> {
    let arrays = build(op, inputs, results, cx).map_err(from_mlx)?;
    check(&arrays, results)?;
    Ok(arrays)
}

/// The bytes that a call takes beside its operands and results at most, whoever computes it.
///
/// # Errors
/// For sizes beyond what is countable.
pub(crate) fn on_the_way(
    op: &Op,
    device: Device,
    inputs: &[TensorType],
    results: &[TensorType],
) -> Result<usize> {
    let most = op.cost(inputs, results)?.temporaries;
    let bytes = match device {
        Device::Cpu => host::held(op, inputs, results, most),
        Device::Gpu => most,
    };
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Whether running the op evaluates its results, since LAPACK may give up: the error is then the op's.
pub(crate) fn is_evaluated_at_once(op: &Op) -> bool {
    matches!(op, Op::Eigh(_) | Op::Svd(_))
}

/// The multiplications in a product of matrices.
pub(crate) fn products(op: &Op, inputs: &[TensorType], results: &[TensorType]) -> usize {
    if let Op::Dot(dot) = op {
        dot.multiplications(&inputs[0].shape, &results[0].shape)
    } else {
        0
    }
}

fn build(
    op: &Op,
    inputs: &[Array],
    results: &[TensorType],
    cx: &mut Cx,
) -> mlx_rs::error::Result<Vec<Array>> {
    let ty = &results[0];
    if cx.has_host()
        && let [ty] = results
        && let Some(array) = host::build(op, inputs, ty)
    {
        return Ok(vec![array?]);
    }
    let array = match op {
        Op::Unary(op) => unary::unary(*op, &inputs[0], ty, cx)?,
        Op::AsType(op) => cast::cast(&inputs[0], op.dtype)?,
        Op::Bitcast(op) => inputs[0].view_dtype(to_mlx(op.dtype))?,
        Op::Arithmetic(op, _) => binary::arithmetic(*op, inputs, ty, cx)?,
        Op::Compare(op) => binary::compare(*op, inputs)?,
        Op::Iota(op) => creation::iota(op, ty)?,
        Op::Eye(_) => creation::eye(ty)?,
        Op::Constant(op) => creation::constant(op, ty)?,
        Op::Transpose(op) => shape::transpose(op, &inputs[0])?,
        Op::Reshape(_) | Op::Squeeze(_) => inputs[0].reshape(&dims(&ty.shape))?,
        Op::Reverse(op) => shape::reverse(&inputs[0], &op.axes)?,
        Op::Pad(op) => shape::pad(op, inputs, ty)?,
        Op::Broadcast(op) => shape::broadcast(op, &inputs[0], ty)?,
        Op::Concatenate(op) => shape::concatenate(op, inputs, ty)?,
        Op::Stack(op) => shape::stack(op, inputs, ty)?,
        Op::Select(_) => shape::select(inputs, ty)?,
        Op::Clip(_) => shape::clip(inputs, ty, cx)?,
        Op::Slice(op) => index::slice(op, &inputs[0])?,
        Op::DynamicSlice(op) => index::dynamic_slice(op, inputs)?,
        Op::Gather(op) => index::gather(op, inputs, ty, cx)?,
        Op::Take(op) => index::take(op, inputs, ty, cx)?,
        Op::TakeAlongAxis(op) => index::take_along_axis(op, inputs, ty, cx)?,
        Op::PutSlice(op) => index::put_slice(op, inputs, ty)?,
        Op::DynamicPutSlice(_) => index::dynamic_put_slice(inputs, ty)?,
        Op::Indexed(op, attrs) => index::indexed(*op, attrs, inputs, ty, cx)?,
        Op::Reduce(op, attrs) => reduce::reduce(*op, attrs, &inputs[0], ty)?,
        Op::Quantifier(op, attrs) => reduce::quantify(*op, attrs, &inputs[0], ty)?,
        Op::AllClose(op) => close::all_close(op, inputs, cx)?,
        Op::ArgReduce(op, attrs) => reduce::arg_reduce(*op, attrs, &inputs[0], ty)?,
        Op::Argsort(op) => sort::argsort(op, &inputs[0], ty, cx)?,
        Op::Sort(op) => sort::sort(op, &inputs[0], cx)?,
        Op::TopK(op) => return sort::top_k(op, &inputs[0], results, cx),
        Op::WindowScatter(op, attrs) => window::scatter(*op, attrs, inputs, ty, cx)?,
        Op::Window(op, attrs) => window::window(*op, attrs, &inputs[0], ty, cx)?,
        Op::Cumulative(op, attrs) => cumulative::cumulative(*op, attrs, &inputs[0], cx)?,
        Op::Dot(op) => linalg::dot(op, inputs, ty, cx)?,
        Op::Conv(op) => conv::conv(op, inputs, ty, cx)?,
        Op::Fourier(op, attrs) => fft::fourier(*op, attrs, &inputs[0], ty, cx)?,
        Op::Fourier2(op, attrs) => fft::fourier2(*op, attrs, &inputs[0], ty, cx)?,
        Op::Qr(_) => return linalg::qr(&inputs[0], results, cx),
        Op::TriangularSolve(op) => linalg::triangular_solve(op, inputs, ty, cx)?,
        Op::GatherMm(_) => linalg::gather_mm(inputs, ty, cx)?,
        Op::Determinant(_) => linalg::determinant(&inputs[0], ty, cx)?,
        Op::Lu(_) => return linalg::lu(&inputs[0], results, cx),
        Op::Eigh(_) => return linalg::eigh(&inputs[0], results, cx),
        Op::Svd(op) => return linalg::svd(op, &inputs[0], results, cx),
        Op::Solve(_) => linalg::solve(inputs, ty, cx)?,
        Op::Cholesky(_) => linalg::cholesky(&inputs[0], ty, cx)?,
        Op::Quantize(op) => return quantized::quantize(op, &inputs[0], results, cx),
        Op::FpQuantize(op) => return quantized::fp_quantize(op, &inputs[0], results),
        Op::GatherQmm(op) => quantized::gather_qmm(op, inputs, ty, cx)?,
        Op::FpGatherQmm(op) => quantized::fp_gather_qmm(op, inputs, ty, cx)?,
        Op::FpDequantize(op) => quantized::fp_dequantize(op, inputs, ty)?,
        Op::FpQuantizedMatmul(op) => quantized::fp_quantized_matmul(op, inputs, ty)?,
        Op::Dequantize(op) => quantized::dequantize(op, inputs, ty)?,
        Op::QuantizedMatmul(op) => quantized::quantized_matmul(op, inputs, ty, cx)?,
        Op::Softmax(op) => fast::softmax(op, &inputs[0], ty, cx)?,
        Op::Logsumexp(op) => fast::logsumexp(op, &inputs[0], ty, cx)?,
        Op::Norm(op, attrs) => fast::norm(*op, attrs, inputs, ty)?,
        Op::ScaledDotProductAttention(op) => fast::attention(op, inputs, ty, cx)?,
        Op::Rope(op) => fast::rope(op, inputs, ty, cx)?,
        Op::Einsum(op) => fast::einsum(op, inputs, ty, cx)?,
    };
    Ok(vec![array])
}

/// Readers trust the inferred type for the number of bytes, so a result of another one is a fault
/// that must stop here.
fn check(arrays: &[Array], results: &[TensorType]) -> Result<()> {
    let fits = |array: &Array, ty: &TensorType| {
        let dims = ty.shape.iter().map(|&dim| dim as i32);
        array.dtype() == to_mlx(ty.dtype) && dims.eq(array.shape().iter().copied())
    };
    if arrays.len() == results.len() && arrays.iter().zip(results).all(|(a, ty)| fits(a, ty)) {
        return Ok(());
    }
    let types = arrays
        .iter()
        .map(|array| TensorType::new(dtype_of(array), shape_of(array)).to_string());
    Err(Error::new(
        ErrorKind::Internal,
        format!("the op gave {:?}", types.collect::<Vec<_>>()),
    ))
}

/// Axes as MLX takes them.
fn axes(axes: &[usize]) -> Vec<i32> {
    axes.iter().map(|&axis| axis as i32).collect()
}

/// A number of elements as MLX counts them along an axis, and LAPACK in its matrices and workspace.
///
/// # Errors
/// A [`refusal`] of kind memory, for more than 31 bits can count.
fn length(count: usize) -> mlx_rs::error::Result<i32> {
    i32::try_from(count).map_err(|_| {
        let (most, kind) = (Shape::MAX_DIM, ErrorKind::Memory);
        let text =
            format!("{count} elements at once are over the limit of {most} of MLX and LAPACK");
        refusal(Error::new(kind, text))
    })
}

/// Refuses what would not fit beside the operands, or could not be counted: so many elements of so many
/// bytes on the way to a result. MLX would write to a null pointer.
///
/// # Errors
/// A [`refusal`] of kind memory.
fn fits(sizes: &[i32], width: usize, cx: &Cx) -> mlx_rs::error::Result<()> {
    let sizes = sizes.iter().map(|&size| size as usize);
    let count = sizes.fold(1, usize::saturating_mul);
    check_count(count, cx.device).map_err(refusal)?;
    within_memory(count.saturating_mul(width))
}

/// The same of so many bytes.
fn within_memory(bytes: usize) -> mlx_rs::error::Result<()> {
    crate::memory::check(bytes).map_err(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_elements_than_mlx_counts_are_out_of_memory() {
        assert_eq!(length(Shape::MAX_DIM).unwrap(), i32::MAX);
        let error = from_mlx(length(Shape::MAX_DIM + 1).unwrap_err());
        assert_eq!(error.kind, ErrorKind::Memory);
    }
}
