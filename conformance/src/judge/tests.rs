//! Verdicts on layers that are wrong on purpose.

use std::path::Path;

use emily_spec::{Error, ErrorKind, Op};

use super::*;
use crate::case;
use crate::layer::{Absent, Oracle, Raised};
use crate::view::Input;

/// The oracle under another name, after a change of its answers.
struct Changed {
    name: &'static str,
    reference: Reference,
    change: fn(Result<Vec<Tensor>>) -> Result<Vec<Tensor>>,
}

/// A layer whose every call raises this.
struct Raising(&'static str, &'static str);

impl Layer for Raising {
    fn name(&self) -> &'static str {
        "backend"
    }

    fn reference(&self) -> Reference {
        Reference::Oracle
    }

    fn available(&self) -> std::result::Result<(), Absent> {
        Ok(())
    }

    fn raised<'e>(&self, _: &'e Error) -> Option<Raised<'e>> {
        let Raising(module, text) = *self;
        Some(Raised { module, text })
    }

    fn run(&self, _: &Op, _: &[Input]) -> Result<Vec<Tensor>> {
        Err(Error::new(ErrorKind::Argument, "raised"))
    }
}

/// A layer that has no answer to anything.
struct Abstaining;

impl Layer for Abstaining {
    fn name(&self) -> &'static str {
        "native"
    }

    fn reference(&self) -> Reference {
        Reference::Oracle
    }

    fn available(&self) -> std::result::Result<(), Absent> {
        Ok(())
    }

    fn abstains(&self, _: &Error) -> bool {
        true
    }

    fn run(&self, _: &Op, _: &[Input]) -> Result<Vec<Tensor>> {
        Err(Error::new(ErrorKind::Numeric, "no answer"))
    }
}

impl Layer for Changed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn reference(&self) -> Reference {
        self.reference
    }

    fn available(&self) -> std::result::Result<(), Absent> {
        Ok(())
    }

    fn run(&self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
        (self.change)(Oracle.run(op, inputs))
    }
}

fn native(change: fn(Result<Vec<Tensor>>) -> Result<Vec<Tensor>>) -> Changed {
    Changed {
        name: "native",
        reference: Reference::Oracle,
        change,
    }
}

/// Every byte of every element's lowest 8 bits one further.
fn one_more(results: Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
    let more = |tensor: Tensor| {
        let size = tensor.dtype().size();
        let ty = tensor.ty().clone();
        let mut bytes = tensor.into_bytes();
        bytes
            .chunks_exact_mut(size)
            .for_each(|element| element[0] += 1);
        Tensor::new(ty, bytes)
    };
    results?.into_iter().map(more).collect()
}

fn truncated(results: Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
    let cut = |tensor: Tensor| {
        let floats = tensor.bytes().chunks_exact(4);
        let floats =
            floats.map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        // From −3 −2 −1 1 2 3 to what rounding halves to even gives.
        let even = floats.map(|value| {
            if value as i32 % 2 == 0 {
                value
            } else {
                value - value.signum()
            }
        });
        Tensor::new(
            tensor.ty().clone(),
            even.flat_map(f32::to_le_bytes).collect(),
        )
    };
    results?.into_iter().map(cut).collect()
}

fn halves() -> Case {
    let text = "op = \"round\"\ndoc = \"d\"\n\n[[case]]\nname = \"halves\"\n\
                in = [\"f32[6] -2.5 -1.5 -0.5 0.5 1.5 2.5\"]\nout = \"f32[6] -3 -2 -1 1 2 3\"\n";
    let file = Path::new("fixtures/cases/unary/round.toml");
    case::parse(file, text).unwrap().swap_remove(0)
}

fn verdict(layers: &[&dyn Layer], ledger: &str) -> Vec<TrialResult> {
    let case = halves();
    let ledger = Ledger::parse(Path::new("fixtures/divergences.toml"), ledger).unwrap();
    judge(&case, &case.readings[0], layers, &ledger)
}

fn outcome(layer: &dyn Layer, record: &str) -> Outcome {
    let entry = format!(
        "[[divergence]]\nwhere = \"native::unary::round::*::f32\"\nwhy = \"w\"\n\
         result = {{ {record} }}"
    );
    verdict(&[layer], &entry)[0].outcome
}

#[test]
fn a_failure_says_where_what_and_how_to_repeat_it() {
    let results = verdict(&[&Oracle, &native(truncated)], "");
    assert_eq!(results[0].outcome, Outcome::Passed);
    let want = "\
native::unary::round::halves::f32
  at fixtures/cases/unary/round.toml:5      judged against: the case
  4 of 6 elements outside `exact`; worst ∞ ulp (allowed 0)
     index        expected         bits          actual         bits         ulp   operands
       [0]            -3.0   0xc0400000            -2.0   0xc0000000     4194304   -2.5
       [2]            -1.0   0xbf800000             0.0   0x00000000        zero   -0.5
       [3]             1.0   0x3f800000             0.0   0x00000000        zero   0.5
       [5]             3.0   0x40400000             2.0   0x40000000     4194304   2.5
  repro: cargo xtask conformance --exact native::unary::round::halves::f32";
    assert_eq!(results[1].message.as_deref(), Some(want));
}

