//! A foreign backend is judged as the layer nx is: seen on the one that is always there.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use emily_conformance::case::Body;
use emily_conformance::fixtures::{Fixtures, repository};
use emily_conformance::layer::{self, Peer};
use emily_conformance::outcome::Outcome;
use emily_conformance::run::Run;
use emily_flags::Filter;

const BACKEND: &str = "Nx.BinaryBackend";

/// Signs of zeros, errors by type and by value, strides, an order, several results.
const FILES: [&str; 5] = [
    "unary/round",
    "binary/quotient",
    "shape/concatenate",
    "index/gather",
    "sort/top_k",
];

#[test]
fn binary_backend_as_a_peer_is_right_where_the_layer_nx_is() {
    let files = FILES.map(|name| repository().join(format!("fixtures/cases/{name}.toml")));
    let mut fixtures = Fixtures::of(&files).expect("the cases are sound");
    for case in &mut fixtures.cases {
        let is_fact = |body: &Body| matches!(body, Body::Fact { .. });
        case.readings.retain(|reading| is_fact(&reading.body));
    }
    let mut layers = layer::all();
    layers.push(layer::peer(
        &Peer::new(BACKEND, Vec::new()).expect("a module's name"),
    ));
    let filter = Filter {
        layers: ["oracle", "nx", BACKEND].map(str::to_owned).into(),
        ..Filter::default()
    };
    let run = Run::new(fixtures, layers, &filter).expect("there is no ledger");
    if let Some(absent) = run.states().iter().find(|state| !state.ran) {
        let reason = absent.reason.as_deref().unwrap_or_default();
        let required = std::env::var("EMILY_CONFORMANCE_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|layer| layer == "nx"),
            "nx is required: {reason}"
        );
        return println!("not run: {reason}");
    }
    for id in run.trials(&filter) {
        run.result(id);
    }
    let report = run.report(&filter);
    let of = |layer: &str| -> BTreeMap<_, _> {
        let trials = report.trials.iter().filter(|trial| trial.layer == layer);
        let named = trials.map(|t| ((&*t.op, &*t.case, &*t.dtype), t));
        named.collect()
    };
    let (nx, peer) = (of("nx"), of(BACKEND));
    assert!(nx.len() > 100, "{} trials", nx.len());
    for (name, trial) in nx {
        let found = peer[&name];
        let wanted: &[Outcome] = match trial.outcome {
            Outcome::Passed => &[Outcome::Passed],
            // A backend without an answer refuses.
            Outcome::NotRun => &[Outcome::Refused],
            // Of a backend less is asked: no sign of a zero, no words.
            _ => &[
                Outcome::Passed,
                Outcome::Failed,
                Outcome::Refused,
                Outcome::Open,
            ],
        };
        let text = found.message.as_deref().unwrap_or_default();
        assert!(
            wanted.contains(&found.outcome),
            "{:?} {text}",
            trial.outcome
        );
    }
    assert!(report.versions.contains_key("nx"), "{:?}", report.versions);
}
