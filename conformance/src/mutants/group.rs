//! Dtypes that implementations treat alike, and therefore may treat wrongly alone.

use std::fmt;

use emily_spec::{Class, DType, Dtypes, Op, ResultDType, Row, TensorType};

/// Dtypes that are computed in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Integers of both signs.
    Integers,
    /// `f32` and `f64`.
    Floats,
    /// `f16` and `bf16`.
    SmallFloats,
    /// `c64`.
    Complex,
}

impl Group {
    /// All of them.
    pub const ALL: [Group; 4] = [
        Group::Integers,
        Group::Floats,
        Group::SmallFloats,
        Group::Complex,
    ];

    /// The group of a dtype.
    pub const fn of(dtype: DType) -> Group {
        match dtype.class() {
            Class::Unsigned | Class::Signed => Group::Integers,
            Class::Float if dtype.is_small_float() => Group::SmallFloats,
            Class::Float => Group::Floats,
            Class::Complex => Group::Complex,
        }
    }

    /// The group of a call: of its result, of several the first that is no integer, or of its first
    /// operand where an integer says something of it. `None` of a call that the op refuses.
    pub fn of_call(op: &Op, types: &[TensorType]) -> Option<Group> {
        let results = op.infer(types).ok()?;
        let dtype = match (speaks_of_operands(op.row()), types.first()) {
            (true, Some(first)) => first.dtype,
            _ => {
                let number = results.iter().find(|ty| !ty.dtype.is_integer());
                number.or(results.first())?.dtype
            }
        };
        Some(Group::of(dtype))
    }

    /// The groups of an op's calls.
    pub fn of_row(row: &Row) -> Vec<Group> {
        let decided = |dtype: DType| match row.result {
            ResultDType::Floating => dtype.to_floating(),
            ResultDType::Aggregate => dtype.to_aggregate(),
            ResultDType::Real => dtype.to_real(),
            ResultDType::RealFloating => dtype.to_floating().to_real(),
            ResultDType::Parts => DType::F32,
            ResultDType::Complex => DType::C64,
            ResultDType::Same
            | ResultDType::Merged
            | ResultDType::Predicate
            | ResultDType::Codes
            | ResultDType::Index
            | ResultDType::Asked => dtype,
        };
        let accepted = DType::ALL.into_iter().filter(|d| row.accepts.contains(*d));
        let groups: Vec<Group> = accepted.map(|d| Group::of(decided(d))).collect();
        let all = Group::ALL.into_iter();
        all.filter(|group| groups.contains(group)).collect()
    }

    /// True when the set holds the group.
    pub(super) const fn is_within(self, dtypes: Dtypes) -> bool {
        match self {
            Group::Integers => dtypes.integer,
            Group::Floats | Group::SmallFloats => dtypes.float,
            Group::Complex => dtypes.complex,
        }
    }

    /// The last part of its trials' names.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Integers => "integers",
            Group::Floats => "floats",
            Group::SmallFloats => "small_floats",
            Group::Complex => "complex",
        }
    }
}

/// True when results are integers whatever the operands.
pub fn speaks_of_operands(row: &Row) -> bool {
    matches!(
        row.result,
        ResultDType::Predicate | ResultDType::Codes | ResultDType::Index
    )
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
