//! One case: what its fields say together, or why they cannot.

use emily_spec::{Arity, DType, Judged, Op, Row, Tensor, TensorType, Tolerance};
use serde::Deserialize;
use toml::{Spanned, Table, Value};

use super::{Body, Case, GradCase, OneOrMany, Problem, Reading, Refusal, Source, Want, make_op};
use crate::gradients;
use crate::layer;
use crate::literal::Literal;
use crate::plan::{Call, Plan};
use crate::sweep::Sweep;
use crate::view::{Input, View};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseText {
    pub(super) name: Spanned<String>,
    why: Option<String>,
    #[serde(default)]
    attrs: Option<Spanned<Table>>,
    #[serde(rename = "in")]
    inputs: Option<Vec<Spanned<String>>>,
    view: Option<Spanned<String>>,
    out: Option<Spanned<OneOrMany>>,
    err: Option<Refusal>,
    dtypes: Option<Spanned<Vec<String>>>,
    sweep: Option<Spanned<Sweep>>,
    exhaustive: Option<Spanned<bool>>,
    tol: Option<Spanned<String>>,
    example: Option<Spanned<bool>>,
    layers: Option<Spanned<Vec<String>>>,
    grad: Option<Spanned<GradCase>>,
}

/// Turns one case's text into a case.
pub(super) struct Reader<'a> {
    pub(super) source: Source<'a>,
    pub(super) row: &'static Row,
    pub(super) text: &'a CaseText,
}