#[test]
fn a_recorded_difference_is_held_to_its_record() {
    let off = native(one_more);
    assert_eq!(outcome(&off, "tol = \"ulp(1)\""), Outcome::Diverges);
    assert_eq!(outcome(&off, "tol = \"bits\""), Outcome::Changed);
    assert_eq!(outcome(&off, "err = \"numeric\""), Outcome::Changed);
    assert_eq!(
        outcome(&native(|results| results), "tol = \"ulp(1)\""),
        Outcome::Stale
    );
    let even = native(truncated);
    assert_eq!(
        outcome(&even, "out = \"f32[6] -2 -2 0 0 2 2\""),
        Outcome::Diverges
    );
    assert_eq!(
        outcome(&even, "out = \"f32[6] -2 -2 0 0 2 3\""),
        Outcome::Changed
    );
    assert_eq!(outcome(&even, "differs = [\"zero\"]"), Outcome::Changed);
    assert_eq!(
        outcome(&even, "tol = \"ulp(4194304)\", differs = [\"zero\"]"),
        Outcome::Diverges
    );
    assert_eq!(
        outcome(&off, "tol = \"ulp(1)\", differs = [\"zero\"]"),
        Outcome::Changed
    );
    let failing = native(|_| Err(Error::new(ErrorKind::Numeric, "no")));
    assert_eq!(outcome(&failing, "err = \"numeric\""), Outcome::Diverges);
    assert_eq!(outcome(&failing, "err = \"shape\""), Outcome::Changed);
}

#[test]
fn a_record_of_what_has_no_answer_is_not_stale() {
    assert_eq!(verdict(&[&Abstaining], "")[0].outcome, Outcome::NotRun);
    assert_eq!(outcome(&Abstaining, "tol = \"ulp(1)\""), Outcome::NotRun);
    assert_eq!(
        outcome(&Abstaining, "differs = [\"sign\"]"),
        Outcome::NotRun
    );
}

#[test]
fn what_stands_on_a_red_layer_is_blocked() {
    let nif = Changed {
        name: "nif",
        reference: Reference::Layer("native"),
        change: one_more,
    };
    let outcomes = |below: Changed| -> Vec<Outcome> {
        verdict(&[&Oracle, &below, &nif], "")
            .iter()
            .map(|result| result.outcome)
            .collect()
    };
    let passed = Outcome::Passed;
    assert_eq!(
        outcomes(native(|results| results)),
        [passed, passed, Outcome::Failed]
    );
    assert_eq!(
        outcomes(native(one_more)),
        [passed, Outcome::Failed, passed]
    );
    assert_eq!(
        outcomes(native(truncated)),
        [passed, Outcome::Failed, Outcome::Blocked]
    );
}

/// A scalar's lowest byte three more, or three less.
fn shifted(by: i8) -> fn(Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
    fn shift(results: Result<Vec<Tensor>>, by: i8) -> Result<Vec<Tensor>> {
        let tensor = results?.swap_remove(0);
        let mut bytes = tensor.bytes().to_vec();
        bytes[0] = bytes[0].wrapping_add_signed(by);
        Ok(vec![Tensor::new(tensor.ty().clone(), bytes)?])
    }
    match by {
        3 => |results| shift(results, 3),
        _ => |results| shift(results, -3),
    }
}

#[test]
fn a_second_layer_judges_where_it_has_an_answer_of_its_own_right() {
    let text = "op = \"exp\"\ndoc = \"d\"\n\n[[case]]\nname = \"one\"\nin = [\"f32[] 1\"]\n";
    let file = Path::new("fixtures/cases/unary/exp.toml");
    let case = case::parse(file, text).unwrap().swap_remove(0);
    let layer = |name, reference, by| Changed {
        name,
        reference,
        change: shifted(by),
    };
    let nx = layer("nx", Reference::Oracle, 3);
    let backend = |by| layer("backend", Reference::OracleAnd("nx"), by);
    let run = |backend: &Changed, ledger: &str| {
        let ledger = Ledger::parse(Path::new("fixtures/divergences.toml"), ledger).unwrap();
        judge(&case, &case.readings[0], &[&nx, backend], &ledger).swap_remove(1)
    };
    // Both are within four units of the oracle's answer, and six apart.
    let red = run(&backend(-3), "");
    assert_eq!(red.outcome, Outcome::Failed);
    let message = red.message.unwrap();
    assert!(
        message.contains("judged against: oracle and nx"),
        "{message}"
    );
    assert!(message.contains("against nx\n"), "{message}");
    assert_eq!(run(&backend(3), "").outcome, Outcome::Passed);
    // What the ledger says that nx answers is no reference.
    let entry = "[[divergence]]\nwhere = \"nx::unary::exp::one::f32\"\nwhy = \"w\"\n\
                 result = { tol = \"ulp(3)\" }";
    assert_eq!(run(&backend(-3), entry).outcome, Outcome::Passed);
}

