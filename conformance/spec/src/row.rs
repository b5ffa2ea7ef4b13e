//! One row per op: what it takes, how its answer is judged, where it can be differentiated.
//!
//! Reports, OPS.md and Elixir's op list are generated from these rows.

use crate::{Class, DType, Error, ErrorKind, Op, Result, TensorType, Tolerance};

/// What is known of an op besides its code.
#[derive(Debug)]
pub struct Row {
    /// The op's name, as serde writes it.
    pub name: &'static str,
    /// The case files' folder and the source file in oracle and engine.
    pub family: &'static str,
    /// The operands' names, in order; the last one repeats where the arity is open.
    pub operands: &'static [&'static str],
    /// How many operands.
    pub arity: Arity,
    /// How many results.
    pub results: usize,
    /// The dtypes that the data operands may have.
    pub accepts: Dtypes,
    /// How an answer is judged.
    pub judged: Judged,
    /// Per operand, the values that generated inputs are drawn from; the last one repeats.
    pub domain: &'static [Domain],
    /// Where the op can be differentiated; `None` where its gradient is zero or undefined.
    pub grad: Option<Grad>,
}

/// A number of operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Exactly this many.
    Exactly(usize),
    /// This many or more.
    AtLeast(usize),
}

/// A set of dtypes, by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtypes {
    /// Integers of both signs.
    pub integer: bool,
    /// Real floats.
    pub float: bool,
    /// Complex numbers.
    pub complex: bool,
}

impl Dtypes {
    /// Every dtype.
    pub const ALL: Dtypes = Dtypes {
        integer: true,
        float: true,
        complex: true,
    };
    /// Every dtype but complex.
    pub const REAL: Dtypes = Dtypes {
        complex: false,
        ..Dtypes::ALL
    };
    /// Real floats.
    pub const FLOAT: Dtypes = Dtypes {
        integer: false,
        ..Dtypes::REAL
    };

    /// True when the set holds this dtype.
    pub const fn contains(self, dtype: DType) -> bool {
        match dtype.class() {
            Class::Unsigned | Class::Signed => self.integer,
            Class::Float => self.float,
            Class::Complex => self.complex,
        }
    }
}

/// How an op's answer is judged.
#[derive(Clone, Copy, Debug)]
pub enum Judged {
    /// Element by element, within a tolerance per result dtype.
    Values(fn(DType) -> Tolerance),
    /// By what a decomposition promises, with residuals up to `k` units of rounding.
    Promise {
        /// What must hold.
        promise: Promise,
        /// The allowed residual in units of eps · dimension · norm.
        k: f64,
    },
}

/// What a decomposition promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A = Q·R, Qᵀ·Q = I, R upper triangular.
    Qr,
}

/// The values generated inputs are drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Domain {
    /// Every value of the dtype, special ones too.
    Any,
    /// Every value but zero. Float zeros stay: dividing by them is defined.
    NonZero,
    /// From the first to the second; special floats stay, because the op is defined for them.
    Range(f64, f64),
}

/// Where an op can be differentiated.
#[derive(Clone, Copy, Debug)]
pub struct Grad {
    /// Per operand, the values on which finite differences mean something.
    pub domain: &'static [Domain],
    /// How near the gradient must be to the oracle's finite differences, in units of f32's eps
    /// times the largest slope.
    pub eps: f64,
}

impl Row {
    /// Checks the number of operands and their dtypes.
    pub(crate) fn check(&self, inputs: &[TensorType]) -> Result<()> {
        let (fits, want) = match self.arity {
            Arity::Exactly(n) => (inputs.len() == n, n),
            Arity::AtLeast(n) => (inputs.len() >= n, n),
        };
        if !fits {
            let least = matches!(self.arity, Arity::AtLeast(_));
            return Err(Error::new(
                ErrorKind::Argument,
                format!(
                    "{} takes {}{want} operands ({}), got {}",
                    self.name,
                    if least { "at least " } else { "" },
                    self.operands.join(", "),
                    inputs.len()
                ),
            ));
        }
        Ok(())
    }

