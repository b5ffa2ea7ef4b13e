//! Kernels of our own for the CPU, where MLX's are slow.
//!
//! A kernel is a node of MLX's graph like any other: built lazily, computed by MLX on the stream's thread, with
//! MLX's buffers. So it costs no synchronisation, and whatever it does not compute MLX does beside it. What it
//! does with each element depends on the op, the dtypes, the shapes and the layout of the operands alone:
//! neither on how many threads there are, nor on when or from where it runs.
//!
//! `EMILY_EXECUTOR=mlx` leaves everything to MLX, for comparison.
//!
//! **Architecture invariant:** no `_` arm over `Op` or its kinds. `unsafe` stands in `level.rs`, which calls
//! code for instruction sets, and in `pool.rs`, whose threads share a slice; what MLX's memory is seen by is
//! in `mlx/kernel.rs`.
#![deny(clippy::wildcard_enum_match_arm)]

mod attention;
mod binary;
mod choice;
mod conv;
mod elementwise;
mod erfc;
mod exact;
mod fit;
mod float;
mod held;
mod index;
mod inverse;
mod lanes;
mod level;
mod math;
mod matmul;
mod order;
mod pool;
mod reduce;
mod rows;
mod scan;
mod small;
mod sort;
mod ternary;
mod unary;
mod walk;

use std::sync::OnceLock;

use emily_spec::{
    ArgReduce, ArgReduction, Arithmetic, Compare, Conv, Cumulative, Dot, Epsilon, Error, ErrorKind,
    Logsumexp, Norm, Op, Reduce, Reduction, ScaledDotProductAttention, Scan, Softmax, TensorType,
    Unary,
};
use mlx_rs::Array;
use mlx_rs::error::Result;

pub(crate) use held::held;
pub(crate) use index::{along, gather, nearest, outside};
use rows::Rows;
pub(crate) use small::is_small;
pub(crate) use sort::{argsort, sort};

use crate::mlx;

/// The result of an op on these operands, not evaluated, if the host computes it: on a CPU stream.
pub(crate) fn build(op: &Op, inputs: &[Array], ty: &TensorType) -> Option<Result<Array>> {
    let kernel = kernel(op, inputs, ty)?;
    Some(mlx::lazy(inputs, ty, kernel))
}

/// The same, computed now, on this thread alone: of operands that are evaluated, and of these types. The bits are
/// those of [`build`].
///
/// # Panics
/// Where the kernel does.
pub(crate) fn compute(
    op: &Op,
    inputs: &[Array],
    types: &[TensorType],
    ty: &TensorType,
) -> Option<Result<Array>> {
    let kernel = is_on().then(|| kernel(op, types, ty)).flatten()?;
    Some(pool::alone(|| mlx::computed(inputs, ty, &*kernel)))
}

/// Whether the host computes anything: unless `EMILY_EXECUTOR` says otherwise.
pub(crate) fn is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| !std::env::var("EMILY_EXECUTOR").is_ok_and(|name| name == "mlx"))
}

/// Checks what the environment says of kernels.
///
/// # Errors
/// [`ErrorKind::Argument`] for an executor or a set of instructions that there is not.
pub(crate) fn check_environment() -> emily_spec::Result<()> {
    for (name, known) in [
        ("EMILY_EXECUTOR", &["host", "mlx"][..]),
        ("EMILY_CPU", &["portable", "avx2", "avx512"]),
        ("EMILY_INLINE", &["on", "off"]),
    ] {
        if let Some(value) = std::env::var_os(name) {
            check_choice(name, &value.to_string_lossy(), known)?;
        }
    }
    Ok(())
}

fn check_choice(name: &str, value: &str, known: &[&str]) -> emily_spec::Result<()> {
    if value.is_empty() || known.contains(&value) {
        return Ok(());
    }
    let known = known.join(", ");
    let message = format!("{name} is {value:?}; set it to one of {known}, or unset it");
    Err(Error::new(ErrorKind::Argument, message))
}

/// An operand, or only its type.
trait Typed {
    fn ty(&self) -> TensorType;
}

impl Typed for Array {
    fn ty(&self) -> TensorType {
        TensorType::new(mlx::dtype_of(self), mlx::shape_of(self))
    }
}

impl Typed for TensorType {
    fn ty(&self) -> TensorType {
        self.clone()
    }
}

