//! One row per op: what it takes, how its answer is judged, where it can be differentiated.
//!
//! Each row stands with its op, in `op/<family>.rs`. Reports, OPS.md and Elixir's op list are
//! generated from them.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use crate::op::ROWS;
use crate::{
    Attribute, Class, DType, Dtypes, Error, ErrorKind, Family, Grad, OpKind, Price, Result, Shape,
    TensorType, Tolerance,
};

/// What is known of an op besides its code.
#[derive(Debug)]
pub struct Row {
    /// The op.
    pub kind: OpKind,
    /// The enum that it is a variant of, where it shares its attributes with others.
    pub kinds: Option<&'static str>,
    /// The op's name in text, on the BEAM and in Nx.
    pub name: &'static str,
    /// What it means: its doc comment.
    pub doc: &'static str,
    /// The family that it belongs to.
    pub family: Family,
    /// Its attributes, in order.
    pub attributes: &'static [Attribute],
    /// The operands' names, in order; the last one repeats where the arity is open.
    pub operands: &'static [&'static str],
    /// What each operand is for; the last one repeats.
    pub roles: &'static [Role],
    /// How many operands.
    pub arity: Arity,
    /// How many results.
    pub results: usize,
    /// The dtypes that the data operands may have.
    pub accepts: Dtypes,
    /// What decides the result's dtype.
    pub result: ResultDType,
    /// How an answer is judged.
    pub judged: Judged,
    /// The result dtypes of which the definition leaves a zero's sign open.
    pub open_zero: Dtypes,
    /// The values that its results have.
    pub range: Range,
    /// The operands' dtypes that give zeros only.
    pub vanishes: Dtypes,
    /// Per operand, the values that generated inputs are drawn from; the last one repeats.
    pub domain: &'static [Domain],
    /// Where Nx's gradient of the op is its slope; `None` where that is zero or undefined, and where Nx
    /// has another one or none, on any backend.
    pub grad: Option<Grad>,
    /// What a call costs.
    pub price: Price,
}

/// What an operand is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Elements to compute with or to move. Their dtypes decide the result's.
    Data,
    /// What decides and is no part of the result, whatever its dtype: a predicate, which holds where it
    /// is not zero, or elements to choose by.
    Predicate,
    /// Whole numbers that say where: indices, starts.
    Index,
    /// Words of bits that are elements once they are taken apart.
    Codes,
}

/// What decides a result's dtype where the call does not ask for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultDType {
    /// The operand's.
    Same,
    /// The operands' merged dtype, to which they are cast.
    Merged,
    /// The same, and `f32` where that is an integer's.
    Floating,
    /// The operand's, and that of its parts where it is complex.
    Real,
    /// As `Floating`, but of a complex operand that of its parts.
    RealFloating,
    /// That of the parts of the complex dtype that holds the operand's.
    Parts,
    /// The complex dtype that holds the operand's.
    Complex,
    /// Nx's aggregate of the operand's: integers widen.
    Aggregate,
    /// `u8`, for what holds or does not.
    Predicate,
    /// Words of bits, `u32`.
    Codes,
    /// An integer, `s32`.
    Index,
    /// Nothing: the call has to say.
    Asked,
}

/// A number of operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Exactly this many.
    Exactly(usize),
    /// This many or more.
    AtLeast(usize),
    /// From the first to the second: the last ones may be left out.
    Within(usize, usize),
}

impl Arity {
    /// The least number of operands.
    pub const fn least(self) -> usize {
        match self {
            Arity::Exactly(n) | Arity::AtLeast(n) | Arity::Within(n, _) => n,
        }
    }

    /// True for a number of operands like this.
    pub const fn takes(self, count: usize) -> bool {
        match self {
            Arity::Exactly(n) => count == n,
            Arity::AtLeast(n) => count >= n,
            Arity::Within(least, most) => least <= count && count <= most,
        }
    }
}

