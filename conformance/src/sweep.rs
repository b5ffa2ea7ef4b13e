//! Sweeps: a few words in a case file that stand for many calls.
//!
//! A sweep is expanded into [`Plan`]s when the file is loaded, which costs no memory to speak of and
//! checks every combination against `Op::infer`; a plan makes its tensors when its trial runs. The
//! language is described in `fixtures/README.md`.

use emily_spec::{DType, Op, ResultDType, Row, Shape, TensorType};
use serde::Deserialize;
use toml::Table;

use crate::literal::{Literal, parse_shape};
use crate::plan::{Operand, Plan, domain, flat};
use crate::values::Values;
use crate::view::View;

/// A sweep as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    #[serde(default)]
    attrs: Vec<Table>,
    #[serde(default)]
    shapes: Vec<String>,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    views: Vec<String>,
    #[serde(default)]
    operands: Vec<OperandText>,
}

/// One operand as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OperandText {
    literal: Option<String>,
    shape: Option<String>,
    values: Option<String>,
    dtype: Option<String>,
}

/// Makes an op of an attribute table, at a dtype.
pub type MakeOp<'a> = &'a dyn Fn(&Table) -> Result<Op, String>;

impl Sweep {
    /// Every combination at one dtype.
    ///
    /// # Errors
    /// What is wrong with the sweep, for the author: a bad word, or a combination that the op does
    /// not take.
    pub fn plans(&self, row: &Row, dtype: DType, make: MakeOp<'_>) -> Result<Vec<Plan>, String> {
        if !self.shapes.is_empty() && !self.operands.is_empty() {
            return Err("shapes and operands exclude each other".to_owned());
        }
        let values = parsed::<Values>(&self.values, Values::Domain { seed: 0 })?;
        let views = parsed::<View>(&self.views, View::Plain)?;
        let attrs = match self.attrs.as_slice() {
            [] => &[Table::new()],
            attrs => attrs,
        };
        let mut plans = Vec::new();
        for attrs in attrs {
            let op = make(attrs)?;
            for &values in &values {
                for operands in self.operand_lists(row, dtype, values)? {
                    let flat = flat(row, &operands, values);
                    for &view in &views {
                        plans.extend(Plan::new(&op, &operands, view)?);
                        if let Some(flat) = &flat {
                            plans.extend(Plan::new(&op, flat, view)?);
                        }
                    }
                }
            }
        }
        if plans.is_empty() {
            return Err("no operand of the sweep can take its views".to_owned());
        }
        plans.dedup();
        Ok(plans)
    }

    /// The dtypes that it runs at when the case names none.
    pub fn dtypes(&self, row: &Row) -> Vec<DType> {
        let mut operands = self.operands.iter();
        match operands.any(|operand| operand.dtype.as_deref() == Some("each")) {
            true => mixed_dtypes(row),
            false => usual_dtypes(row),
        }
    }

    /// True when no operand depends on the trial's dtype.
    pub fn is_of_fixed_dtype(&self) -> bool {
        !self.operands.is_empty()
            && self
                .operands
                .iter()
                .all(|o| o.literal.is_some() || o.dtype.is_some())
    }

    /// The first operand's dtype, where the sweep fixes it.
    pub fn fixed_dtype(&self) -> Result<DType, String> {
        let first = self.operands.first().ok_or("the sweep has no operands")?;
        match (&first.literal, &first.dtype) {
            (Some(literal), _) => Ok(Literal::parse(literal)?.ty().dtype),
            (None, Some(dtype)) => dtype.parse().map_err(|e| format!("{e}")),
            (None, None) => Err("the first operand names no dtype".to_owned()),
        }
    }

