//! The layer `slices` judged: models with a mistake in them turn it red.
#![forbid(unsafe_code)]

use emily_conformance::fixtures::repository;
use emily_conformance::outcome::Outcome;
use emily_conformance::slices::{Ask, FOLDER, LAYER, Slices};
use emily_flags::Filter;
use emily_spec::DType;

/// The mistakes, by the names that Elixir has for them, and the models that can make them: those with
/// heads, with an ε that Bumblebee reads, and with a table of positions.
const MISTAKES: [(&str, &[&str]); 3] = [
    (
        "heads",
        &[
            "bart",
            "bert",
            "distilbert",
            "gpt2",
            "llama",
            "modernbert",
            "qwen3",
            "roberta",
            "smollm3",
            "t5",
            "vit",
            "whisper",
        ],
    ),
    (
        "epsilon",
        &[
            "bert", "gpt2", "llama", "qwen3", "roberta", "smollm3", "vit",
        ],
    ),
    ("positions", &["bert", "distilbert", "gpt2", "roberta"]),
];

#[test]
fn every_mistake_turns_a_model_red() {
    let filter = Filter {
        layers: vec![LAYER.to_owned()],
        devices: vec!["cpu".to_owned()],
        ..Filter::default()
    };
    let mut slices = Slices::load(&repository().join(FOLDER)).unwrap();
    slices.find(&filter);
    let state = &slices.states()[0];
    if !state.ran {
        let required = std::env::var("EMILY_CONFORMANCE_REQUIRE").unwrap_or_default();
        assert!(!required.contains(LAYER), "{state:?}");
        println!("not run: {}", state.reason.as_deref().unwrap_or_default());
        return;
    }
    let trials = slices.trials(&filter);
    let mut unnoticed = Vec::new();
    for (mistake, models) in MISTAKES {
        for model in models {
            let place = format!("{LAYER}::{model}::base::outputs::eager::");
            let own = trials.iter().find(|slice| {
                let is_of = slices.name(slice).starts_with(&place);
                is_of && slice.ask == Ask::Outputs && slice.dtype == DType::F32
            });
            let slice = own.unwrap_or_else(|| panic!("{model} has a base"));
            let right = slices.judge(slice, None);
            assert_eq!(right.outcome, Outcome::Passed, "{:?}", right.message);
            let wrong = slices.judge(slice, Some(mistake));
            let message = wrong.message.unwrap_or_default();
            // By its values: a model that does not load would be red too.
            if wrong.outcome != Outcome::Failed || !message.contains("elements outside") {
                unnoticed.push(format!("{mistake} in {model}: {message}"));
            }
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}