impl fmt::Display for Arity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arity::Exactly(n) => write!(f, "{n}"),
            Arity::AtLeast(n) => write!(f, "at least {n}"),
            Arity::Within(least, most) => write!(f, "{least} to {most}"),
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
    /// A = Q·R, Qᵀ·Q = I, R upper triangular, with the signs that reflections give.
    Qr,
    /// A = L·Lᵀ, L lower triangular with a positive diagonal.
    Cholesky,
    /// A = P·L·U, P a permutation, L unit lower triangular and nowhere above 1, U upper triangular.
    Lu,
    /// A = V·diag(λ)·Vᵀ, Vᵀ·V = I, λ descending by modulus.
    Eigh,
    /// A = U·diag(S)·Vᵀ, Uᵀ·U = I, V likewise, S descending to zero or above.
    Svd,
}

/// The values that results have, whatever the operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Every value of the dtype.
    Any,
    /// Of real dtypes, none below zero, nor −0; NaN is among them.
    NonNegative,
    /// Of real dtypes, every value but −0.
    NoNegativeZero,
    /// Every value but −0: sums start from +0, and only what underflows may end there.
    Sums,
    /// Finite numbers from +0 up.
    Counts,
    /// Finite numbers: what would give others is refused.
    Finite,
    /// Of real operands +0, π and NaN only.
    Angles,
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
    /// Square matrices whose diagonal is more than twice as large as the rest of its row: their
    /// condition is below 4.
    Dominant,
    /// The same, symmetric and with a positive diagonal.
    PositiveDefinite,
    /// As `Dominant`, and with zeros below the diagonal, or above it.
    Triangular {
        /// What is not zero stands above the diagonal.
        upper: bool,
    },
}

impl Row {
    /// What operand number `index` is for.
    pub fn role(&self, index: usize) -> Role {
        let role = self.roles.get(index).or(self.roles.last());
        role.copied().unwrap_or(Role::Data)
    }

    /// Whether the op has an answer for data of the dtype: that of a complex `f64` does not exist.
    pub fn takes(&self, dtype: DType) -> bool {
        let complex = matches!(self.result, ResultDType::Complex | ResultDType::Parts);
        self.accepts.contains(dtype) && (!complex || dtype.to_complex().is_ok())
    }

    /// Checks the number of operands, and the dtypes of those that are data.
    pub(crate) fn check(&self, inputs: &[TensorType]) -> Result<()> {
        if !self.arity.takes(inputs.len()) {
            return Err(Error::new(
                ErrorKind::Argument,
                format!(
                    "takes {} operands ({}), got {}",
                    self.arity,
                    self.operands.join(", "),
                    inputs.len()
                ),
            ));
        }
        let mut inputs = inputs.iter().enumerate();
        inputs.try_for_each(|(index, ty)| match self.role(index) {
            Role::Data => self.check_dtype(ty.dtype),
            Role::Predicate | Role::Index | Role::Codes => Ok(()),
        })
    }

    /// The dtype asked for, or the one that follows from the operands that decide it.
    pub fn result_dtype(&self, inputs: &[TensorType], asked: Option<DType>) -> Result<DType> {
        match self.result {
            ResultDType::Same | ResultDType::Merged => asked.map_or_else(|| merged(inputs), Ok),
            ResultDType::Floating => match asked {
                None => Ok(merged(inputs)?.to_floating()),
                Some(dtype) if dtype.is_integer() => Err(Error::new(
                    ErrorKind::Dtype,
                    format!(
                        "the result of {} is floating, {dtype} was asked for; cast it afterwards",
                        self.name
                    ),
                )),
                Some(dtype) => Ok(dtype),
            },
            ResultDType::Real => merged(inputs).map(DType::to_real),
            ResultDType::RealFloating => merged(inputs).map(|dtype| dtype.to_floating().to_real()),
            ResultDType::Parts => Ok(merged(inputs)?.to_complex()?.to_real()),
            ResultDType::Complex => merged(inputs)?.to_complex(),
            ResultDType::Aggregate => match asked {
                Some(dtype) => Ok(dtype),
                None => merged(inputs).map(DType::to_aggregate),
            },
            ResultDType::Predicate => Ok(DType::U8),
            ResultDType::Codes => Ok(DType::U32),
            ResultDType::Index => {
                let dtype = asked.unwrap_or(DType::S32);
                check_integer(dtype, "an index result")?;
                Ok(dtype)
            }
            ResultDType::Asked => asked.ok_or_else(|| {
                Error::new(ErrorKind::Internal, format!("{} has no dtype", self.name))
            }),
        }
    }

