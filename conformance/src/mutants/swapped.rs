//! Another op in an op's place.

use emily_spec::{AsType, Op, OpKind, ROWS, Result, ResultDType, Row, Tensor, Unary};
use serde_json::Value as Json;

use super::{Group, Reason, attributes, run as oracle, types};
use crate::view::Input;

/// The ops that an op may be mistaken for: the other kinds of its enum; where it has none, those of
/// its arity that need no attribute which it has not, in its family if there are any.
pub(super) fn others(row: &'static Row) -> Vec<&'static Row> {
    let alike = |other: &&&'static Row| row.kinds.is_some() && row.kinds == other.kinds;
    let has = |name: &str| row.attributes.iter().any(|own| own.name == name);
    let callable = |other: &&&'static Row| {
        let mut needed = other.attributes.iter().filter(|a| a.required);
        other.arity == row.arity && needed.all(|a| has(a.name))
    };
    let another = || ROWS.iter().filter(|other| other.kind != row.kind);
    let kinds: Vec<_> = another().filter(alike).copied().collect();
    if !kinds.is_empty() {
        return kinds;
    }
    let callable: Vec<_> = another().filter(callable).copied().collect();
    let of_family = |other: &&'static Row| other.family == row.family;
    if callable.iter().any(of_family) {
        callable
            .into_iter()
            .filter(|other| of_family(other))
            .collect()
    } else {
        callable
    }
}

/// Why the other op gives the same, where the rows say so.
pub(super) fn equivalent(by: &Row, row: &Row, group: Group) -> Option<Reason> {
    if [by, row].iter().all(|row| group.is_within(row.vanishes)) {
        return Some("both give zeros only");
    }
    let conjugates = by.result == ResultDType::Complex && row.kind == OpKind::Unary(Unary::Real);
    conjugates.then_some("a number's conjugate has its real part")
}

/// The other op on the same operands, with those attributes that it has, its results cast to the
/// true ones' dtypes.
pub(super) fn run(by: &'static Row, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let wanted = op.infer(&types(inputs))?;
    let mut attrs = attributes::given(op);
    attrs.retain(|name, _| by.attributes.iter().any(|own| own.name == name));
    let Ok(other) = Op::read(by.name, Json::Object(attrs)) else {
        return oracle(op, inputs);
    };
    let results = oracle(&other, inputs)?.into_iter().zip(&wanted);
    let cast = |(tensor, ty): (Tensor, &emily_spec::TensorType)| {
        let cast = Op::AsType(AsType { dtype: ty.dtype });
        Ok(oracle(&cast, &[Input::plain(tensor)])?.remove(0))
    };
    results.map(cast).collect()
}
