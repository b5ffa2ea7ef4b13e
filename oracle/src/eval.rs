//! From an op to its kernel, in wide values.

use emily_spec::{Class, DType, Op, Result, TensorType};

use crate::array::WideArray;
use crate::ops::{binary, creation, index, linalg, reduce, shape, sort, unary};
use crate::value::Wide;

/// A result before it is rounded.
#[derive(Debug)]
pub(crate) struct WideAnswer {
    pub(crate) values: WideArray,
    /// As in [`crate::Answer`].
    pub(crate) magnitude: Option<Vec<f64>>,
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
        match (self.precision, self.class()) {
            (Precision::Wide, Class::Float) => Wide::Float(value.float()),
            (Precision::Wide, Class::Complex) => Wide::Complex(value.complex()),
            (Precision::Wide, Class::Unsigned | Class::Signed) | (Precision::Rounded, _) => {
                value.cast(self.dtype())
            }
        }
    }
}

/// Computes the op on operands whose types gave these result types.
pub(crate) fn eval_wide(
    op: &Op,
    inputs: &[WideArray],
    results: &[TensorType],
    precision: Precision,
) -> Result<Vec<WideAnswer>> {
    let target = Target {
        ty: &results[0],
        precision,
    };
    let one = |answer: WideAnswer| Ok(vec![answer]);
    match op {
        Op::Add { dtype: _ } => one(binary::add(inputs, target)?.into()),
        Op::Divide { dtype: _ } => one(binary::divide(inputs, target)?),
        Op::Remainder { dtype: _ } => one(binary::remainder(inputs, target)?.into()),
        Op::Pow { dtype: _ } => one(binary::pow(inputs, target)?),
        Op::Equal => one(binary::equal(inputs, target)?.into()),
        Op::Round => one(unary::round(&inputs[0], target).into()),
        Op::Exp => one(unary::exp(&inputs[0], target)),
        Op::Erfc => one(unary::erfc(&inputs[0], target).into()),
        Op::AsType { dtype: _ } => one(unary::as_type(&inputs[0], target).into()),
        Op::Iota {
            dtype: _,
            shape: _,
            axis,
        } => one(creation::iota(*axis, target)?.into()),
        Op::Transpose { axes } => one(shape::transpose(&inputs[0], axes).into()),
        Op::Broadcast { shape: _, axes } => {
            one(shape::broadcast(&inputs[0], axes.as_deref(), target)?.into())
        }
        Op::Concatenate { axis, dtype: _ } => {
            one(shape::concatenate(inputs, *axis, target)?.into())
        }
        Op::Select { dtype: _ } => one(shape::select(inputs, target)?.into()),
        Op::Slice {
            starts,
            lengths,
            strides,
        } => one(index::slice(inputs, starts.as_deref(), lengths, strides).into()),
        Op::Gather { axes } => one(index::gather(&inputs[0], &inputs[1], axes, target)?.into()),
        Op::Sum {
            axes,
            keep_axes: _,
            dtype: _,
        } => one(reduce::sum(&inputs[0], axes.as_deref(), target)?),
        Op::Argmax {
            axis,
            tie_break,
            keep_axis: _,
            dtype: _,
        } => one(reduce::argmax(&inputs[0], *axis, *tie_break, target)?.into()),
        Op::Argsort {
            axis,
            direction,
            dtype: _,
        } => one(sort::argsort(&inputs[0], *axis, *direction).into()),
        Op::Dot {
            contract_left,
            batch_left,
            contract_right,
            batch_right,
            dtype: _,
        } => one(linalg::dot(
            inputs,
            [contract_left, contract_right],
            [batch_left, batch_right],
            target,
        )?),
        Op::Qr { mode: _ } => linalg::qr(&inputs[0], results, target),
    }
}
