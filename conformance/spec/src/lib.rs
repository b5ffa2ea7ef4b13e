//! The contract: what an op is, what it accepts, what type it gives, and how near its answer must be.
//!
//! Every other crate speaks in these words. A case file names an [`Op`], the engine and the oracle
//! execute it, and the NIF receives it; [`Op::infer`] gives the result types before anything runs,
//! and the op's [`Row`] says which dtypes it takes and how its answer is judged.
//!
//! **Architecture invariant:** this crate depends on serde and on nothing of ours, and holds no
//! arithmetic on tensor elements: that is what the oracle and the engine are judged by.
#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

mod attribute;
mod cost;
mod dtype;
mod error;
mod family;
mod fnv;
mod grad;
mod listing;
mod op;
mod panic;
mod program;
mod row;
mod scalar;
mod shape;
mod tensor;
mod tolerance;

pub use attribute::{Attribute, List, Takes, Value};
pub use cost::{Cost, Price};
pub use dtype::{Class, DType, Dtypes};
pub use error::{Context, Error, ErrorKind, Result};
pub use family::Family;
pub use fnv::fnv1a;
pub use grad::Grad;
pub use listing::fingerprint;
pub use op::*;
pub use panic::{caught, panic_text, panicked};
pub use program::{Id, Node, Program, Region, Step};
pub use row::{Arity, Domain, Judged, Promise, Range, ResultDType, Role, Row};
pub use scalar::Scalar;
pub use shape::{Shape, row_major_strides};
pub use tensor::{Tensor, TensorType};
pub use tolerance::Tolerance;