    /// Checks that the op takes this dtype.
    pub(crate) fn check_dtype(&self, dtype: DType) -> Result<()> {
        if self.accepts.contains(dtype) {
            return Ok(());
        }
        let known: Vec<_> = DType::ALL
            .into_iter()
            .filter(|d| self.accepts.contains(*d))
            .map(DType::name)
            .collect();
        Err(Error::new(
            ErrorKind::Dtype,
            format!(
                "{} does not take {dtype}; cast to one of {}",
                self.name,
                known.join(" ")
            ),
        ))
    }
}

/// The row with this name.
pub fn row_named(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// Writes the table once, and from it the list and the exhaustive lookup.
macro_rules! rows {
    ($($variant:ident: $row:expr,)*) => {
        /// Every op's row.
        pub static ROWS: &[Row] = &[$($row),*];

        enum Index { $($variant),* }

        impl Row {
            /// The op's row.
            pub fn of(op: &Op) -> &'static Row {
                match op {
                    $(Op::$variant { .. } => &ROWS[Index::$variant as usize],)*
                }
            }
        }
    };
}

const EXACT: Judged = Judged::Values(|_| Tolerance::Exact);

/// A row with the defaults most ops share.
const ROW: Row = Row {
    name: "",
    family: "",
    operands: &["tensor"],
    arity: Arity::Exactly(1),
    results: 1,
    accepts: Dtypes::ALL,
    judged: EXACT,
    domain: &[Domain::Any],
    grad: None,
};

const BINARY: Row = Row {
    family: "binary",
    operands: &["left", "right"],
    arity: Arity::Exactly(2),
    ..ROW
};

/// A function evaluated by a maths library that promises `ulp32` units in f32; f16 and bf16 go
/// through f32, so one rounding on top of it can move the answer by one unit.
const fn library(dtype: DType, ulp32: u32) -> Tolerance {
    match dtype {
        DType::F16 | DType::Bf16 => Tolerance::Ulp(1),
        // Each part carries the error of both: bounded against the modulus, not the part.
        DType::C64 => Tolerance::Accum(ulp32 as f64 * 2.0),
        _ => Tolerance::Ulp(ulp32),
    }
}

/// Nx writes a gradient as a handful of ops, each within the few units of its own tolerance; the
/// largest, a library's exponential of a rounded square up to 4, is within 4 + 2 · 4 of them.
const SMOOTH: Grad = Grad {
    domain: &[Domain::Range(-2.0, 2.0)],
    eps: 16.0,
};

