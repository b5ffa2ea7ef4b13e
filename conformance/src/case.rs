//! Case files: from TOML to cases that can run, with file and line for every problem.

use std::fmt;
use std::path::{Path, PathBuf};

use emily_spec::{DType, ErrorKind, Op, Row, Tensor, TensorType, Tolerance};
use serde::Deserialize;
use toml::{Spanned, Table, Value};

use crate::plan::{Call, Plan};
use reader::{CaseText, Reader};

mod reader;

/// A case: one clause about one op, read at one or more dtypes.
#[derive(Clone, Debug)]
pub struct Case {
    /// The op's row.
    pub row: &'static Row,
    /// The clause.
    pub name: String,
    /// Why it matters.
    pub why: Option<String>,
    /// Where it stands.
    pub at: Location,
    /// The tolerance, where it is not the row's.
    pub tolerance: Option<Tolerance>,
    /// Whether documentation shows it.
    pub example: bool,
    /// The layers it runs on; all when absent.
    pub layers: Option<Vec<String>>,
    /// The operands that the grad layer differentiates by.
    pub grad: Option<GradCase>,
    /// The case at each of its dtypes.
    pub readings: Vec<Reading>,
}

impl Case {
    /// Whether it is for this layer.
    pub fn is_for(&self, layer: &str) -> bool {
        let named = |layers: &Vec<String>| layers.iter().any(|name| name == layer);
        self.layers.as_ref().is_none_or(named)
    }
}

/// A case at one dtype.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The dtype's name, the last part of the trial's.
    pub dtype: String,
    /// What runs.
    pub body: Body,
}

/// What runs in a trial.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a fact's operands are far larger than its op"
)]
pub enum Body {
    /// One call on written operands.
    Fact {
        /// The call.
        call: Call,
        /// The answer.
        want: Want,
    },
    /// Generated calls, judged by the oracle.
    Sweep(Vec<Plan>),
}

/// The answer that a fact states.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// The oracle's.
    Oracle,
    /// The oracle's of a recorded call, which may be a refusal: then every layer refuses it.
    Recorded,
    /// These tensors.
    Values(Vec<Tensor>),
    /// An error.
    Error(Refusal),
}

/// An error that a case states.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Its kind.
    pub kind: ErrorKind,
    /// The module of the exception on the layers of Nx; the kind's usual one when absent.
    pub raises: Option<String>,
    /// A part of the exception's text.
    pub says: Option<String>,
}

/// What the grad layer does with a case.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradCase {
    /// The operands to differentiate by; all that the op can be differentiated by when absent.
    pub wrt: Option<Vec<usize>>,
}

impl GradCase {
    /// The operands of these types to differentiate by.
    pub fn operands(&self, op: &Op, types: &[TensorType]) -> Vec<usize> {
        match &self.wrt {
            Some(wrt) => wrt.clone(),
            None => emily_oracle::grad::operands(op, types),
        }
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file, relative to the repository.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: Location,
    /// What.
    pub message: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

impl std::error::Error for Problem {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    op: Spanned<String>,
    doc: String,
    #[serde(default)]
    case: Vec<CaseText>,
}

/// One literal, or one per result.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// The literals in order.
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            OneOrMany::One(text) => std::slice::from_ref(text),
            OneOrMany::Many(texts) => texts,
        }
    }
}

/// Positions in one file.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) file: &'a Path,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// The line of a byte offset.
    pub(crate) fn at(self, offset: usize) -> Location {
        let before = self.text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|&&byte| byte == b'\n').count();
        Location {
            file: self.file.to_owned(),
            line,
        }
    }

    /// A problem at a byte offset.
    pub(crate) fn problem(self, offset: usize, message: impl Into<String>) -> Problem {
        Problem {
            at: self.at(offset),
            message: message.into(),
        }
    }

    /// A problem that the TOML parser found.
    pub(crate) fn toml(self, error: &toml::de::Error) -> Problem {
        self.problem(error.span().map_or(0, |span| span.start), error.message())
    }
}

/// Reads one case file of `fixtures/`, which stands where its op's cases belong. Its problems are all
/// of them, not the first.
///
/// # Errors
/// A file that is not TOML is one problem; each case that says something impossible is another.
pub fn parse(file: &Path, text: &str) -> Result<Vec<Case>, Vec<Problem>> {
    parse_where(file, text, is_at_home)
}

/// Reads one case file from anywhere, as `Emily.Case.record` writes them.
///
/// # Errors
/// As [`parse`].
pub fn parse_anywhere(file: &Path, text: &str) -> Result<Vec<Case>, Vec<Problem>> {
    parse_where(file, text, |_, _| true)
}

/// Whether a file is where the op's cases belong.
fn is_at_home(file: &Path, row: &Row) -> bool {
    let folder = file.parent().and_then(Path::file_name);
    let folder = folder.and_then(|name| name.to_str());
    let stem = file.file_stem().and_then(|name| name.to_str());
    stem == Some(row.name) && (folder == Some(row.family.name()) || folder == Some("found"))
}

fn parse_where(
    file: &Path,
    text: &str,
    belongs: fn(&Path, &Row) -> bool,
) -> Result<Vec<Case>, Vec<Problem>> {
    let source = Source { file, text };
    let parsed: FileText = toml::from_str(text).map_err(|e| vec![source.toml(&e)])?;
    let at_op = parsed.op.span().start;
    let Some(row) = Row::named(parsed.op.get_ref()) else {
        let message = format!("unknown op {:?}", parsed.op.get_ref());
        return Err(vec![source.problem(at_op, message)]);
    };
    let mut problems = Vec::new();
    if parsed.doc.trim().is_empty() {
        problems.push(source.problem(at_op, "doc is empty"));
    }
    if !belongs(file, row) {
        let message = format!(
            "cases of {} belong in {}/{}.toml",
            row.name, row.family, row.name
        );
        problems.push(source.problem(at_op, message));
    }
    let mut cases: Vec<Case> = Vec::new();
    for text in parsed.case {
        match (Reader {
            source,
            row,
            text: &text,
        })
        .case()
        {
            Ok(case) if cases.iter().any(|other| other.name == case.name) => {
                let message = format!("there are two cases named {}", case.name);
                problems.push(source.problem(text.name.span().start, message));
            }
            Ok(case) => cases.push(case),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(cases)
    } else {
        Err(problems)
    }
}

/// The op of this name with these attributes; `dtype = "case"` is the dtype it is read at.
pub fn make_op(name: &str, attrs: &Table, dtype: Option<DType>) -> Result<Op, String> {
    let mut attrs = attrs.clone();
    if attrs.get("dtype").and_then(Value::as_str) == Some("case") {
        let dtype = dtype.ok_or("dtype = \"case\" needs dtypes")?;
        attrs.insert("dtype".to_owned(), Value::from(dtype.name()));
    }
    Op::read(name, attrs).map_err(|e| format!("attrs of {name}: {}", e.message()))
}

#[cfg(test)]
mod mutations;
#[cfg(test)]
mod tests;