    fn operand_lists(
        &self,
        row: &Row,
        dtype: DType,
        values: Values,
    ) -> Result<Vec<Vec<Operand>>, String> {
        if self.operands.is_empty() {
            return self.shape_lists(row).map(|lists| {
                let fill = |(i, shape)| Operand::Filled {
                    ty: TensorType::new(dtype, shape),
                    values,
                    domain: domain(row, i),
                };
                let fill = |shapes: Vec<Shape>| shapes.into_iter().enumerate().map(fill).collect();
                lists.into_iter().map(fill).collect()
            });
        }
        let mut lists = vec![Vec::new()];
        for (i, text) in self.operands.iter().enumerate() {
            let choices = text.choices(row, i, dtype, values)?;
            lists = lists
                .iter()
                .flat_map(|list: &Vec<Operand>| {
                    choices
                        .iter()
                        .map(|choice| [&list[..], std::slice::from_ref(choice)].concat())
                })
                .collect();
        }
        Ok(lists)
    }

    /// The shapes of all operands, per entry of `shapes`.
    fn shape_lists(&self, row: &Row) -> Result<Vec<Vec<Shape>>, String> {
        let least = row.arity.least();
        if least == 0 {
            return match self.shapes.as_slice() {
                [] => Ok(vec![Vec::new()]),
                _ => Err(format!("{} has no operands to shape", row.name)),
            };
        }
        let mut lists = Vec::new();
        for entry in self.shapes.iter().flat_map(|entry| group(entry)) {
            let mut shapes: Vec<Shape> = entry
                .split(';')
                .map(parse_shape)
                .collect::<Result<_, _>>()?;
            if let [shape] = &shapes[..] {
                shapes = vec![shape.clone(); least];
            }
            lists.push(shapes);
        }
        if lists.is_empty() {
            return Err("a sweep needs shapes or operands".to_owned());
        }
        Ok(lists)
    }
}

impl OperandText {
    /// What this operand may be: one thing, or one per dtype for `dtype = "each"`.
    fn choices(
        &self,
        row: &Row,
        index: usize,
        dtype: DType,
        values: Values,
    ) -> Result<Vec<Operand>, String> {
        let shape = match (&self.literal, &self.shape) {
            (Some(text), None) if self.values.is_none() && self.dtype.is_none() => {
                let literal = Literal::parse(text)?;
                return Ok(vec![Operand::Fixed(literal.at(literal.ty().dtype)?)]);
            }
            (None, Some(shape)) => parse_shape(shape)?,
            _ => {
                return Err("an operand is a literal alone, or a shape with \
                            values and dtype if need be"
                    .to_owned());
            }
        };
        let values = match &self.values {
            Some(values) => values.parse()?,
            None => values,
        };
        let dtypes = match self.dtype.as_deref() {
            None => vec![dtype],
            Some("each") => mixed_dtypes(row),
            Some(name) => vec![name.parse().map_err(|e| format!("{e}"))?],
        };
        let fill = |dtype| Operand::Filled {
            ty: TensorType::new(dtype, shape.clone()),
            values,
            domain: domain(row, index),
        };
        Ok(dtypes.into_iter().map(fill).collect())
    }
}

/// The dtypes that each meets each of the others: not `f64`, which no complex dtype has for parts.
fn mixed_dtypes(row: &Row) -> Vec<DType> {
    let usual = usual_dtypes(row).into_iter();
    usual.filter(|dtype| *dtype != DType::F64).collect()
}

/// All dtypes that a row takes, and has a result for.
fn usual_dtypes(row: &Row) -> Vec<DType> {
    let complex = matches!(row.result, ResultDType::Complex | ResultDType::Parts);
    let exists = |dtype: DType| !complex || dtype.to_complex().is_ok();
    let usual = |dtype: &DType| row.accepts.contains(*dtype) && exists(*dtype);
    DType::ALL.into_iter().filter(usual).collect()
}

/// The entries of a named group of shapes, or the entry itself.
fn group(entry: &str) -> Vec<&str> {
    match entry.trim() {
        "edges" => vec![
            "[1]", "[3]", "[4]", "[7]", "[8]", "[9]", "[31]", "[32]", "[33]", "[1023]", "[1024]",
            "[1025]",
        ],
        "empty" => vec!["[0]", "[0,3]", "[2,0]"],
        "broadcasts" => vec![
            "[];[3]",
            "[3];[]",
            "[1];[33]",
            "[2,1];[1,3]",
            "[2,3];[3]",
            "[4,1,3];[2,1]",
            "[0];[1]",
            "[1,0];[2,1]",
        ],
        other => vec![other],
    }
}