    /// The result of a function of each element, or of each pair of elements.
    pub(crate) fn elementwise(
        &self,
        inputs: &[TensorType],
        asked: Option<DType>,
    ) -> Result<Vec<TensorType>> {
        let dtype = self.result_dtype(inputs, asked)?;
        let (first, rest) = inputs.split_first().ok_or_else(no_operands)?;
        let shape = rest
            .iter()
            .try_fold(first.shape.clone(), |shape, ty| shape.broadcast(&ty.shape))?;
        Ok(vec![TensorType::new(dtype, shape)])
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

impl Row {
    /// The row with this name.
    pub fn named(name: &str) -> Option<&'static Row> {
        static NAMED: LazyLock<HashMap<&str, &Row>> =
            LazyLock::new(|| ROWS.iter().map(|row| (row.name, *row)).collect());
        NAMED.get(name).copied()
    }
}

fn no_operands() -> Error {
    Error::new(
        ErrorKind::Internal,
        "an op of no operands has no merged dtype",
    )
}

/// The operands' merged dtype.
fn merged(inputs: &[TensorType]) -> Result<DType> {
    let (first, rest) = inputs.split_first().ok_or_else(no_operands)?;
    rest.iter()
        .try_fold(first.dtype, |dtype, input| dtype.merge(input.dtype))
}

/// Checks that an index or a start is an integer.
pub(crate) fn check_integer(dtype: DType, what: &str) -> Result<()> {
    match dtype.class() {
        Class::Unsigned | Class::Signed => Ok(()),
        Class::Float | Class::Complex => Err(Error::new(
            ErrorKind::Dtype,
            format!("{what} must be an integer, got {dtype}"),
        )),
    }
}

/// Checks that a list has one entry per axis.
pub(crate) fn check_per_axis<T>(name: &str, list: &[T], shape: &Shape) -> Result<()> {
    if list.len() == shape.rank() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Argument,
        format!(
            "{name} needs one entry per axis of {shape}, got {}",
            list.len()
        ),
    ))
}

const EXACT: Judged = Judged::Values(|_| Tolerance::Exact);

/// A row of this family with the defaults most ops share.
pub(crate) const fn row(family: Family) -> Row {
    Row {
        // Each row gets its own, with its name.
        kind: OpKind::AsType,
        kinds: None,
        name: "",
        doc: "",
        family,
        attributes: &[],
        operands: &["tensor"],
        roles: &[Role::Data],
        arity: Arity::Exactly(1),
        results: 1,
        accepts: Dtypes::ALL,
        result: ResultDType::Same,
        judged: EXACT,
        open_zero: Dtypes::NONE,
        range: Range::Any,
        vanishes: Dtypes::NONE,
        domain: &[Domain::Any],
        grad: None,
        price: Price::SIMPLE,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::iter;

    use heck::ToSnakeCase as _;

    use super::*;

    #[test]
    fn every_op_is_listed_once_under_its_own_name() {
        let mut kinds = HashSet::new();
        for row in ROWS.iter() {
            assert!(kinds.insert(row.kind), "{} is listed twice", row.name);
            assert!(!row.doc.is_empty(), "{}", row.name);
            // `Unary(Exp)` or `AsType`.
            let kind = format!("{:?}", row.kind);
            let variant = kind.trim_end_matches(')').rsplit('(').next().unwrap();
            assert_eq!(row.name, variant.to_snake_case());
            assert_eq!(Row::named(row.name).unwrap().kind, row.kind);
        }
    }

    #[test]
    fn a_dtype_outside_accepts_is_refused_as_data() {
        for row in ROWS.iter() {
            let n = row.arity.least();
            let outside = DType::ALL.into_iter().filter(|d| !row.accepts.contains(*d));
            let data = (0..n).filter(|&at| row.role(at) == Role::Data);
            for (dtype, at) in outside.flat_map(|dtype| iter::repeat(dtype).zip(data.clone())) {
                let mut inputs = vec![TensorType::new(DType::F32, []); n];
                inputs[at].dtype = dtype;
                let refused = row.check(&inputs).map_err(|error| error.kind);
                assert_eq!(refused, Err(ErrorKind::Dtype), "{}: {dtype}", row.name);
            }
        }
    }
}
