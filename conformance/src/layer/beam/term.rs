//! What is said to the BEAM and heard from it, as Erlang terms.

use std::collections::HashMap;

use anyhow::bail;
use eetf::{Atom, BigInteger, Binary, FixInteger, Float, List, Map, Term, Tuple};
use emily_spec::{Op, Scalar, Tensor, TensorType, Value};

use super::models::ModelQuestion;
use crate::view::Input;

/// An answer of the BEAM's.
pub(super) enum Answer {
    /// The results.
    Results(Vec<Tensor>),
    /// An `Emily.Error`: its kind and message.
    Error(String, String),
    /// Arithmetic that Erlang has no answer for: the exception's module, and its message and trace.
    Unanswered(String, String),
    /// Another exception, likewise.
    Raised(String, String),
    /// One answer for each of several calls.
    Each(Vec<Answer>),
    /// What runs there, by name.
    Versions(HashMap<String, String>),
}

/// How operands are built over there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operands {
    /// From their bases, by their views.
    Viewed,
    /// As they are.
    Plain,
}

/// `{:run, layer, device, [{op, attrs, inputs}]}`.
pub(super) fn run(
    layer: &str,
    device: &str,
    calls: &[(&Op, &[Input])],
    operands: Operands,
) -> Vec<u8> {
    let calls = calls.iter().map(|(op, inputs)| {
        let [name, attrs] = call(op);
        let inputs = inputs.iter().map(|input| operand(input, operands));
        tuple([name, attrs, list(inputs.collect())])
    });
    encode(&tuple([
        atom("run"),
        atom(layer),
        atom(device),
        list(calls.collect()),
    ]))
}

/// `{:grad, device, op, attrs, inputs, wrt, weights}`.
pub(super) fn grad(
    device: &str,
    op: &Op,
    inputs: &[Input],
    wrt: &[usize],
    weights: &[Tensor],
) -> Vec<u8> {
    let [name, attrs] = call(op);
    let inputs = inputs
        .iter()
        .map(|input| operand(input, Operands::Plain))
        .collect();
    let wrt = wrt.iter().map(|&index| integer(index as i64)).collect();
    let weight = |weight: &Tensor| operand(&Input::plain(weight.clone()), Operands::Plain);
    encode(&tuple([
        atom("grad"),
        atom(device),
        name,
        attrs,
        list(inputs),
        list(wrt),
        list(weights.iter().map(weight).collect()),
    ]))
}

/// `{:ask, Emily.Conformance.Slices, {folder, head, dtype, lane, device, ask, mistake}}`.
pub(super) fn model(question: &ModelQuestion<'_>) -> Vec<u8> {
    let question = tuple([
        binary(&question.folder.display().to_string()),
        binary(question.head),
        atom(question.dtype.name()),
        atom(question.lane),
        atom(question.device),
        atom(question.ask),
        atom(question.mistake.unwrap_or("nil")),
    ]);
    encode(&tuple([
        atom("ask"),
        atom("Elixir.Emily.Conformance.Slices"),
        question,
    ]))
}

/// `:versions`.
pub(super) fn versions() -> Vec<u8> {
    encode(&atom("versions"))
}

/// Reads an answer.
///
/// # Errors
/// When it is none of those that the server gives.
pub(super) fn answer(bytes: &[u8]) -> anyhow::Result<Answer> {
    read(&Term::decode(bytes)?)
}

