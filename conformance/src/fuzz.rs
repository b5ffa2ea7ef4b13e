//! Fuzzing: random calls of an op, held against the oracle, shrunk to a case.
//!
//! What is found is written as a `[[case]]` to `fixtures/cases/found/`, where every later run
//! replays it. Calls that the op refuses are tried too: a layer must refuse them likewise.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use emily_spec::{Op, Row, Shape, Tensor, TensorType, fnv1a, row_major_strides};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use toml::Value;

use crate::case::{Body, Case, Location, Reading, Want};
use crate::judge::judge;
use crate::layer::Layer;
use crate::ledger::Ledger;
use crate::literal;
use crate::number;
use crate::outcome::Outcome;
use crate::plan::Call;
use crate::view::{Input, View};

mod generate;

/// A random call.
#[derive(Clone, Debug, PartialEq)]
pub struct Specimen {
    /// The op.
    pub op: Op,
    /// Its operands' values.
    pub tensors: Vec<Tensor>,
    /// How the operands come to be.
    pub view: View,
}

/// A call on which a layer and the oracle disagree, as small as shrinking made it.
#[derive(Clone, Debug)]
pub struct Find {
    /// The call.
    pub specimen: Specimen,
    /// The disagreement, as a failed trial prints it.
    pub message: String,
}

/// Tries `count` random calls of the op of this row on the last of these layers; the first disagreement
/// ends it. Where the others answer, that layer is judged by their answers too, as in a trial.
///
/// # Errors
/// When proptest gives up: its strategy rejects too much.
pub fn fuzz(
    row: &'static Row,
    layers: &[&dyn Layer],
    count: u32,
    seed: u64,
) -> anyhow::Result<Option<Find>> {
    let config = Config {
        cases: count,
        failure_persistence: None,
        // Shrinking is where a find becomes worth reading; it ends within seconds all the same.
        max_shrink_iters: 1 << 18,
        max_shrink_time: 20_000,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let run = TestRunner::new(config).run(&generate::specimens(row), |specimen| {
        disagreement(&specimen, layers).map_or(Ok(()), |message| Err(TestCaseError::fail(message)))
    });
    match run {
        Ok(()) => Ok(None),
        Err(TestError::Fail(_, specimen)) => {
            let specimen = one_element(&specimen, layers).unwrap_or(specimen);
            let message = disagreement(&specimen, layers)
                .unwrap_or_else(|| "it failed once, and not again".to_owned());
            Ok(Some(Find { specimen, message }))
        }
        Err(TestError::Abort(reason)) => {
            anyhow::bail!("fuzzing {} gave up: {reason}", row.name)
        }
    }
}

/// Random calls of the op of this row, without end; the same for the same seed.
pub fn calls(row: &'static Row, seed: u64) -> impl Iterator<Item = Specimen> {
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    });
    let strategy = generate::specimens(row);
    // A draw that the strategy rejects is drawn again.
    std::iter::repeat_with(move || strategy.new_tree(&mut runner).ok())
        .flatten()
        .map(|tree| tree.current())
}

/// For element-wise ops, the first element on which the layer and the oracle disagree: proptest
/// makes the values of a smaller shape anew, and so seldom finds one that still fails.
fn one_element(specimen: &Specimen, layers: &[&dyn Layer]) -> Option<Specimen> {
    if !specimen.op.row().family.is_elementwise() {
        return None;
    }
    let types: Vec<TensorType> = specimen.tensors.iter().map(|t| t.ty().clone()).collect();
    let shape = specimen.op.infer(&types).ok()?.first()?.shape.clone();
    let size = shape.size().ok()?;
    let alone = |index: usize| {
        let scalar = |tensor: &Tensor| {
            let ty = TensorType::new(tensor.dtype(), Shape::scalar());
            number::tensor(ty, [element_under(tensor, &shape, index)?])
        };
        let tensors = specimen
            .tensors
            .iter()
            .map(scalar)
            .collect::<Option<Vec<_>>>()?;
        Some(Specimen {
            op: specimen.op.clone(),
            tensors,
            view: View::Plain,
        })
    };
    (0..size)
        .filter_map(alone)
        .find(|alone| disagreement(alone, layers).is_some())
}

/// The operand's element that the result's element `index` is computed from, by broadcasting.
fn element_under(tensor: &Tensor, shape: &Shape, index: usize) -> Option<u64> {
    let outer = row_major_strides(shape);
    let inner = row_major_strides(tensor.shape());
    let skipped = shape.rank() - tensor.shape().rank();
    let axes = tensor.shape().iter().zip(inner).enumerate();
    let place: usize = axes
        .map(|(axis, (&dim, stride))| {
            let at = index / outer[skipped + axis] % shape[skipped + axis];
            at % dim * stride
        })
        .sum();
    number::elements(tensor).nth(place)
}

