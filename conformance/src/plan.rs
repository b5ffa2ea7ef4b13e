//! A combination of a sweep, and the calls it stands for.

use emily_spec::{Arity, DType, Domain, Op, Row, Shape, Tensor, TensorType};

use crate::number;
use crate::values::{Values, allows, shape_matrices, specials};
use crate::view::{Input, View};

/// How many tensors step through the cross product of specials at one shape.
const STEPS: usize = 16;

/// The operands of one combination, before views and values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    /// The same in every call.
    Fixed(Tensor),
    /// Filled by a generator.
    Filled {
        ty: TensorType,
        values: Values,
        domain: Domain,
    },
}

/// One combination of a sweep: one call, or the several that step through the specials.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    op: Op,
    operands: Vec<Operand>,
    view: View,
}

/// One call of an op, with everything to run it and to tell it from others.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The op.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<Input>,
    /// What tells it from the trial's other calls; empty where there are none.
    pub what: String,
}

impl Operand {
    pub(crate) fn ty(&self) -> &TensorType {
        match self {
            Operand::Fixed(tensor) => tensor.ty(),
            Operand::Filled { ty, .. } => ty,
        }
    }

    /// The special values, where those are what fills it.
    fn pack(&self) -> Option<Vec<u64>> {
        match self {
            Operand::Filled {
                ty,
                values: Values::Specials,
                domain,
            } => Some(specials(ty.dtype, *domain)),
            Operand::Fixed(_) | Operand::Filled { .. } => None,
        }
    }
}

impl Plan {
    /// A plan for these operands; `None` where none of them can take the view.
    pub(crate) fn new(op: &Op, operands: &[Operand], view: View) -> Result<Option<Plan>, String> {
        let types: Vec<TensorType> = operands.iter().map(|o| o.ty().clone()).collect();
        op.infer(&types).map_err(|e| e.to_string())?;
        let taken = types.iter().any(|ty| view.filled(&ty.shape).is_some());
        let plan = Plan {
            op: op.clone(),
            operands: operands.to_vec(),
            view,
        };
        Ok((view == View::Plain || taken).then_some(plan))
    }

    /// Every value, or every pair of values, of a dtype.
    pub fn exhaustive(row: &Row, op: &Op, dtype: DType) -> Result<Plan, String> {
        let every = 1u64 << (8 * dtype.size()).min(16);
        let columns: Vec<Vec<u64>> = match (row.arity, dtype.size()) {
            (Arity::Exactly(1), 1 | 2) => {
                vec![
                    (0..every)
                        .filter(|&a| allows(domain(row, 0), dtype, a))
                        .collect(),
                ]
            }
            (Arity::Exactly(2), 1) => {
                let pairs = (0..every).flat_map(|a| (0..every).map(move |b| (a, b)));
                let allowed = |&(a, b): &(u64, u64)| {
                    allows(domain(row, 0), dtype, a) && allows(domain(row, 1), dtype, b)
                };
                let (left, right) = pairs.filter(allowed).unzip();
                vec![left, right]
            }
            _ => {
                return Err(format!(
                    "{} at {dtype} has too many values; exhaustive is for one operand of at most \
                     16 bits, or two of 8",
                    row.name
                ));
            }
        };
        let fixed = |column: Vec<u64>| {
            let ty = TensorType::new(dtype, [column.len()]);
            number::tensor(ty, column)
                .map(Operand::Fixed)
                .ok_or("an odd number of values")
        };
        let operands: Vec<Operand> = columns.into_iter().map(fixed).collect::<Result<_, _>>()?;
        Plan::new(op, &operands, View::Plain)?.ok_or_else(|| "no operands".to_owned())
    }

    /// The first result's dtype.
    pub fn result_dtype(&self) -> Option<DType> {
        Some(self.op.infer(&self.types()).ok()?.first()?.dtype)
    }

    /// True when an operand or a result has this dtype.
    pub fn uses(&self, dtype: DType) -> bool {
        uses(&self.op, self.types(), dtype)
    }

    /// True when the operands' values are drawn independently of each other. A broadcast repeats one
    /// of them, and the same number added again and again is rounded the same way each time.
    pub fn is_random(&self) -> bool {
        let drawn = |operand: &Operand| match operand {
            Operand::Fixed(_) => false,
            Operand::Filled { values, .. } => values.are_random(),
        };
        self.view != View::Broadcast && self.operands.iter().all(drawn)
    }

    /// The op of its calls.
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// Its operands, before views and values.
    pub(crate) fn operands(&self) -> &[Operand] {
        &self.operands
    }

    /// How operands come to be, where they can.
    pub fn view(&self) -> View {
        self.view
    }

    /// The operands that come to be as the view says: their numbers and dtypes.
    pub fn viewed(&self) -> impl Iterator<Item = (usize, DType)> {
        let operands = self.operands.iter().enumerate();
        operands.filter_map(|(index, operand)| match operand {
            Operand::Filled { ty, .. } => {
                self.view.filled(&ty.shape)?;
                Some((index, ty.dtype))
            }
            Operand::Fixed(_) => None,
        })
    }

    /// The operands' types, the same in all of its calls.
    pub fn types(&self) -> Vec<TensorType> {
        self.operands.iter().map(|o| o.ty().clone()).collect()
    }