fn read(term: &Term) -> anyhow::Result<Answer> {
    let Term::Tuple(Tuple { elements }) = term else {
        bail!("the answer {term} is no tuple");
    };
    match elements.as_slice() {
        [tag, results] if is(tag, "ok") => Ok(Answer::Results(
            items(results)?
                .iter()
                .map(tensor)
                .collect::<Result<_, _>>()?,
        )),
        [tag, kind, message] if is(tag, "error") => Ok(Answer::Error(text(kind)?, text(message)?)),
        [tag, module, words] if is(tag, "unanswered") => {
            Ok(Answer::Unanswered(text(module)?, text(words)?))
        }
        [tag, module, words] if is(tag, "raised") => {
            Ok(Answer::Raised(text(module)?, text(words)?))
        }
        [tag, answers] if is(tag, "each") => {
            let answers = items(answers)?.iter().map(read).collect::<Result<_, _>>()?;
            Ok(Answer::Each(answers))
        }
        [tag, Term::Map(Map { map })] if is(tag, "versions") => {
            let pairs = map
                .iter()
                .map(|(name, version)| Ok((text(name)?, text(version)?)));
            Ok(Answer::Versions(pairs.collect::<anyhow::Result<_>>()?))
        }
        _ => bail!("the answer {term} is not one that the server gives"),
    }
}

/// The op's name, and its attributes as a map without those that are absent.
fn call(op: &Op) -> [Term; 2] {
    let mut attrs = Vec::new();
    op.attributes(|name, given| attrs.extend(value(given).map(|term| (atom(name), term))));
    [atom(op.name()), map(attrs)]
}

fn operand(input: &Input, operands: Operands) -> Term {
    let (tensor, views) = match operands {
        Operands::Viewed => (&input.base, &input.views[..]),
        Operands::Plain => (&input.tensor, &[][..]),
    };
    let dims = tensor
        .shape()
        .iter()
        .map(|&dim| integer(dim as i64))
        .collect();
    tuple([
        atom(tensor.dtype().name()),
        list(dims),
        bytes(tensor.bytes()),
        list(views.iter().map(|view| tuple(call(view))).collect()),
    ])
}

/// An attribute's value: what is a name in text is an atom on the BEAM.
fn value(given: Value<'_>) -> Option<Term> {
    Some(match given {
        Value::Absent => return None,
        Value::Bool(value) => atom(if value { "true" } else { "false" }),
        Value::Size(size) => integer(size as i64),
        Value::Sizes(sizes) => list(sizes.iter().map(|&size| integer(size as i64)).collect()),
        Value::Ints(ints) => list(ints.iter().map(|&int| integer(int)).collect()),
        Value::DType(dtype) => atom(dtype.name()),
        Value::Word(word) => atom(word),
        Value::Scalar(scalar) => number(scalar),
    })
}

/// A number as Elixir and Nx write it.
fn number(scalar: Scalar) -> Term {
    match scalar {
        Scalar::Int(value) => Term::from(BigInteger {
            value: value.into(),
        }),
        Scalar::Float(value) if value.is_nan() => atom("nan"),
        Scalar::Float(f64::INFINITY) => atom("infinity"),
        Scalar::Float(f64::NEG_INFINITY) => atom("neg_infinity"),
        Scalar::Float(value) => Term::from(Float { value }),
        Scalar::Complex(re, im) => list(vec![number(Scalar::Float(re)), number(Scalar::Float(im))]),
    }
}

fn tensor(term: &Term) -> anyhow::Result<Tensor> {
    let Term::Tuple(Tuple { elements }) = term else {
        bail!("{term} is no tensor");
    };
    let [dtype, dims, Term::Binary(Binary { bytes })] = elements.as_slice() else {
        bail!("a tensor is a dtype, dimensions and bytes");
    };
    let dims = items(dims)?
        .iter()
        .map(dimension)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let dtype = text(dtype)?
        .parse()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Tensor::new(TensorType::new(dtype, dims), bytes.clone())
        .map_err(|error| anyhow::anyhow!("{error}"))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of Erlang's many terms few are said here"
)]
fn dimension(term: &Term) -> anyhow::Result<usize> {
    match term {
        Term::FixInteger(FixInteger { value }) => Ok(usize::try_from(*value)?),
        Term::BigInteger(BigInteger { value }) => Ok(usize::try_from(value)?),
        _ => bail!("{term} is no dimension"),
    }
}