/// How the last layer and what it is judged by disagree on a call, if they do.
fn disagreement(specimen: &Specimen, layers: &[&dyn Layer]) -> Option<String> {
    let dtype = specimen
        .tensors
        .first()
        .map_or("none", |tensor| tensor.dtype().name());
    let call = Call {
        op: specimen.op.clone(),
        inputs: specimen.inputs(),
        what: String::new(),
    };
    let reading = Reading {
        dtype: dtype.to_owned(),
        body: Body::Fact {
            call,
            want: Want::Oracle,
        },
    };
    let case = Case {
        row: specimen.op.row(),
        name: "fuzz".to_owned(),
        why: None,
        at: Location {
            file: PathBuf::from("fuzz"),
            line: 0,
        },
        tolerance: None,
        example: false,
        layers: None,
        grad: None,
        readings: Vec::new(),
    };
    let result = judge(&case, &reading, layers, &Ledger::default()).pop()?;
    match result.outcome {
        Outcome::Passed | Outcome::NotRun | Outcome::Open => None,
        Outcome::Failed
        | Outcome::Refused
        | Outcome::Diverges
        | Outcome::Stale
        | Outcome::Changed
        | Outcome::Blocked => Some(result.message.unwrap_or_default()),
    }
}

impl Specimen {
    /// The operands, and how they come to be.
    pub fn inputs(&self) -> Vec<Input> {
        self.tensors
            .iter()
            .map(|tensor| Input::viewed(tensor.clone(), self.view))
            .collect()
    }

    /// The specimen as a `[[case]]`, with the oracle deciding.
    ///
    /// # Errors
    /// When the op has no form in TOML.
    pub fn to_case(&self, layer: &str, date: &str) -> anyhow::Result<String> {
        let op = Value::try_from(&self.op).context("an op has a form in TOML")?;
        let mut body = String::new();
        let attrs = op
            .get("attrs")
            .filter(|attrs| attrs.as_table().is_some_and(|table| !table.is_empty()));
        if let Some(attrs) = attrs {
            // A value on one line, as a table alone would not be.
            body += &format!("attrs = {attrs}\n");
        }
        let literals = self.tensors.iter().map(literal::print);
        let literals: Vec<String> = literals.map(|text| format!("{text:?}")).collect();
        if !literals.is_empty() {
            body += &format!("in = [{}]\n", literals.join(", "));
        }
        if self.view != View::Plain {
            body += &format!("view = \"{}\"\n", self.view);
        }
        let name = format!(
            "found_{}_{:08x}",
            date.replace('-', "_"),
            fnv1a(&body) as u32
        );
        let why = format!("found by fuzzing on {date}: {layer} did not agree with the oracle");
        Ok(format!(
            "[[case]]\nname = \"{name}\"\nwhy = \"{why}\"\n{body}"
        ))
    }
}

