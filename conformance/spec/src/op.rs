//! The vocabulary: what Nx's operations are called, what they mean, and their attributes.
//!
//! One file per family, named as in the oracle and the engine. Ops that share their attributes, and what these
//! decide of a call, are the variants of a fieldless enum, its *kinds*, beside one struct for the attributes, and
//! differ in their rows alone. An op that infers its results as no other does is a struct, also where it has no
//! attributes or the same as another.
//!
//! An attribute named `dtype` is the result's dtype where Nx lets the caller choose one; operands
//! are cast to it before the operation. Absent, it is what Nx infers from the operands.

mod binary;
mod conv;
mod creation;
mod cumulative;
mod fast;
mod fft;
mod index;
mod linalg;
mod macros;
mod quantized;
mod reduce;
mod shape;
mod sort;
mod text;
mod unary;
mod window;

use std::sync::LazyLock;

pub use binary::{Arithmetic, Compare, Typed};
pub use conv::{Conv, SpatialAxis};
pub use creation::{Constant, Eye, Iota};
pub use cumulative::{Cumulative, Scan};
pub use fast::{
    AttentionOperands, Einsum, Epsilon, Logsumexp, Norm, Rope, ScaledDotProductAttention, Softmax,
};
pub use fft::{Fourier, Fourier2, Transform, Transform2};
pub use index::{
    DynamicPutSlice, DynamicSlice, Gather, Indexed, IndexedAxes, PutSlice, Slice, Take,
    TakeAlongAxis,
};
pub use linalg::{
    Cholesky, Determinant, Dot, Eigh, GatherMm, Lu, Qr, QrMode, Solve, Svd, TransformA,
    TriangularSolve,
};
pub use quantized::{
    Dequantize, FpDequantize, FpFormat, FpGatherQmm, FpQuantize, FpQuantizedMatmul, GatherQmm,
    Quantize, QuantizedMatmul,
};
pub use reduce::{
    AllClose, ArgReduce, ArgReduction, Axes, Quantifier, Reduce, Reduction, TieBreak,
};
pub use shape::{
    Broadcast, Clip, Concatenate, Pad, Reshape, Reverse, Select, Squeeze, Stack, Transpose,
};
pub use sort::{Argsort, Direction, Sort, TopK};
pub use unary::{AsType, Bitcast, Unary};
pub use window::{Scattering, Sliding, Window, WindowScatter};

use serde::Deserialize;
use serde::de::{self, Deserializer};

use macros::{ops, vocabulary};

use crate::attribute::Value;
use crate::{Cost, Result, Row, TensorType};

/// Looks at every attribute, in order, those that were left out too.
pub(crate) trait Visit {
    fn visit<'a>(&'a self, each: &mut dyn FnMut(&'static str, Value<'a>));
}

/// What the attributes decide of a call. Kinds differ in their rows.
pub(crate) trait Attributes: Visit {
    /// The results' types; the operands have passed `Row::check`.
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>>;

    /// What the call costs.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        row.price.cost_of(inputs, results)
    }
}

ops! {
    /// No attributes.
    pub(crate) struct Plain {
    }
}

vocabulary! {
    alone:
        AsType, Bitcast,
        Iota, Eye, Constant,
        Transpose, Reshape, Squeeze, Reverse, Pad, Broadcast, Concatenate, Stack, Select, Clip,
        Slice, DynamicSlice, Gather, Take, TakeAlongAxis, PutSlice, DynamicPutSlice,
        AllClose,
        Argsort, Sort, TopK,
        Conv,
        Dot, GatherMm, Qr, TriangularSolve, Cholesky, Solve, Lu, Eigh, Svd, Determinant,
        Quantize, Dequantize, QuantizedMatmul, GatherQmm,
        FpQuantize, FpDequantize, FpQuantizedMatmul, FpGatherQmm,
        Softmax, Logsumexp, ScaledDotProductAttention, Rope, Einsum,
    ;
    kinds:
        Arithmetic(Typed),
        Indexed(IndexedAxes),
        Reduce(Reduction), Quantifier(Axes), ArgReduce(ArgReduction),
        Window(Sliding), WindowScatter(Scattering),
        Cumulative(Scan),
        Fourier(Transform), Fourier2(Transform2),
        Norm(Epsilon),
    ;
    plain:
        Unary, Compare,
    ;
}

impl OpKind {
    fn named<E: de::Error>(name: &str) -> std::result::Result<OpKind, E> {
        match Row::named(name) {
            Some(row) => Ok(row.kind),
            None => Err(E::custom(format_args!("unknown op {name:?}"))),
        }
    }
}

impl From<Unary> for Op {
    fn from(kind: Unary) -> Op {
        Op::Unary(kind)
    }
}

/// At the dtype that Nx infers.
impl From<Arithmetic> for Op {
    fn from(kind: Arithmetic) -> Op {
        Op::Arithmetic(kind, Typed { dtype: None })
    }
}

impl From<Compare> for Op {
    fn from(kind: Compare) -> Op {
        Op::Compare(kind)
    }
}

impl Op {
    /// The op's row.
    pub fn row(&self) -> &'static Row {
        self.parts().0
    }

    /// The op without its attributes.
    pub fn kind(&self) -> OpKind {
        self.row().kind
    }

    /// The name in case files, on the BEAM and in Nx.
    pub fn name(&self) -> &'static str {
        self.row().name
    }

    /// Calls `each` with the name and value of every attribute, those that were left out too.
    pub fn attributes<'a>(&'a self, mut each: impl FnMut(&'static str, Value<'a>)) {
        self.parts().1.visit(&mut each);
    }

    /// The op of this name with these attributes, from any serde format; no attributes are an empty
    /// map.
    ///
    /// # Errors
    /// The format's own: an unknown op, an unknown attribute, a missing one, one of another type.
    pub fn read<'de, D: Deserializer<'de>>(
        name: &str,
        attrs: D,
    ) -> std::result::Result<Op, D::Error> {
        OpKind::named::<D::Error>(name)?.read(attrs)
    }

    /// The results' types for operands of these types.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for a wrong number of operands or a wrong attribute,
    /// [`ErrorKind::Dtype`] and [`ErrorKind::Shape`] for operands that do not fit, and
    /// [`ErrorKind::Memory`] for a result whose bytes cannot be counted.
    ///
    /// [`ErrorKind::Argument`]: crate::ErrorKind::Argument
    /// [`ErrorKind::Dtype`]: crate::ErrorKind::Dtype
    /// [`ErrorKind::Shape`]: crate::ErrorKind::Shape
    /// [`ErrorKind::Memory`]: crate::ErrorKind::Memory
    pub fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        self.infer_types(inputs).map_err(|err| err.at(self, inputs))
    }

    fn infer_types(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (row, attributes) = self.parts();
        row.check(inputs)?;
        let results = attributes.infer(row, inputs)?;
        for result in &results {
            result.byte_size()?;
        }
        Ok(results)
    }

    /// What the call costs with operands of these types and the results that [`Op::infer`] gave.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`](crate::ErrorKind::Memory) for sizes that cannot be counted.
    pub fn cost(&self, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let (row, attributes) = self.parts();
        attributes.cost(row, inputs, results)
    }
}

#[cfg(test)]
mod tests;
