//! The vocabulary: what Nx's operations are called, what they mean, and their attributes.
//!
//! One file per family, named as in the oracle and the engine. Ops that share their attributes are
//! the variants of a fieldless enum, its *kinds*, beside one struct for the attributes; an op that
//! stands alone is a struct.
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

use crate::attribute::Value;
use crate::{Cost, Result, Row, TensorType};

/// Writes down a fieldless enum of kinds with their rows, or a struct of attributes. Doc comments
/// are written once: they are also the text of what is generated from the rows.
macro_rules! ops {
    (
        $(#[doc = $doc:literal])+
        pub enum $kinds:ident($attributes:ty) {
            $($(#[doc = $text:literal])+ $kind:ident = $row:expr,)+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kinds {
            $($(#[doc = $text])+ $kind,)+
        }

        impl $kinds {
            /// All of them.
            pub const ALL: &'static [$kinds] = &[$($kinds::$kind),+];

            /// The op's row.
            pub const fn row(self) -> &'static $crate::Row {
                match self {
                    $($kinds::$kind => const {
                        &$crate::Row {
                            kind: $crate::OpKind::$kinds($kinds::$kind),
                            kinds: Some(stringify!($kinds)),
                            doc: concat!($($text, "\n"),+),
                            attributes: <$attributes>::ATTRIBUTES,
                            ..$row
                        }
                    },)+
                }
            }
        }
    };
    (
        $(#[doc = $doc:literal])+
        $vis:vis struct $name:ident = $row:expr; {
            $($(#[doc = $text:literal])+ $(#[serde($serde:ident)])? $field:ident: $type:ty,)*
        }
    ) => {
        $crate::op::ops! {
            $(#[doc = $doc])+
            $vis struct $name {
                $($(#[doc = $text])+ $(#[serde($serde)])? $field: $type,)*
            }
        }

        impl $name {
            /// The op's row.
            pub const ROW: &'static $crate::Row = &$crate::Row {
                kind: $crate::OpKind::$name,
                doc: concat!($($doc, "\n"),+),
                attributes: $name::ATTRIBUTES,
                ..$row
            };
        }
    };
    (
        $(#[doc = $doc:literal])+
        $vis:vis struct $name:ident {
            $($(#[doc = $text:literal])+ $(#[serde($serde:ident)])? $field:ident: $type:ty,)*
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        $vis struct $name {
            $($(#[doc = $text])+ $(#[serde($serde)])? pub $field: $type,)*
        }

        impl $name {
            pub(crate) const ATTRIBUTES: &'static [$crate::Attribute] = &[
                $($crate::Attribute {
                    name: stringify!($field),
                    doc: concat!($($text, "\n"),+),
                    required: <$type as $crate::attribute::AsValue>::REQUIRED,
                    takes: <$type as $crate::attribute::AsValue>::TAKES,
                },)*
            ];
        }

        impl $crate::op::Visit for $name {
            #[allow(unused_variables, reason = "a struct without attributes visits none")]
            fn visit<'a>(&'a self, each: &mut dyn FnMut(&'static str, $crate::Value<'a>)) {
                $(each(
                    stringify!($field),
                    $crate::attribute::AsValue::as_value(&self.$field),
                );)*
            }
        }
    };
}
use ops;

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
        row.price.of(inputs, results)
    }
}

ops! {
    /// No attributes.
    pub(crate) struct Plain {
    }
}

/// One operation with its attributes, without its operands.
///
/// In text it is `{"op": "sum", "attrs": {"axes": [0]}}`; `attrs` may be left out where none is
/// given. Operands are documented in the op's [`Row`], result types by [`Op::infer`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is documented by the type that it holds"
)]
pub enum Op {
    Unary(Unary),
    AsType(AsType),
    Bitcast(Bitcast),
    Arithmetic(Arithmetic, Typed),
    Compare(Compare),
    Iota(Iota),
    Eye(Eye),
    Constant(Constant),
    Transpose(Transpose),
    Reshape(Reshape),
    Squeeze(Squeeze),
    Reverse(Reverse),
    Pad(Pad),
    Broadcast(Broadcast),
    Concatenate(Concatenate),
    Stack(Stack),
    Select(Select),
    Clip(Clip),
    Slice(Slice),
    DynamicSlice(DynamicSlice),
    Gather(Gather),
    Take(Take),
    TakeAlongAxis(TakeAlongAxis),
    PutSlice(PutSlice),
    DynamicPutSlice(DynamicPutSlice),
    Indexed(Indexed, IndexedAxes),
    Reduce(Reduce, Reduction),
    Quantifier(Quantifier, Axes),
    AllClose(AllClose),
    ArgReduce(ArgReduce, ArgReduction),
    Argsort(Argsort),
    Sort(Sort),
    TopK(TopK),
    Window(Window, Sliding),
    WindowScatter(WindowScatter, Scattering),
    Cumulative(Cumulative, Scan),
    Dot(Dot),
    Qr(Qr),
    Conv(Conv),
    Fourier(Fourier, Transform),
    Fourier2(Fourier2, Transform2),
    TriangularSolve(TriangularSolve),
    Cholesky(Cholesky),
    Solve(Solve),
    Lu(Lu),
    Eigh(Eigh),
    Svd(Svd),
    Determinant(Determinant),
    GatherMm(GatherMm),
    Quantize(Quantize),
    Dequantize(Dequantize),
    QuantizedMatmul(QuantizedMatmul),
    FpQuantize(FpQuantize),
    FpDequantize(FpDequantize),
    FpQuantizedMatmul(FpQuantizedMatmul),
    FpGatherQmm(FpGatherQmm),
    GatherQmm(GatherQmm),
    Softmax(Softmax),
    Logsumexp(Logsumexp),
    Norm(Norm, Epsilon),
    ScaledDotProductAttention(ScaledDotProductAttention),
    Rope(Rope),
    Einsum(Einsum),
}

/// An op without its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(strum::EnumDiscriminants))]
#[cfg_attr(
    test,
    strum_discriminants(name(Family), vis(pub(crate)), derive(strum::EnumIter))
)]
#[expect(
    missing_docs,
    reason = "each variant is documented by the op of its name"
)]
pub enum OpKind {
    Unary(Unary),
    AsType,
    Bitcast,
    Arithmetic(Arithmetic),
    Compare(Compare),
    Iota,
    Eye,
    Constant,
    Transpose,
    Reshape,
    Squeeze,
    Reverse,
    Pad,
    Broadcast,
    Concatenate,
    Stack,
    Select,
    Clip,
    Slice,
    DynamicSlice,
    Gather,
    Take,
    TakeAlongAxis,
    PutSlice,
    DynamicPutSlice,
    Indexed(Indexed),
    Reduce(Reduce),
    Quantifier(Quantifier),
    AllClose,
    ArgReduce(ArgReduce),
    Argsort,
    Sort,
    TopK,
    Window(Window),
    WindowScatter(WindowScatter),
    Cumulative(Cumulative),
    Dot,
    Qr,
    Conv,
    Fourier(Fourier),
    Fourier2(Fourier2),
    TriangularSolve,
    Cholesky,
    Dequantize,
    Determinant,
    FpDequantize,
    FpGatherQmm,
    FpQuantize,
    FpQuantizedMatmul,
    GatherMm,
    GatherQmm,
    Lu,
    Eigh,
    Svd,
    Quantize,
    QuantizedMatmul,
    Solve,
    Softmax,
    Logsumexp,
    Norm(Norm),
    ScaledDotProductAttention,
    Rope,
    Einsum,
}

/// Every op's row, families together.
pub static ROWS: LazyLock<Vec<&'static Row>> = LazyLock::new(|| {
    let mut rows = Vec::new();
    rows.extend(Unary::ALL.iter().map(|kind| kind.row()));
    rows.extend([AsType::ROW, Bitcast::ROW]);
    rows.extend(Arithmetic::ALL.iter().map(|kind| kind.row()));
    rows.extend(Compare::ALL.iter().map(|kind| kind.row()));
    rows.extend([Iota::ROW, Eye::ROW, Constant::ROW]);
    rows.extend([
        Transpose::ROW,
        Reshape::ROW,
        Squeeze::ROW,
        Reverse::ROW,
        Pad::ROW,
        Broadcast::ROW,
        Concatenate::ROW,
        Stack::ROW,
        Select::ROW,
        Clip::ROW,
    ]);
    rows.extend([
        Slice::ROW,
        DynamicSlice::ROW,
        Gather::ROW,
        Take::ROW,
        TakeAlongAxis::ROW,
        PutSlice::ROW,
        DynamicPutSlice::ROW,
    ]);
    rows.extend(Indexed::ALL.iter().map(|kind| kind.row()));
    rows.extend(Reduce::ALL.iter().map(|kind| kind.row()));
    rows.extend(Quantifier::ALL.iter().map(|kind| kind.row()));
    rows.push(AllClose::ROW);
    rows.extend(ArgReduce::ALL.iter().map(|kind| kind.row()));
    rows.extend([Argsort::ROW, Sort::ROW, TopK::ROW, Dot::ROW, Qr::ROW]);
    rows.push(Conv::ROW);
    rows.extend(Fourier::ALL.iter().map(|kind| kind.row()));
    rows.extend(Fourier2::ALL.iter().map(|kind| kind.row()));
    rows.extend(Window::ALL.iter().map(|kind| kind.row()));
    rows.extend(WindowScatter::ALL.iter().map(|kind| kind.row()));
    rows.extend(Cumulative::ALL.iter().map(|kind| kind.row()));
    rows.extend([
        TriangularSolve::ROW,
        Cholesky::ROW,
        Solve::ROW,
        Lu::ROW,
        Eigh::ROW,
        Svd::ROW,
        Determinant::ROW,
    ]);
    rows.push(GatherMm::ROW);
    rows.extend([
        Quantize::ROW,
        Dequantize::ROW,
        QuantizedMatmul::ROW,
        GatherQmm::ROW,
    ]);
    rows.extend([
        FpQuantize::ROW,
        FpDequantize::ROW,
        FpQuantizedMatmul::ROW,
        FpGatherQmm::ROW,
    ]);
    rows.extend([Softmax::ROW, Logsumexp::ROW]);
    rows.extend(Norm::ALL.iter().map(|kind| kind.row()));
    rows.extend([ScaledDotProductAttention::ROW, Rope::ROW, Einsum::ROW]);
    rows
});

impl OpKind {
    fn named<E: de::Error>(name: &str) -> std::result::Result<OpKind, E> {
        match Row::named(name) {
            Some(row) => Ok(row.kind),
            None => Err(E::custom(format_args!("unknown op {name:?}"))),
        }
    }

    /// The op with these attributes, from any serde format; no attributes are an empty map.
    ///
    /// # Errors
    /// The format's own: an unknown attribute, one that is missing, one of another type.
    pub fn read<'de, D: Deserializer<'de>>(self, attrs: D) -> std::result::Result<Op, D::Error> {
        fn from<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
            attrs: D,
        ) -> std::result::Result<T, D::Error> {
            T::deserialize(attrs)
        }
        Ok(match self {
            OpKind::Unary(kind) => from::<Plain, D>(attrs).map(|_| Op::Unary(kind))?,
            OpKind::AsType => Op::AsType(from(attrs)?),
            OpKind::Bitcast => Op::Bitcast(from(attrs)?),
            OpKind::Arithmetic(kind) => Op::Arithmetic(kind, from(attrs)?),
            OpKind::Compare(kind) => from::<Plain, D>(attrs).map(|_| Op::Compare(kind))?,
            OpKind::Iota => Op::Iota(from(attrs)?),
            OpKind::Eye => Op::Eye(from(attrs)?),
            OpKind::Constant => Op::Constant(from(attrs)?),
            OpKind::Transpose => Op::Transpose(from(attrs)?),
            OpKind::Reshape => Op::Reshape(from(attrs)?),
            OpKind::Squeeze => Op::Squeeze(from(attrs)?),
            OpKind::Reverse => Op::Reverse(from(attrs)?),
            OpKind::Pad => Op::Pad(from(attrs)?),
            OpKind::Broadcast => Op::Broadcast(from(attrs)?),
            OpKind::Concatenate => Op::Concatenate(from(attrs)?),
            OpKind::Stack => Op::Stack(from(attrs)?),
            OpKind::Select => Op::Select(from(attrs)?),
            OpKind::Clip => Op::Clip(from(attrs)?),
            OpKind::Slice => Op::Slice(from(attrs)?),
            OpKind::DynamicSlice => Op::DynamicSlice(from(attrs)?),
            OpKind::Gather => Op::Gather(from(attrs)?),
            OpKind::Take => Op::Take(from(attrs)?),
            OpKind::TakeAlongAxis => Op::TakeAlongAxis(from(attrs)?),
            OpKind::PutSlice => Op::PutSlice(from(attrs)?),
            OpKind::DynamicPutSlice => Op::DynamicPutSlice(from(attrs)?),
            OpKind::Indexed(kind) => Op::Indexed(kind, from(attrs)?),
            OpKind::Reduce(kind) => Op::Reduce(kind, from(attrs)?),
            OpKind::Quantifier(kind) => Op::Quantifier(kind, from(attrs)?),
            OpKind::AllClose => Op::AllClose(from(attrs)?),
            OpKind::ArgReduce(kind) => Op::ArgReduce(kind, from(attrs)?),
            OpKind::Argsort => Op::Argsort(from(attrs)?),
            OpKind::Sort => Op::Sort(from(attrs)?),
            OpKind::TopK => Op::TopK(from(attrs)?),
            OpKind::Window(kind) => Op::Window(kind, from(attrs)?),
            OpKind::WindowScatter(kind) => Op::WindowScatter(kind, from(attrs)?),
            OpKind::Cumulative(kind) => Op::Cumulative(kind, from(attrs)?),
            OpKind::Dot => Op::Dot(from(attrs)?),
            OpKind::Qr => Op::Qr(from(attrs)?),
            OpKind::Conv => Op::Conv(from(attrs)?),
            OpKind::Fourier(kind) => Op::Fourier(kind, from(attrs)?),
            OpKind::Fourier2(kind) => Op::Fourier2(kind, from(attrs)?),
            OpKind::TriangularSolve => Op::TriangularSolve(from(attrs)?),
            OpKind::Cholesky => Op::Cholesky(from(attrs)?),
            OpKind::Solve => Op::Solve(from(attrs)?),
            OpKind::Lu => Op::Lu(from(attrs)?),
            OpKind::Eigh => Op::Eigh(from(attrs)?),
            OpKind::Svd => Op::Svd(from(attrs)?),
            OpKind::Determinant => Op::Determinant(from(attrs)?),
            OpKind::GatherMm => Op::GatherMm(from(attrs)?),
            OpKind::Quantize => Op::Quantize(from(attrs)?),
            OpKind::Dequantize => Op::Dequantize(from(attrs)?),
            OpKind::FpQuantize => Op::FpQuantize(from(attrs)?),
            OpKind::FpGatherQmm => Op::FpGatherQmm(from(attrs)?),
            OpKind::GatherQmm => Op::GatherQmm(from(attrs)?),
            OpKind::FpDequantize => Op::FpDequantize(from(attrs)?),
            OpKind::FpQuantizedMatmul => Op::FpQuantizedMatmul(from(attrs)?),
            OpKind::QuantizedMatmul => Op::QuantizedMatmul(from(attrs)?),
            OpKind::Softmax => Op::Softmax(from(attrs)?),
            OpKind::Logsumexp => Op::Logsumexp(from(attrs)?),
            OpKind::Norm(kind) => Op::Norm(kind, from(attrs)?),
            OpKind::ScaledDotProductAttention => Op::ScaledDotProductAttention(from(attrs)?),
            OpKind::Rope => Op::Rope(from(attrs)?),
            OpKind::Einsum => Op::Einsum(from(attrs)?),
        })
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
    fn parts(&self) -> (&'static Row, &dyn Attributes) {
        match self {
            Op::Unary(kind) => (kind.row(), &Plain {}),
            Op::AsType(attrs) => (AsType::ROW, attrs),
            Op::Bitcast(attrs) => (Bitcast::ROW, attrs),
            Op::Arithmetic(kind, attrs) => (kind.row(), attrs),
            Op::Compare(kind) => (kind.row(), &Plain {}),
            Op::Iota(attrs) => (Iota::ROW, attrs),
            Op::Eye(attrs) => (Eye::ROW, attrs),
            Op::Constant(attrs) => (Constant::ROW, attrs),
            Op::Transpose(attrs) => (Transpose::ROW, attrs),
            Op::Reshape(attrs) => (Reshape::ROW, attrs),
            Op::Squeeze(attrs) => (Squeeze::ROW, attrs),
            Op::Reverse(attrs) => (Reverse::ROW, attrs),
            Op::Pad(attrs) => (Pad::ROW, attrs),
            Op::Broadcast(attrs) => (Broadcast::ROW, attrs),
            Op::Concatenate(attrs) => (Concatenate::ROW, attrs),
            Op::Stack(attrs) => (Stack::ROW, attrs),
            Op::Select(attrs) => (Select::ROW, attrs),
            Op::Clip(attrs) => (Clip::ROW, attrs),
            Op::Slice(attrs) => (Slice::ROW, attrs),
            Op::DynamicSlice(attrs) => (DynamicSlice::ROW, attrs),
            Op::Gather(attrs) => (Gather::ROW, attrs),
            Op::Take(attrs) => (Take::ROW, attrs),
            Op::TakeAlongAxis(attrs) => (TakeAlongAxis::ROW, attrs),
            Op::PutSlice(attrs) => (PutSlice::ROW, attrs),
            Op::DynamicPutSlice(attrs) => (DynamicPutSlice::ROW, attrs),
            Op::Indexed(kind, attrs) => (kind.row(), attrs),
            Op::Reduce(kind, attrs) => (kind.row(), attrs),
            Op::Quantifier(kind, attrs) => (kind.row(), attrs),
            Op::AllClose(attrs) => (AllClose::ROW, attrs),
            Op::ArgReduce(kind, attrs) => (kind.row(), attrs),
            Op::Argsort(attrs) => (Argsort::ROW, attrs),
            Op::Sort(attrs) => (Sort::ROW, attrs),
            Op::TopK(attrs) => (TopK::ROW, attrs),
            Op::Window(kind, attrs) => (kind.row(), attrs),
            Op::WindowScatter(kind, attrs) => (kind.row(), attrs),
            Op::Cumulative(kind, attrs) => (kind.row(), attrs),
            Op::Dot(attrs) => (Dot::ROW, attrs),
            Op::Qr(attrs) => (Qr::ROW, attrs),
            Op::Conv(attrs) => (Conv::ROW, attrs),
            Op::Fourier(kind, attrs) => (kind.row(), attrs),
            Op::Fourier2(kind, attrs) => (kind.row(), attrs),
            Op::TriangularSolve(attrs) => (TriangularSolve::ROW, attrs),
            Op::Cholesky(attrs) => (Cholesky::ROW, attrs),
            Op::Solve(attrs) => (Solve::ROW, attrs),
            Op::Lu(attrs) => (Lu::ROW, attrs),
            Op::Eigh(attrs) => (Eigh::ROW, attrs),
            Op::Svd(attrs) => (Svd::ROW, attrs),
            Op::Determinant(attrs) => (Determinant::ROW, attrs),
            Op::GatherMm(attrs) => (GatherMm::ROW, attrs),
            Op::Quantize(attrs) => (Quantize::ROW, attrs),
            Op::Dequantize(attrs) => (Dequantize::ROW, attrs),
            Op::FpQuantize(attrs) => (FpQuantize::ROW, attrs),
            Op::FpGatherQmm(attrs) => (FpGatherQmm::ROW, attrs),
            Op::GatherQmm(attrs) => (GatherQmm::ROW, attrs),
            Op::FpDequantize(attrs) => (FpDequantize::ROW, attrs),
            Op::FpQuantizedMatmul(attrs) => (FpQuantizedMatmul::ROW, attrs),
            Op::QuantizedMatmul(attrs) => (QuantizedMatmul::ROW, attrs),
            Op::Softmax(attrs) => (Softmax::ROW, attrs),
            Op::Logsumexp(attrs) => (Logsumexp::ROW, attrs),
            Op::Norm(kind, attrs) => (kind.row(), attrs),
            Op::ScaledDotProductAttention(attrs) => (ScaledDotProductAttention::ROW, attrs),
            Op::Rope(attrs) => (Rope::ROW, attrs),
            Op::Einsum(attrs) => (Einsum::ROW, attrs),
        }
    }

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