#[test]
fn an_exception_is_of_its_module_and_says_its_words() {
    let judged = |err: &str, raising: &Raising| {
        let text = format!(
            "op = \"add\"\ndoc = \"d\"\n\n[[case]]\nname = \"rejects\"\n\
             in = [\"f32[2] 1 2\", \"f32[3] 1 2 3\"]\nerr = {{ kind = \"shape\"{err} }}"
        );
        let file = Path::new("fixtures/cases/binary/add.toml");
        let case = case::parse(file, &text).unwrap().swap_remove(0);
        let layers: [&dyn Layer; 1] = [raising];
        judge(&case, &case.readings[0], &layers, &Ledger::default()).swap_remove(0)
    };
    let argument = Raising(
        "ArgumentError",
        "cannot broadcast {2} to {3}\n    (nx) trace",
    );
    let passes = |err, raising| judged(err, raising).outcome == Outcome::Passed;
    assert!(passes(", says = \"cannot broadcast\"", &argument));
    assert!(!passes(", says = \"unmatching\"", &argument));
    // The contract has other words.
    assert!(!passes("", &argument));
    let clause = Raising(
        "FunctionClauseError",
        "no function clause matching in Translate.call/3",
    );
    assert!(!passes(", says = \"no function clause\"", &clause));
    assert!(passes(
        ", says = \"no function\", raises = \"FunctionClauseError\"",
        &clause
    ));
    let message = judged(", says = \"cannot\"", &clause).message.unwrap();
    let want = "expected ArgumentError that says \"cannot\", got ** (FunctionClauseError) no";
    assert!(message.contains(want), "{message}");
}

#[test]
fn a_panic_is_an_internal_error() {
    let results = verdict(&[&native(|_| panic!("out of cheese"))], "");
    let message = results[0].message.as_deref().unwrap();
    assert!(message.contains("panicked: out of cheese"), "{message}");
}

/// Somebody else's backend, which answers so.
struct Foreign(fn(Result<Vec<Tensor>>) -> Result<Vec<Tensor>>);

impl Layer for Foreign {
    fn name(&self) -> &'static str {
        "My.Backend"
    }

    fn is_foreign(&self) -> bool {
        true
    }

    fn reference(&self) -> Reference {
        Reference::Oracle
    }

    fn available(&self) -> std::result::Result<(), Absent> {
        Ok(())
    }

    fn raised<'e>(&self, error: &'e Error) -> Option<Raised<'e>> {
        let text = &error.message;
        let module = "RuntimeError";
        (error.kind == ErrorKind::Argument).then_some(Raised { module, text })
    }

    fn run(&self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
        (self.0)(Oracle.run(op, inputs))
    }
}

/// An exception of its own, and the end of the VM.
fn raises(_: Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
    Err(Error::new(ErrorKind::Argument, "unsupported"))
}

fn dies(_: Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
    Err(Error::new(ErrorKind::Internal, "the VM ended"))
}

#[test]
fn a_foreign_backend_is_right_or_wrong_or_refuses() {
    let of = |answers, ledger: &str| verdict(&[&Foreign(answers)], ledger)[0].outcome;
    let open = "[[open]]\nwhere = \"My.Backend::unary::round::*::f32\"\nwhy = \"w\"";
    assert_eq!(of(|results| results, ""), Outcome::Passed);
    assert_eq!(of(truncated, ""), Outcome::Failed);
    assert_eq!(of(raises, ""), Outcome::Refused);
    assert_eq!(of(dies, ""), Outcome::Failed);
    assert_eq!(of(|results| results, open), Outcome::Passed);
    assert_eq!(of(truncated, open), Outcome::Open);
    assert_eq!(of(raises, open), Outcome::Refused);
    assert!(of(dies, open).is_red());
    let wrong = open.replace("open", "wrong");
    assert_eq!(of(|results| results, &wrong), Outcome::Stale);
    for answers in [truncated, raises, dies] {
        assert_eq!(of(answers, &wrong), Outcome::Diverges);
    }
}

#[test]
fn a_foreign_backend_owes_no_error() {
    let text = "op = \"quotient\"\ndoc = \"d\"\n\n[[case]]\nname = \"by_zero\"\n\
                in = [\"s32[1] 1\", \"s32[1] 0\"]\nerr = { kind = \"numeric\" }\n";
    let file = Path::new("fixtures/cases/binary/quotient.toml");
    let case = case::parse(file, text).unwrap().swap_remove(0);
    let of = |answers| {
        let layers: [&dyn Layer; 1] = [&Foreign(answers)];
        judge(&case, &case.readings[0], &layers, &Ledger::default())[0].outcome
    };
    let minus_one = |_| {
        let ty = emily_spec::TensorType::new(emily_spec::DType::S32, [1]);
        Ok(vec![Tensor::new(ty, vec![0xff; 4])?])
    };
    assert_eq!(of(raises), Outcome::Passed);
    assert_eq!(of(minus_one), Outcome::Open);
    assert_eq!(of(dies), Outcome::Failed);
}