rows! {
    Add: Row { name: "add", grad: Some(SMOOTH), ..BINARY },
    Divide: Row {
        name: "divide",
        // Complex division is a product, a sum and a quotient: four roundings of the modulus.
        judged: Judged::Values(|dtype| match dtype {
            DType::C64 => Tolerance::Accum(8.0),
            _ => Tolerance::Exact,
        }),
        grad: Some(Grad { domain: &[Domain::Range(-2.0, 2.0), Domain::Range(0.5, 2.0)], ..SMOOTH }),
        ..BINARY
    },
    Remainder: Row {
        name: "remainder",
        accepts: Dtypes::REAL,
        domain: &[Domain::Any, Domain::NonZero],
        ..BINARY
    },
    Pow: Row {
        name: "pow",
        // powf: 1 ulp in glibc, 4 in CUDA's and Metal's tables. Complex: exp(w · log z).
        judged: Judged::Values(|dtype| match dtype {
            dtype if dtype.is_integer() => Tolerance::Exact,
            DType::C64 => Tolerance::Accum(64.0),
            dtype => library(dtype, 4),
        }),
        domain: &[Domain::Any, Domain::Range(0.0, 7.0)],
        grad: Some(Grad { domain: &[Domain::Range(0.5, 2.0), Domain::Range(-2.0, 2.0)], ..SMOOTH }),
        ..BINARY
    },
    Round: Row { name: "round", family: "unary", accepts: Dtypes::FLOAT, ..ROW },
    Exp: Row {
        name: "exp",
        family: "unary",
        // expf: 1 ulp in glibc, 2 in CUDA's table, 4 in Metal's.
        judged: Judged::Values(|dtype| library(dtype, 4)),
        grad: Some(SMOOTH),
        ..ROW
    },
    Erfc: Row {
        name: "erfc",
        family: "unary",
        accepts: Dtypes::REAL,
        judged: Judged::Values(|dtype| library(dtype, 8)),
        grad: Some(SMOOTH),
        ..ROW
    },
    Equal: Row { name: "equal", ..BINARY },
    AsType: Row { name: "as_type", family: "unary", grad: Some(SMOOTH), ..ROW },
    Iota: Row { name: "iota", family: "creation", operands: &[], arity: Arity::Exactly(0), ..ROW },
    Transpose: Row { name: "transpose", family: "shape", grad: Some(SMOOTH), ..ROW },
    Broadcast: Row { name: "broadcast", family: "shape", grad: Some(SMOOTH), ..ROW },
    Concatenate: Row {
        name: "concatenate",
        family: "shape",
        operands: &["tensors"],
        arity: Arity::AtLeast(1),
        grad: Some(SMOOTH),
        ..ROW
    },
    Select: Row {
        name: "select",
        family: "shape",
        operands: &["pred", "on_true", "on_false"],
        arity: Arity::Exactly(3),
        grad: Some(SMOOTH),
        ..ROW
    },
    Slice: Row {
        name: "slice",
        family: "index",
        operands: &["tensor", "starts"],
        arity: Arity::AtLeast(1),
        grad: Some(SMOOTH),
        ..ROW
    },
    Sum: Row {
        name: "sum",
        family: "reduce",
        judged: Judged::Values(sum_tolerance),
        grad: Some(SMOOTH),
        ..ROW
    },
    Argmax: Row { name: "argmax", family: "reduce", accepts: Dtypes::REAL, ..ROW },
    Argsort: Row { name: "argsort", family: "sort", accepts: Dtypes::REAL, ..ROW },
    Dot: Row {
        name: "dot",
        family: "linalg",
        operands: &["left", "right"],
        arity: Arity::Exactly(2),
        judged: Judged::Values(sum_tolerance),
        grad: Some(SMOOTH),
        ..ROW
    },
    Gather: Row {
        name: "gather",
        family: "index",
        operands: &["tensor", "indices"],
        arity: Arity::Exactly(2),
        grad: Some(SMOOTH),
        ..ROW
    },
    Qr: Row {
        name: "qr",
        family: "linalg",
        results: 2,
        accepts: Dtypes::REAL,
        judged: Judged::Promise { promise: Promise::Qr, k: 8.0 },
        domain: &[Domain::Range(-4.0, 4.0)],
        ..ROW
    },
}

/// Integers are exact. Floats are within two units of the magnitude: one for the final rounding,
/// one for accumulation, in blocks whose error hardly grows with the length, or, in a product, for
/// the growth that the oracle's magnitude allows for.
const fn sum_tolerance(dtype: DType) -> Tolerance {
    if dtype.is_integer() {
        Tolerance::Exact
    } else {
        Tolerance::Accum(2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row is found by the name that serde writes, so the two must be the same.
    #[test]
    fn row_names_are_serde_names() {
        for row in ROWS {
            let error = serde_json::from_str::<Op>(&format!(
                r#"{{"op":"{}","attrs":{{"no such":1}}}}"#,
                row.name
            ))
            .unwrap_err()
            .to_string();
            assert!(!error.contains("unknown variant"), "{}: {error}", row.name);
        }
        assert_eq!(Row::of(&Op::Round).name, "round");
        assert_eq!(Row::of(&Op::AsType { dtype: DType::U8 }).name, "as_type");
    }
}