    /// Calls `visit` with every call, one after the other, until it breaks off with an error.
    pub fn calls<E: From<String>>(
        &self,
        mut visit: impl FnMut(Call) -> Result<(), E>,
    ) -> Result<(), E> {
        let packs: Vec<Option<Vec<u64>>> = self.operands.iter().map(Operand::pack).collect();
        let total: usize = packs.iter().flatten().map(Vec::len).product();
        let longest = self
            .operands
            .iter()
            .zip(&packs)
            .filter(|(_, pack)| pack.is_some());
        let longest = longest
            .filter_map(|(operand, _)| operand.ty().shape.size().ok())
            .max()
            .unwrap_or(0);
        let steps = if longest == 0 {
            1
        } else {
            total.div_ceil(longest).clamp(1, STEPS)
        };
        for step in 0..steps {
            // Steps that cover everything touch; otherwise they are spread over it.
            let from = if steps < STEPS {
                step * longest
            } else {
                step * total / steps
            };
            let inputs = self.inputs(&packs, from)?;
            visit(Call {
                op: self.op.clone(),
                inputs,
                what: self.describe(step),
            })?;
        }
        Ok(())
    }

    fn inputs(&self, packs: &[Option<Vec<u64>>], from: usize) -> Result<Vec<Input>, String> {
        let mut weight = 1;
        let mut inputs = Vec::with_capacity(self.operands.len());
        for (i, (operand, pack)) in self.operands.iter().zip(packs).enumerate() {
            let shape = &operand.ty().shape;
            let (view, filled) = match self.view.filled(shape) {
                Some(filled) => (self.view, filled),
                None => (View::Plain, shape.clone()),
            };
            inputs.push(match (operand, pack) {
                (Operand::Fixed(tensor), _) => Input::plain(tensor.clone()),
                (Operand::Filled { ty, .. }, Some(pack)) => {
                    let count = filled.size().map_err(|e| e.to_string())?;
                    let element = |p: usize| pack[(from + p) / weight % pack.len()];
                    let elements: Vec<u64> = (0..count).map(element).collect();
                    weight *= pack.len();
                    filled_with(ty.dtype, filled, elements, view, shape)?
                }
                (Operand::Filled { ty, values, domain }, None) => {
                    let count = filled.size().map_err(|e| e.to_string())?;
                    let mut elements = values.fill(i, ty.dtype, *domain, count)?;
                    if matches!(values, Values::Domain { .. }) {
                        let ty = TensorType::new(ty.dtype, filled.clone());
                        shape_matrices(*domain, &ty, &mut elements);
                    }
                    filled_with(ty.dtype, filled, elements, view, shape)?
                }
            });
        }
        Ok(inputs)
    }

    fn describe(&self, step: usize) -> String {
        let operands: Vec<String> = self
            .operands
            .iter()
            .map(|operand| match operand {
                Operand::Fixed(tensor) => format!("{}", tensor.ty()),
                Operand::Filled { ty, values, .. } => format!("{ty} {values}"),
            })
            .collect();
        let op = serde_json::to_value(&self.op).unwrap_or_default();
        let attrs = op
            .get("attrs")
            .map_or_else(String::new, |attrs| format!(" {attrs}"));
        let operands = operands.join(", ");
        format!(
            "{}({operands}){attrs}, {}, step {step}",
            self.op.name(),
            self.view
        )
    }
}

fn filled_with(
    dtype: DType,
    filled: Shape,
    elements: Vec<u64>,
    view: View,
    shape: &Shape,
) -> Result<Input, String> {
    let tensor = number::tensor(TensorType::new(dtype, filled), elements)
        .ok_or("a generator gave the wrong number of values")?;
    Ok(view.wrap(tensor, shape))
}

impl Call {
    /// The operands' types.
    pub fn types(&self) -> Vec<TensorType> {
        self.inputs
            .iter()
            .map(|input| input.tensor.ty().clone())
            .collect()
    }

    /// The results' types; none where the op refuses the operands.
    pub fn results(&self) -> Vec<TensorType> {
        self.op.infer(&self.types()).unwrap_or_default()
    }

    /// True when an operand or a result has this dtype.
    pub fn uses(&self, dtype: DType) -> bool {
        uses(&self.op, self.types(), dtype)
    }
}

fn uses(op: &Op, mut types: Vec<TensorType>, dtype: DType) -> bool {
    types.extend(op.infer(&types).unwrap_or_default());
    types.iter().any(|ty| ty.dtype == dtype)
}

/// The domain of operand number `index`; the last one repeats.
pub fn domain(row: &Row, index: usize) -> Domain {
    let domain = row.domain.get(index).or(row.domain.last());
    domain.copied().unwrap_or(Domain::Any)
}

/// For element-wise ops on specials: operands of one flat shape that holds their cross product.
pub(crate) fn flat(row: &Row, operands: &[Operand], values: Values) -> Option<Vec<Operand>> {
    if values != Values::Specials || !row.family.is_elementwise() {
        return None;
    }
    let packs: Vec<Vec<u64>> = operands.iter().map(Operand::pack).collect::<Option<_>>()?;
    let total: usize = packs.iter().map(Vec::len).product();
    let mut operands = operands.to_vec();
    for operand in &mut operands {
        if let Operand::Filled { ty, .. } = operand {
            ty.shape = Shape::from([total]);
        }
    }
    Some(operands)
}