impl Reader<'_> {
    pub(super) fn case(&self) -> Result<Case, Problem> {
        let text = self.text;
        let name = text.name.get_ref();
        let clause = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || !name.chars().all(clause) {
            return Err(self.here(format!("{name:?} is not a clause in snake_case")));
        }
        if name == gradients::NAME {
            let message = "is the name of the case that is made of an op's others";
            return Err(self.here(format!("{name:?} {message}; choose another one")));
        }
        let exhaustive = text.exhaustive.as_ref().is_some_and(|flag| *flag.get_ref());
        let readings = match (&text.inputs, &text.sweep, exhaustive) {
            (_, None, false) => self.facts()?,
            (None, Some(sweep), false) => self.sweep(sweep)?,
            (None, None, true) => self.exhaustive()?,
            _ => return Err(self.here("in, sweep and exhaustive exclude each other")),
        };
        self.check_grad()?;
        let example = self.example(&readings)?;
        Ok(Case {
            row: self.row,
            name: name.clone(),
            why: text.why.clone(),
            at: self.source.at(text.name.span().start),
            tolerance: self.tolerance(&readings)?,
            example,
            layers: self.layers()?,
            grad: text.grad.as_ref().map(|grad| grad.get_ref().clone()),
            readings,
        })
    }

    /// The layers, which are known, and some.
    fn layers(&self) -> Result<Option<Vec<String>>, Problem> {
        let Some(layers) = &self.text.layers else {
            return Ok(None);
        };
        let mut known: Vec<&str> = layer::all().iter().map(|layer| layer.name()).collect();
        known.dedup();
        let named = layers.get_ref();
        match named.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(self.at(layers)(format!(
                "there is no layer {name:?}; known are {}",
                known.join(" ")
            ))),
            None if named.is_empty() => Err(self.at(layers)("layers names none".to_owned())),
            None => Ok(Some(named.clone())),
        }
    }

    /// A problem at the case's first line.
    fn here(&self, message: impl Into<String>) -> Problem {
        self.source.problem(self.text.name.span().start, message)
    }

    fn at<T>(&self, place: &Spanned<T>) -> impl Fn(String) -> Problem {
        let at = self.source.at(place.span().start);
        move |message| Problem {
            at: at.clone(),
            message,
        }
    }

    fn dtypes(&self) -> Result<Option<Vec<DType>>, Problem> {
        let Some(names) = &self.text.dtypes else {
            return Ok(None);
        };
        let problem = self.at(names);
        if names.get_ref().is_empty() {
            return Err(problem("dtypes is empty".to_owned()));
        }
        let mut dtypes: Vec<DType> = Vec::new();
        for name in names.get_ref() {
            let dtype = name.parse().map_err(|e| problem(format!("{e}")))?;
            if dtypes.contains(&dtype) {
                return Err(problem(format!("{dtype} is listed twice")));
            }
            dtypes.push(dtype);
        }
        Ok(Some(dtypes))
    }

    fn op(&self, more: &Table, dtype: Option<DType>) -> Result<Op, Problem> {
        let mut attrs = Table::new();
        if let Some(own) = &self.text.attrs {
            attrs.extend(own.get_ref().clone());
        }
        attrs.extend(more.clone());
        make_op(self.row.name, &attrs, dtype).map_err(|message| match &self.text.attrs {
            Some(own) => self.at(own)(message),
            None => self.here(message),
        })
    }

    fn facts(&self) -> Result<Vec<Reading>, Problem> {
        let dtypes = self.dtypes()?;
        let Some(dtypes) = dtypes else {
            return Ok(vec![self.fact(None)?]);
        };
        dtypes
            .iter()
            .map(|&dtype| self.fact(Some((dtypes[0], dtype))))
            .collect()
    }

    /// The case as written, or with `(from, to)`, read again at another dtype.
    fn fact(&self, reading: Option<(DType, DType)>) -> Result<Reading, Problem> {
        let mut reread = false;
        let mut read = |text: &str| {
            let literal = Literal::parse(text)?;
            let own = literal.ty().dtype;
            match reading {
                Some((from, to)) if from == own => {
                    reread = true;
                    literal.at(to)
                }
                _ => literal.at(own),
            }
        };
        let mut inputs = Vec::new();
        for text in self.text.inputs.iter().flatten() {
            inputs.push(read(text.get_ref()).map_err(self.at(text))?);
        }
        let want = match (&self.text.out, &self.text.err) {
            (None, None) => Want::Oracle,
            (None, Some(err)) => Want::Error(err.clone()),
            (Some(out), None) => {
                let texts = out.get_ref().as_slice();
                let values = texts
                    .iter()
                    .map(|text| read(text))
                    .collect::<Result<_, _>>();
                Want::Values(values.map_err(self.at(out))?)
            }
            (Some(_), Some(_)) => return Err(self.here("out and err exclude each other")),
        };
        let op = self.op(&Table::new(), reading.map(|(_, to)| to))?;
        self.check_want(&op, &inputs, &want)?;
        if let Some((from, _)) = reading
            && !reread
            && !self.names_case_dtype()
        {
            return Err(self.here(format!(
                "dtypes begins with {from}, but no literal is {from}"
            )));
        }
        let types: Vec<TensorType> = inputs.iter().map(|input| input.ty().clone()).collect();
        let dtype = match (reading, types.first()) {
            (Some((_, to)), _) => to.name(),
            (None, Some(ty)) => ty.dtype.name(),
            (None, None) => match op.infer(&types).as_deref() {
                Ok([result, ..]) => result.dtype.name(),
                Ok([]) | Err(_) => "none",
            },
        };
        let view = self.view()?;
        let inputs = inputs
            .into_iter()
            .map(|input| Input::viewed(input, view))
            .collect();
        let call = Call {
            op,
            inputs,
            what: String::new(),
        };
        Ok(Reading {
            dtype: dtype.to_owned(),
            body: Body::Fact { call, want },
        })
    }

    fn view(&self) -> Result<View, Problem> {
        match &self.text.view {
            Some(text) => text.get_ref().parse().map_err(self.at(text)),
            None => Ok(View::Plain),
        }
    }

    fn names_case_dtype(&self) -> bool {
        let attrs = self.text.attrs.as_ref().map(Spanned::get_ref);
        attrs
            .and_then(|attrs| attrs.get("dtype"))
            .and_then(Value::as_str)
            == Some("case")
    }

    fn check_want(&self, op: &Op, inputs: &[Tensor], want: &Want) -> Result<(), Problem> {
        let Want::Values(values) = want else {
            return Ok(());
        };
        if matches!(self.row.judged, Judged::Promise { .. }) {
            let message = "is judged by what it promises, not by signs; remove `out`";
            return Err(self.here(format!("{} {message}", self.row.name)));
        }
        let types: Vec<TensorType> = inputs.iter().map(|input| input.ty().clone()).collect();
        let inferred = op.infer(&types).map_err(|e| self.here(e.to_string()))?;
        let stated: Vec<&TensorType> = values.iter().map(Tensor::ty).collect();
        if !stated.iter().copied().eq(&inferred) {
            let list = |types: Vec<String>| types.join(" ");
            return Err(self.here(format!(
                "out is {}, but the op gives {}",
                list(stated.iter().map(ToString::to_string).collect()),
                list(inferred.iter().map(ToString::to_string).collect())
            )));
        }
        Ok(())
    }

    fn sweep(&self, sweep: &Spanned<Sweep>) -> Result<Vec<Reading>, Problem> {
        self.check_generated()?;
        let problem = self.at(sweep);
        let sweep = sweep.get_ref();
        let dtypes = match (self.dtypes()?, sweep.is_of_fixed_dtype()) {
            (Some(dtypes), false) => dtypes,
            (None, false) => sweep.dtypes(self.row),
            (None, true) => vec![sweep.fixed_dtype().map_err(&problem)?],
            (Some(_), true) => {
                return Err(problem(
                    "every operand names its dtype; omit `dtypes`".to_owned(),
                ));
            }
        };
        let mut readings = Vec::new();
        for dtype in dtypes {
            let make = |attrs: &Table| {
                self.op(attrs, Some(dtype))
                    .map_err(|problem| problem.message)
            };
            let plans = sweep.plans(self.row, dtype, &make).map_err(&problem)?;
            readings.push(Reading {
                dtype: dtype.name().to_owned(),
                body: Body::Sweep(plans),
            });
        }
        Ok(readings)
    }

    fn exhaustive(&self) -> Result<Vec<Reading>, Problem> {
        self.check_generated()?;
        let usual: &[DType] = match self.row.arity {
            Arity::Exactly(2) => &[DType::U8, DType::S8],
            Arity::Exactly(_) | Arity::AtLeast(_) | Arity::Within(..) => &[DType::F16, DType::Bf16],
        };
        let dtypes = self.dtypes()?.unwrap_or_else(|| usual.to_vec());
        let mut readings = Vec::new();
        for dtype in dtypes {
            let op = self.op(&Table::new(), Some(dtype))?;
            let plan = Plan::exhaustive(self.row, &op, dtype).map_err(|e| self.here(e))?;
            let body = Body::Sweep(vec![plan]);
            readings.push(Reading {
                dtype: dtype.name().to_owned(),
                body,
            });
        }
        Ok(readings)
    }

    fn check_generated(&self) -> Result<(), Problem> {
        let stated = [
            self.text.out.is_some(),
            self.text.err.is_some(),
            self.text.view.is_some(),
        ];
        if stated.contains(&true) {
            return Err(self.here("out, err and view go with in, not with what is generated"));
        }
        Ok(())
    }

    fn check_grad(&self) -> Result<(), Problem> {
        let Some(grad) = &self.text.grad else {
            return Ok(());
        };
        if self.row.grad.is_none() {
            return Err(self.at(grad)(format!("{} has no gradient", self.row.name)));
        }
        let operands = self
            .text
            .inputs
            .as_ref()
            .map_or(self.row.operands.len(), Vec::len);
        let wrt = grad.get_ref().wrt.as_deref().unwrap_or_default();
        match wrt.iter().find(|&&index| index >= operands) {
            Some(index) => Err(self.at(grad)(format!("there is no operand {index}"))),
            None => Ok(()),
        }
    }

    fn example(&self, readings: &[Reading]) -> Result<bool, Problem> {
        let Some(flag) = &self.text.example else {
            return Ok(false);
        };
        let shown = |reading: &Reading| match &reading.body {
            Body::Fact { want, .. } => !matches!(want, Want::Error(_)),
            Body::Sweep(_) => false,
        };
        if *flag.get_ref() && !readings.iter().all(shown) {
            let message = "an example is a fact with an answer, not an error and not generated";
            return Err(self.at(flag)(message.to_owned()));
        }
        Ok(*flag.get_ref())
    }

    fn tolerance(&self, readings: &[Reading]) -> Result<Option<Tolerance>, Problem> {
        let Some(text) = &self.text.tol else {
            return Ok(None);
        };
        let problem = self.at(text);
        let tolerance: Tolerance = text.get_ref().parse().map_err(&problem)?;
        let Judged::Values(of_row) = self.row.judged else {
            return Err(problem(format!(
                "{} is judged by what it promises",
                self.row.name
            )));
        };
        let looser = readings
            .iter()
            .filter_map(Reading::result_dtype)
            .find(|&dtype| !is_within(tolerance, of_row(dtype)));
        match (looser, &self.text.why) {
            (Some(dtype), None) => Err(problem(format!(
                "{tolerance} is looser than the row's {} at {dtype}; say why",
                of_row(dtype)
            ))),
            _ => Ok(Some(tolerance)),
        }
    }
}

impl Reading {
    /// The dtype of the first result; `None` where the op refuses the operands.
    fn result_dtype(&self) -> Option<DType> {
        match &self.body {
            Body::Sweep(plans) => plans.first()?.result_dtype(),
            Body::Fact { call, .. } => {
                let types = call.types();
                Some(call.op.infer(&types).ok()?.first()?.dtype)
            }
        }
    }
}

/// True when whatever `a` lets through, `b` does too.
fn is_within(a: Tolerance, b: Tolerance) -> bool {
    match (a, b) {
        (Tolerance::Bits, _) => true,
        (Tolerance::Exact, Tolerance::Bits) => false,
        (Tolerance::Exact, _) => true,
        (Tolerance::Ulp(a), Tolerance::Ulp(b)) => a <= b,
        (Tolerance::Ulp(0), Tolerance::Exact) => true,
        (Tolerance::Ulp(_), Tolerance::Bits | Tolerance::Exact | Tolerance::Accum(_)) => false,
        (Tolerance::Accum(a), Tolerance::Accum(b)) => a <= b,
        (Tolerance::Accum(_), Tolerance::Bits | Tolerance::Exact | Tolerance::Ulp(_)) => false,
    }
}
