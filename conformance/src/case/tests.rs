//! Files as authors write them, and as they should not.

use super::*;

const ROUND: &str = "fixtures/cases/unary/round.toml";

fn parse_at(file: &str, body: &str) -> Result<Vec<Case>, Vec<Problem>> {
    let op = Path::new(file).file_stem().unwrap().to_str().unwrap();
    parse(
        Path::new(file),
        &format!("op = \"{op}\"\ndoc = \"d\"\n{body}"),
    )
}

#[track_caller]
fn refused(file: &str, body: &str, want: &str) {
    let problems = parse_at(file, body).unwrap_err();
    let text = problems[0].to_string();
    assert!(text.contains(want), "{text}");
}

#[test]
fn literals_are_read_again_at_every_dtype() {
    let cases = parse_at(
        ROUND,
        "[[case]]\nname = \"a\"\nin = [\"f32[1] max\"]\nout = \"f32[1] max\"\n\
         dtypes = [\"f32\", \"f16\"]",
    )
    .unwrap();
    let [f32, f16] = &cases[0].readings[..] else {
        panic!("two readings")
    };
    assert_eq!((f32.dtype.as_str(), f16.dtype.as_str()), ("f32", "f16"));
    let Body::Fact {
        call,
        want: Want::Values(out),
    } = &f16.body
    else {
        panic!("a fact")
    };
    assert_eq!(call.inputs[0].tensor.bytes(), [0xff, 0x7b]);
    assert_eq!(out[0].dtype(), DType::F16);
    assert_eq!(cases[0].at.line, 4);
}

#[test]
fn literals_of_another_dtype_stay() {
    let cases = parse_at(
        "cases/reduce/argmax.toml",
        "[[case]]\nname = \"a\"\nin = [\"f32[2] 1 2\"]\nout = \"s32[] 1\"\n\
         dtypes = [\"f32\", \"s32\", \"u8\"]",
    )
    .unwrap();
    for reading in &cases[0].readings {
        let Body::Fact {
            want: Want::Values(out),
            ..
        } = &reading.body
        else {
            panic!()
        };
        assert_eq!(out[0].dtype(), DType::S32);
    }
}

#[test]
fn an_op_without_operands_takes_its_dtype_from_the_case() {
    let cases = parse_at(
        "cases/creation/iota.toml",
        "[[case]]\nname = \"a\"\nattrs = { dtype = \"case\", shape = [2] }\n\
         dtypes = [\"u8\", \"c64\"]",
    )
    .unwrap();
    let dtypes: Vec<_> = cases[0].readings.iter().map(|r| r.dtype.as_str()).collect();
    assert_eq!(dtypes, ["u8", "c64"]);
}

#[test]
fn problems_name_file_and_line() {
    let problems = parse_at(
        ROUND,
        "[[case]]\nname = \"a\"\nin = [\"f32[1] 1\",\n  \"f32[2] 1\"]\n\
         [[case]]\nname = \"b\"\ninn = []",
    )
    .unwrap_err();
    assert_eq!(problems[0].at.line, 9, "{}", problems[0]);
    refused(
        ROUND,
        "[[case]]\nname = \"a\"\nin = [\n\"f32[2] 1\"]",
        "round.toml:6: f32[2] holds",
    );
    refused(ROUND, "[[case]\n", "round.toml:3: ");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let case = |rest: &str| format!("[[case]]\nname = \"a\"\n{rest}");
    refused(
        ROUND,
        &case("in = [\"f32[] 1\"]\nlayers = [\"natve\"]"),
        "round.toml:6: there is no layer \"natve\"",
    );
    refused(
        ROUND,
        &case("in = [\"f32[] 1\"]\nlayers = []"),
        "layers names none",
    );
    refused(ROUND, "[[case]]\nname = \"A b\"\nin = []", "not a clause");
    refused(
        ROUND,
        &case("attrs = { axis = 1 }\nin = [\"f32[] 1\"]"),
        "round.toml:5: attrs of",
    );
    refused(
        ROUND,
        &case("in = [\"f32[] 1\"]\ndtypes = [\"f16\"]"),
        "no literal is f16",
    );
    refused(
        ROUND,
        &case("in = [\"f32[] 1\"]\nout = \"f32[1] 1\""),
        "the op gives f32[]",
    );
    refused(
        ROUND,
        &case("in = [\"f32[] 1\"]\nexhaustive = true"),
        "exclude",
    );
    refused(
        ROUND,
        &case("in = [\"f32[] 1\"]\ntol = \"ulp(1)\""),
        "say why",
    );
    refused(
        ROUND,
        &case("exhaustive = true\ndtypes = [\"f32\"]"),
        "too many values",
    );
    refused(
        ROUND,
        &case("sweep = { shapes = [\"[]\"] }\ndtypes = [\"u8\"]"),
        "does not take u8",
    );
    refused(
        ROUND,
        &case("in = [\"f32[] 1\"]\ngrad = { wrt = [0] }"),
        "no gradient",
    );
    refused(
        "cases/linalg/qr.toml",
        &case("in = [\"f32[1,1] 1\"]\nout = []"),
        "promises",
    );
    refused("cases/wrong/round.toml", "", "belong in unary/round.toml");
    let twice = case("in = [\"f32[] 1\"]");
    refused(ROUND, &format!("{twice}\n{twice}"), "two cases named a");
    let made = "[[case]]\nname = \"gradients\"\nin = [\"f32[] 1\"]";
    refused(
        ROUND,
        made,
        "\"gradients\" is the name of the case that is made",
    );
    let unknown = parse(
        Path::new("cases/unary/rond.toml"),
        "op = \"rond\"\ndoc = \"d\"",
    );
    assert!(unknown.unwrap_err()[0].to_string().contains("unknown op"));
}

#[test]
fn an_example_is_a_fact_with_an_answer() {
    let case = |rest: &str| format!("[[case]]\nname = \"a\"\nexample = true\n{rest}");
    let fact = parse_at(ROUND, &case("in = [\"f32[1] 1\"]\nout = \"f32[1] 1\"")).unwrap();
    assert!(fact[0].example);
    for rest in [
        "in = [\"u8[1] 1\"]\nerr = { kind = \"dtype\" }",
        "exhaustive = true",
    ] {
        refused(ROUND, &case(rest), "round.toml:5: an example is a fact");
    }
}

#[test]
fn what_elixir_records_is_a_case_wherever_it_stands() {
    let text = include_str!("recorded.toml");
    let cases = parse_anywhere(Path::new("elsewhere.toml"), text).unwrap();
    let calls: Vec<_> = cases
        .iter()
        .map(|case| match &case.readings[0].body {
            Body::Fact { call, want } => (call, want),
            Body::Sweep(_) => panic!("a fact"),
        })
        .collect();
    assert_eq!(calls.len(), 2);
    for (call, want) in calls {
        assert_eq!(call.op.name(), "remainder");
        assert_eq!(call.results()[0].to_string(), "f32[3]");
        assert_eq!(*want, Want::Oracle);
    }
    assert!(parse(Path::new("elsewhere.toml"), text).is_err());
}
