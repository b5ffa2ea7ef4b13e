//! fixtures/rules.toml: what is known of MLX leads to cases and tests that exist,
//! each of its cases at each dtype that it concerns.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use emily_conformance::case::Case;
use emily_conformance::fixtures::{Fixtures, repository};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    rule: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    mlx: String,
    #[serde(default)]
    dtypes: BTreeSet<String>,
    #[serde(default)]
    cases: Vec<Held>,
    #[serde(default)]
    tests: Vec<String>,
}

/// What holds a rule at each of its dtypes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Held {
    /// One case at all of them.
    Case(String),
    /// A case for some each, as its numbers are of the dtype.
    Together(Vec<String>),
}

impl Held {
    fn cases(&self) -> &[String] {
        match self {
            Held::Case(case) => std::slice::from_ref(case),
            Held::Together(cases) => cases,
        }
    }
}

/// The dtypes at which each case is read, by its op and name.
type Readings = BTreeMap<String, BTreeSet<String>>;

/// What is wrong with the rule's cases.
fn faults(rule: &Rule, readings: &Readings) -> Vec<String> {
    let mut faults = Vec::new();
    for held in &rule.cases {
        let cases = held.cases();
        let ops: BTreeSet<_> = cases.iter().map(|case| case.split("::").next()).collect();
        if ops.len() != 1 {
            faults.push(format!("{cases:?} are not of one op"));
        }
        let mut at = BTreeSet::new();
        for case in cases {
            let Some(dtypes) = readings.get(case) else {
                faults.push(format!("there is no case {case}"));
                continue;
            };
            for dtype in dtypes {
                if !at.insert(dtype) {
                    faults.push(format!("{cases:?} are at {dtype} twice"));
                }
            }
        }
        let lacks = rule.dtypes.iter().filter(|dtype| !at.contains(dtype));
        faults.extend(lacks.map(|dtype| format!("{cases:?}: not at {dtype}")));
    }
    faults
}

#[test]
fn every_rule_is_held_by_each_of_its_cases_at_each_dtype() {
    let text = fs::read_to_string(repository().join("fixtures/rules.toml")).expect("rules");
    let rules: Rules = toml::from_str(&text).expect("rules.toml is sound");
    let fixtures = Fixtures::load(&repository()).expect("the cases are sound");
    let dtypes = |case: &Case| {
        let readings = case.readings.iter();
        readings.map(|reading| reading.dtype.clone()).collect()
    };
    let readings: Readings = fixtures
        .cases
        .iter()
        .map(|case| (format!("{}::{}", case.row.name, case.name), dtypes(case)))
        .collect();
    let mut found = Vec::new();
    for rule in &rules.rule {
        let mut faults = faults(rule, &readings);
        if rule.cases.is_empty() && rule.tests.is_empty() {
            faults.push("neither a case nor a test".to_owned());
        }
        if rule.cases.is_empty() && !rule.dtypes.is_empty() {
            faults.push("dtypes, and no case".to_owned());
        }
        let missing = rule.tests.iter().filter(|test| !exists(test));
        faults.extend(missing.map(|test| format!("there is no test {test}")));
        found.extend(faults.iter().map(|fault| format!("{}: {fault}", rule.mlx)));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_dtype_that_one_case_lacks_is_not_held_by_another() {
    let rule: Rule = toml::from_str(
        "mlx = \"\"\ndtypes = [\"f32\", \"s32\"]\ncases = [\"a::b\", \"a::c\", [\"a::c\", \"a::d\"]]",
    )
    .expect("a rule");
    let at = |dtypes: &[&str]| dtypes.iter().map(|&dtype| dtype.to_owned()).collect();
    let mut readings = Readings::from([
        ("a::b".to_owned(), at(&["f32", "s32", "c64"])),
        ("a::c".to_owned(), at(&["f32"])),
        ("a::d".to_owned(), at(&["s32"])),
    ]);
    assert_eq!(faults(&rule, &readings), ["[\"a::c\"]: not at s32"]);
    readings.insert("a::c".to_owned(), at(&["f32", "s32"]));
    let twice = "[\"a::c\", \"a::d\"] are at s32 twice";
    assert_eq!(faults(&rule, &readings), [twice]);
}

/// Whether the file has a test of this name.
fn exists(test: &str) -> bool {
    let (file, name) = test.split_once("::").expect("file::name");
    let text = fs::read_to_string(repository().join(file)).unwrap_or_default();
    text.contains(&format!("fn {name}()")) || text.contains(&format!("test \"{name}\""))
}
