//! fixtures/rules.toml: what is known of MLX leads to cases and tests that exist.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use emily_conformance::case::Reading;
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
    cases: Vec<String>,
    #[serde(default)]
    tests: Vec<String>,
}

#[test]
fn every_rule_leads_to_cases_or_tests() {
    let text = fs::read_to_string(repository().join("fixtures/rules.toml")).expect("rules");
    let rules: Rules = toml::from_str(&text).expect("rules.toml is sound");
    let fixtures = Fixtures::load(&repository()).expect("the cases are sound");
    let readings: BTreeMap<String, &[Reading]> = fixtures
        .cases
        .iter()
        .map(|case| {
            let name = format!("{}::{}", case.row.name, case.name);
            (name, &case.readings[..])
        })
        .collect();
    for Rule {
        mlx,
        mut dtypes,
        cases,
        tests,
    } in rules.rule
    {
        assert!(!cases.is_empty() || !tests.is_empty(), "{mlx}: no case");
        for case in &cases {
            let readings = readings.get(case);
            let readings = readings.unwrap_or_else(|| panic!("{mlx}: there is no case {case}"));
            for reading in *readings {
                dtypes.remove(&reading.dtype);
            }
        }
        assert!(dtypes.is_empty(), "{mlx}: no case at {dtypes:?}");
        for test in tests {
            assert!(exists(&test), "{mlx}: there is no test {test}");
        }
    }
}

/// Whether the file has a test of this name.
fn exists(test: &str) -> bool {
    let (file, name) = test.split_once("::").expect("file::name");
    let text = fs::read_to_string(repository().join(file)).unwrap_or_default();
    text.contains(&format!("fn {name}()")) || text.contains(&format!("test \"{name}\""))
}