/// An op that the host has a kernel of, for some operands.
enum Own<'a> {
    Unary(Unary),
    Arithmetic(Arithmetic),
    Compare(Compare),
    Dot(&'a Dot),
    Conv(&'a Conv),
    Attention(&'a ScaledDotProductAttention),
    Softmax(&'a Softmax),
    Logsumexp(&'a Logsumexp),
    Norm(Norm, &'a Epsilon),
    ArgReduce(ArgReduce, &'a ArgReduction),
    Cumulative(Cumulative, &'a Scan),
    Reduce(Reduce, &'a Reduction),
    Select,
    Clip,
}

impl Own<'_> {
    /// `None` for those that are MLX's whatever they are asked of.
    fn of(op: &Op) -> Option<Own<'_>> {
        Some(match op {
            Op::Unary(op) => Own::Unary(*op),
            Op::Arithmetic(op, _) => Own::Arithmetic(*op),
            Op::Compare(op) => Own::Compare(*op),
            Op::Dot(op) => Own::Dot(op),
            Op::Conv(op) => Own::Conv(op),
            Op::ScaledDotProductAttention(op) => Own::Attention(op),
            Op::Softmax(op) => Own::Softmax(op),
            Op::Logsumexp(op) => Own::Logsumexp(op),
            Op::Norm(op, attrs) => Own::Norm(*op, attrs),
            Op::ArgReduce(op, attrs) => Own::ArgReduce(*op, attrs),
            Op::Cumulative(op, attrs) => Own::Cumulative(*op, attrs),
            Op::Reduce(op, attrs) => Own::Reduce(*op, attrs),
            Op::Select(_) => Own::Select,
            Op::Clip(_) => Own::Clip,
            Op::AllClose(_)
            | Op::Argsort(_)
            | Op::AsType(_)
            | Op::Bitcast(_)
            | Op::Broadcast(_)
            | Op::Cholesky(_)
            | Op::Concatenate(_)
            | Op::Constant(_)
            | Op::Dequantize(_)
            | Op::Determinant(_)
            | Op::DynamicPutSlice(_)
            | Op::DynamicSlice(_)
            | Op::Eigh(_)
            | Op::Einsum(_)
            | Op::Eye(_)
            | Op::Fourier(..)
            | Op::Fourier2(..)
            | Op::FpDequantize(_)
            | Op::FpGatherQmm(_)
            | Op::FpQuantize(_)
            | Op::FpQuantizedMatmul(_)
            | Op::Gather(_)
            | Op::GatherMm(_)
            | Op::GatherQmm(_)
            | Op::Indexed(..)
            | Op::Iota(_)
            | Op::Lu(_)
            | Op::Pad(_)
            | Op::PutSlice(_)
            | Op::Qr(_)
            | Op::Quantifier(..)
            | Op::Quantize(_)
            | Op::QuantizedMatmul(_)
            | Op::Reshape(_)
            | Op::Reverse(_)
            | Op::Rope(_)
            | Op::Slice(_)
            | Op::Solve(_)
            | Op::Sort(_)
            | Op::Squeeze(_)
            | Op::Stack(_)
            | Op::Svd(_)
            | Op::Take(_)
            | Op::TakeAlongAxis(_)
            | Op::TopK(_)
            | Op::Transpose(_)
            | Op::TriangularSolve(_)
            | Op::Window(..)
            | Op::WindowScatter(..) => return None,
        })
    }
}

/// The kernel for an op on these operands, if there is one. Their types are made only for ops that have one: lists of
/// operands may be long, and most ops are views.
fn kernel(op: &Op, inputs: &[impl Typed], ty: &TensorType) -> Option<mlx::Kernel> {
    let type_of = Typed::ty;
    let types = || inputs.iter().map(type_of).collect::<Vec<_>>();
    match Own::of(op)? {
        Own::Unary(op) => unary::kernel(op, &type_of(&inputs[0]), ty),
        Own::Arithmetic(op) => binary::arithmetic(op, &types(), ty),
        Own::Compare(op) => binary::compare(op, &types(), ty),
        Own::Dot(op) => matmul::kernel(op, &types(), ty),
        Own::Conv(op) => conv::kernel(op, &types(), ty),
        Own::Attention(op) => attention::kernel(op, &types(), ty),
        Own::Softmax(op) => {
            let types = types();
            let length = last_axes(&types[0], &op.axes)?;
            rows::kernel(Rows::Softmax, length, &types, ty)
        }
        Own::Logsumexp(op) => {
            let x = type_of(&inputs[0]);
            let all: Vec<usize> = (0..x.shape.rank()).collect();
            let length = last_axes(&x, op.axes.as_deref().unwrap_or(&all))?;
            rows::logsumexp(length, &x, ty)
        }
        Own::Norm(op, attrs) => {
            let types = types();
            let length = *types[0].shape.last()?;
            rows::kernel(Rows::Norm(op, attrs.value()?), length, &types, ty)
        }
        Own::ArgReduce(op, attrs) => choice::kernel(op, attrs, &type_of(&inputs[0]), ty),
        Own::Cumulative(op, attrs) => scan::kernel(op, attrs, ty),
        Own::Reduce(op, attrs) => reduce::kernel(op, attrs, &type_of(&inputs[0]), ty),
        Own::Select => ternary::select(&types(), ty),
        Own::Clip => ternary::clip(&types(), ty),
    }
}

/// How many elements these axes have together, where they are the last ones.
fn last_axes(x: &TensorType, axes: &[usize]) -> Option<usize> {
    let rank = x.shape.rank();
    let first = rank - axes.len();
    let are_last = !axes.is_empty() && (first..rank).all(|axis| axes.contains(&axis));
    are_last.then(|| x.shape[first..].iter().product())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use emily_spec::DType;
    use serde_json::json;

    use super::*;

    /// The bits of an op's result on numbers between −1 and 1.
    fn bits(name: &str, attrs: serde_json::Value, shapes: &[&[usize]]) -> Vec<u32> {
        let op = Op::read(name, attrs).unwrap();
        let of = |shape: &&[usize]| TensorType::new(DType::F32, shape.to_vec());
        let types: Vec<TensorType> = shapes.iter().map(of).collect();
        let mut state = 1u32;
        let mut number = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let inputs: Vec<Array> = types
            .iter()
            .map(|ty| {
                let numbers = (0..ty.shape.size().unwrap()).map(&mut number);
                let bytes: Vec<u8> = numbers.flat_map(f32::to_ne_bytes).collect();
                mlx::upload(ty, &bytes).unwrap()
            })
            .collect();
        let ty = op.infer(&types).unwrap().remove(0);
        let built = if let Op::Sort(op) = &op {
            sort(&inputs[0], op.axis, op.direction)
        } else {
            build(&op, &inputs, &ty)
        };
        let result = built.expect("the host has it").unwrap();
        result.eval().unwrap();
        let elements = result.as_slice::<f32>().iter();
        elements.map(|x| x.to_bits()).collect()
    }

    #[test]
    fn a_choice_that_there_is_not_is_refused() {
        let check = |value: &str| check_choice("EMILY_CPU", value, &["portable", "avx2"]);
        assert_eq!([check("avx2"), check("")], [Ok(()), Ok(())]);
        let message = check("prtable").unwrap_err().message;
        assert_eq!(
            message,
            "EMILY_CPU is \"prtable\"; set it to one of portable, avx2, or unset it"
        );
    }

    fn all_bits() -> Vec<Vec<u32>> {
        let dot = json!({"contract_left": [1], "contract_right": [0]});
        vec![
            bits("erf", json!({}), &[&[100_003]]),
            bits("max", json!({}), &[&[300, 301], &[301]]),
            bits("sum", json!({}), &[&[300, 301]]),
            bits("sum", json!({"axes": [0]}), &[&[700, 301]]),
            bits("reduce_max", json!({"axes": [1]}), &[&[700, 301]]),
            bits("softmax", json!({"axes": [1]}), &[&[300, 301]]),
            bits("layer_norm", json!({}), &[&[300, 301], &[301], &[301]]),
            bits("dot", dot, &[&[301, 500], &[500, 303]]),
            bits(
                "scaled_dot_product_attention",
                json!({"causal": true}),
                &[&[1, 4, 301, 40], &[1, 2, 250, 40], &[1, 2, 250, 30]],
            ),
            bits(
                "conv",
                json!({"low": [1], "high": [1]}),
                &[&[3, 40, 500], &[50, 40, 9]],
            ),
        ]
    }

    #[test]
    fn the_bits_are_the_same_with_and_without_the_help_of_other_threads() {
        let together = all_bits();
        let [taken, done] = [const { AtomicBool::new(false) }; 2];
        let alone = thread::scope(|scope| {
            scope.spawn(|| {
                pool::for_each(2, &|_| {
                    taken.store(true, Ordering::SeqCst);
                    while !done.load(Ordering::SeqCst) {
                        thread::yield_now();
                    }
                });
            });
            while !taken.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            let alone = all_bits();
            done.store(true, Ordering::SeqCst);
            alone
        });
        assert!(together == alone);
    }
}