/// Appends a case to the op's file of finds, unless it is there; gives the file's path.
///
/// # Errors
/// When the file cannot be read or written.
pub fn append(root: &Path, op: &str, case: &str) -> anyhow::Result<PathBuf> {
    let path = root.join("fixtures/cases/found").join(format!("{op}.toml"));
    let folder = path.parent().context("the file has a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("op = \"{op}\"\ndoc = \"What fuzzing found, shrunk.\"\n")
        }
        Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
    };
    if !text.contains(case) {
        text += &format!("\n{case}");
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use emily_spec::{Arithmetic, DType, ROWS, Unary};

    use super::*;
    use crate::case;
    use crate::layer::{Absent, Oracle, Question, Reference};

    /// An oracle whose sums of u8 lose everything beyond 100.
    struct Saturating;

    impl Layer for Saturating {
        fn name(&self) -> &'static str {
            "saturating"
        }

        fn reference(&self) -> Reference {
            Reference::Oracle
        }

        fn available(&self) -> Result<(), Absent> {
            Ok(())
        }

        fn run(&self, op: &Op, inputs: &[Input]) -> emily_spec::Result<Vec<Tensor>> {
            let results = Oracle.run(op, inputs)?;
            let lower = |tensor: Tensor| {
                let ty = tensor.ty().clone();
                if ty.dtype != DType::U8 {
                    return Ok(tensor);
                }
                Tensor::new(
                    ty,
                    tensor.bytes().iter().map(|&byte| byte.min(100)).collect(),
                )
            };
            results.into_iter().map(lower).collect()
        }
    }

    #[test]
    fn a_disagreement_shrinks_to_a_case_that_loads() {
        let add = Arithmetic::Add.row();
        let find = fuzz(add, &[&Saturating], 4000, 1).unwrap().unwrap();
        let sizes: Vec<usize> = find
            .specimen
            .tensors
            .iter()
            .map(|t| t.shape().size().unwrap())
            .collect();
        assert!(sizes.iter().all(|&size| size == 1), "{find:?}");
        let text = find.specimen.to_case("saturating", "2026-01-02").unwrap();
        let file = format!("op = \"add\"\ndoc = \"d\"\n\n{text}");
        let cases = case::parse(Path::new("fixtures/cases/found/add.toml"), &file).unwrap();
        assert!(cases[0].name.starts_with("found_2026_01_02_"));
        let Body::Fact { call, .. } = &cases[0].readings[0].body else {
            panic!("a fact")
        };
        assert_eq!(call.op, find.specimen.op);
        assert_eq!(call.inputs, find.specimen.inputs());
    }

    #[test]
    fn the_oracle_agrees_with_itself_on_every_op() {
        struct Mirror;
        impl Layer for Mirror {
            fn name(&self) -> &'static str {
                "mirror"
            }
            fn reference(&self) -> Reference {
                Reference::Oracle
            }
            fn available(&self) -> Result<(), Absent> {
                Ok(())
            }
            fn run(&self, op: &Op, inputs: &[Input]) -> emily_spec::Result<Vec<Tensor>> {
                Oracle.run(op, inputs)
            }
        }
        for row in ROWS.iter() {
            let find = fuzz(row, &[&Mirror], 100, 1).unwrap();
            assert!(find.is_none(), "{find:?}");
        }
    }

    #[test]
    fn calls_are_those_of_their_seed_and_do_not_end() {
        for row in ROWS.iter() {
            let drawn: Vec<_> = calls(row, 1).take(20).collect();
            assert!(drawn.iter().all(|call| call.op.row().name == row.name));
            assert_eq!(drawn, calls(row, 1).take(20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_call_that_the_layer_is_not_asked_is_no_find() {
        struct Elsewhere;
        impl Layer for Elsewhere {
            fn name(&self) -> &'static str {
                "elsewhere"
            }
            fn reference(&self) -> Reference {
                Reference::Oracle
            }
            fn available(&self) -> Result<(), Absent> {
                Ok(())
            }
            fn takes(&self, _: &Question<'_>) -> bool {
                false
            }
            fn run(&self, _: &Op, _: &[Input]) -> emily_spec::Result<Vec<Tensor>> {
                panic!("it is not asked")
            }
        }
        let find = fuzz(Arithmetic::Add.row(), &[&Elsewhere], 10, 1).unwrap();
        assert!(find.is_none(), "{find:?}");
    }

    #[test]
    fn an_element_is_found_under_its_result() {
        let row = Tensor::new(TensorType::new(DType::U8, [1, 3]), vec![7, 8, 9]).unwrap();
        let shape = Shape::from([2, 3]);
        let under: Vec<_> = (0..6)
            .map(|i| element_under(&row, &shape, i).unwrap())
            .collect();
        assert_eq!(under, [7, 8, 9, 7, 8, 9]);
        let scalar = Tensor::new(TensorType::new(DType::U8, []), vec![5]).unwrap();
        assert_eq!(element_under(&scalar, &shape, 4), Some(5));
    }

    #[test]
    fn a_case_with_attributes_loads() {
        let attrs = serde_json::json!({"axes": [0], "keep_axes": true});
        let specimen = Specimen {
            op: Op::read("sum", attrs).unwrap(),
            tensors: vec![Tensor::new(TensorType::new(DType::U8, [2]), vec![0, 1]).unwrap()],
            view: View::Plain,
        };
        let text = specimen.to_case("native", "2026-01-02").unwrap();
        let file = format!("op = \"sum\"\ndoc = \"d\"\n\n{text}");
        let cases = case::parse(Path::new("fixtures/cases/found/sum.toml"), &file).unwrap();
        let Body::Fact { call, .. } = &cases[0].readings[0].body else {
            panic!("a fact")
        };
        assert_eq!(call.op, specimen.op);
    }

    #[test]
    fn finds_are_appended_once() {
        let root = tempfile::tempdir().unwrap();
        let specimen = Specimen {
            op: Unary::Round.into(),
            tensors: vec![
                Tensor::new(TensorType::new(DType::U8, [2, 2]), vec![0, 0, 1, 1]).unwrap(),
            ],
            view: View::Transposed,
        };
        let case = specimen.to_case("native", "2026-01-02").unwrap();
        let path = append(root.path(), "round", &case).unwrap();
        append(root.path(), "round", &case).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.matches("[[case]]").count(), 1, "{text}");
        assert!(text.contains("view = \"transposed\""), "{text}");
    }
}