fn parsed<T: std::str::FromStr<Err = String>>(
    texts: &[String],
    default: T,
) -> Result<Vec<T>, String> {
    if texts.is_empty() {
        return Ok(vec![default]);
    }
    texts.iter().map(|text| text.parse()).collect()
}

#[cfg(test)]
mod tests {
    use emily_spec::Domain;

    use super::*;
    use crate::number;
    use crate::plan::Call;
    use crate::values::specials;

    fn plans(op: &str, dtype: DType, sweep: &str) -> Result<Vec<Plan>, String> {
        let sweep: Sweep = toml::from_str(sweep).map_err(|e| e.to_string())?;
        let make = |attrs: &Table| crate::case::make_op(op, attrs, Some(dtype));
        sweep.plans(Row::named(op).unwrap(), dtype, &make)
    }

    fn calls(plans: &[Plan]) -> Vec<Call> {
        let mut calls = Vec::new();
        for plan in plans {
            plan.calls::<String>(|call| {
                calls.push(call);
                Ok(())
            })
            .unwrap();
        }
        calls
    }

    #[test]
    fn specials_of_binary_ops_are_a_cross_product() {
        let plans = plans(
            "add",
            DType::F32,
            "shapes = ['[33]']\nvalues = ['specials']",
        )
        .unwrap();
        let mut pairs = std::collections::HashSet::new();
        for call in calls(&plans) {
            let [left, right] = &call.inputs[..] else {
                panic!("two operands")
            };
            pairs.extend(number::elements(&left.tensor).zip(number::elements(&right.tensor)));
        }
        assert_eq!(pairs.len(), specials(DType::F32, Domain::Any).len().pow(2));
    }

    #[test]
    fn combinations_are_attrs_by_shapes_by_values_by_views() {
        let text = "attrs = [{axes=[0]}, {axes=[1]}]\nshapes = ['[2,3]', '[4,5]']
                    values = ['iota', 'domain(seed=1)']\nviews = ['plain', 'transposed']";
        assert_eq!(plans("sum", DType::F32, text).unwrap().len(), 16);
        let scalars = "shapes = ['[]']\nviews = ['plain', 'offset']";
        assert_eq!(plans("exp", DType::F32, scalars).unwrap().len(), 1);
    }

    #[test]
    fn operands_have_their_own_roles() {
        let text = "operands = [{shape='[4,5]'}, {literal='s32[2,1] 0 3'}]\nattrs = [{axes=[0]}]";
        let calls = calls(&plans("gather", DType::F16, text).unwrap());
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].inputs[0].tensor.ty().to_string(), "f16[4,5]");
        assert_eq!(calls[0].inputs[1].tensor.ty().to_string(), "s32[2,1]");
        let mixed = "operands = [{shape='[3]'}, {shape='[3]', dtype='each'}]";
        assert_eq!(plans("add", DType::U8, mixed).unwrap().len(), 12);
    }

    #[test]
    fn a_combination_that_the_op_refuses_is_an_error() {
        let problem = plans("sum", DType::F32, "attrs=[{axes=[1]}]\nshapes=['[3]']").unwrap_err();
        assert!(problem.contains("axis 1 is out of range"), "{problem}");
        assert!(plans("exp", DType::F32, "shapes = ['[3']").is_err());
        assert!(plans("exp", DType::F32, "").is_err());
        assert!(plans("exp", DType::F32, "shapes = ['[3]']\nvalue = ['iota']").is_err());
    }

    #[test]
    fn exhaustive_pairs_stay_within_the_domain() {
        let row = Row::named("remainder").unwrap();
        let op = crate::case::make_op("remainder", &Table::new(), None).unwrap();
        let plan = Plan::exhaustive(row, &op, DType::U8).unwrap();
        assert_eq!(
            calls(&[plan])[0].inputs[1].tensor.shape().dims(),
            [256 * 255]
        );
        assert!(Plan::exhaustive(row, &op, DType::F16).is_err());
    }
}