/// A list's elements; a list of small integers travels as a string.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of Erlang's many terms few are said here"
)]
fn items(term: &Term) -> anyhow::Result<Vec<Term>> {
    match term {
        Term::List(List { elements }) => Ok(elements.clone()),
        Term::ByteList(eetf::ByteList { bytes }) => {
            Ok(bytes.iter().map(|&byte| integer(i64::from(byte))).collect())
        }
        _ => bail!("{term} is no list"),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of Erlang's many terms few are said here"
)]
fn text(term: &Term) -> anyhow::Result<String> {
    match term {
        Term::Atom(Atom { name }) => Ok(name.clone()),
        Term::Binary(Binary { bytes }) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => bail!("{term} is no text"),
    }
}

fn is(term: &Term, name: &str) -> bool {
    matches!(term, Term::Atom(atom) if atom.name == name)
}

fn binary(text: &str) -> Term {
    bytes(text.as_bytes())
}

fn bytes(bytes: &[u8]) -> Term {
    let bytes = bytes.to_vec();
    Term::Binary(Binary { bytes })
}

fn atom(name: &str) -> Term {
    Term::Atom(Atom::from(name))
}

/// Negative numbers go as big ones: eetf 0.12 writes a list of numbers below 256, -1 too, as a
/// string of bytes.
fn integer(value: i64) -> Term {
    match i32::try_from(value) {
        Ok(value) if value >= 0 => Term::FixInteger(FixInteger { value }),
        Ok(_) | Err(_) => Term::BigInteger(BigInteger {
            value: value.into(),
        }),
    }
}

fn tuple<const N: usize>(elements: [Term; N]) -> Term {
    Term::Tuple(Tuple {
        elements: elements.into(),
    })
}

fn list(elements: Vec<Term>) -> Term {
    Term::List(List { elements })
}

fn map(pairs: impl IntoIterator<Item = (Term, Term)>) -> Term {
    Term::Map(Map {
        map: pairs.into_iter().collect(),
    })
}

fn encode(term: &Term) -> Vec<u8> {
    let mut bytes = Vec::new();
    term.encode(&mut bytes).expect("a vector takes everything");
    bytes
}

#[cfg(test)]
mod tests {
    use emily_spec::{Reduce, Reduction, Unary};

    use super::*;

    #[test]
    fn attributes_are_a_map_of_what_is_given() {
        let attrs = Reduction {
            axes: Some([0, 300].into()),
            keep_axes: true,
            dtype: None,
        };
        let op = Op::Reduce(Reduce::Sum, attrs);
        let [name, attrs] = call(&op);
        assert_eq!(name.to_string(), "'sum'");
        let Term::Map(Map { map }) = attrs else {
            panic!("a map")
        };
        assert_eq!(map.len(), 2);
        assert_eq!(map[&atom("keep_axes")], atom("true"));
        assert_eq!(map[&atom("axes")], list(vec![integer(0), integer(300)]));
        assert_eq!(call(&Unary::Round.into())[1], map_of_nothing());
    }

    fn map_of_nothing() -> Term {
        map([])
    }

    #[test]
    fn negative_numbers_survive_a_list() {
        let numbers = list([-1, 0, 255, i64::MIN].map(integer).into());
        assert_eq!(Term::decode(&encode(&numbers)[..]).unwrap(), numbers);
        let negative = list(vec![integer(-1)]);
        assert_eq!(Term::decode(&encode(&negative)[..]).unwrap(), negative);
    }

    #[test]
    fn results_are_tensors() {
        let tensor = tuple([
            atom("u8"),
            Term::ByteList(eetf::ByteList { bytes: vec![1, 2] }),
            Term::Binary(Binary { bytes: vec![7, 8] }),
        ]);
        let bytes = encode(&tuple([atom("ok"), list(vec![tensor])]));
        let Answer::Results(results) = answer(&bytes).unwrap() else {
            panic!("results")
        };
        assert_eq!(results[0].ty().to_string(), "u8[1,2]");
        assert_eq!(results[0].bytes(), [7, 8]);
    }

    #[test]
    fn what_the_server_does_not_say_is_an_error() {
        assert!(answer(&encode(&atom("ok"))).is_err());
        assert!(answer(&[1, 2, 3]).is_err());
    }
}
