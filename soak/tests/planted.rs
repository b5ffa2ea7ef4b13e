//! The soak finds what is planted: `cargo test -p emily-soak --features planted --test planted`.
#![forbid(unsafe_code)]

use std::process::Command;

use emily_soak::budget::Budgets;
use emily_soak::judge::{Outcome, Run, judge};
use emily_soak::record::{Fault, Record};

/// Runs a harness in a process of its own, with a fault planted or without, and judges it.
fn run(harness: &str, iterations: u32, fault: Option<&str>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emily-soak"));
    command.args(["harness", harness, "--device", "cpu", "--patience", "5"]);
    command.args(["--iterations", &iterations.to_string()]);
    // Replies and gates are the queue's, which small ops do not need.
    command.env("EMILY_INLINE", "off");
    command.args(fault.iter().flat_map(|fault| ["--plant", fault]));
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let mut record = Record::parse(&told).unwrap();
    if !output.status.success() {
        let text = format!("the process failed: {}", output.status);
        record.faults.push(Fault { text });
    }
    judge(&record, &Budgets::load().unwrap()).unwrap()
}

fn green(harness: &str, iterations: u32) {
    let run = run(harness, iterations, None);
    assert_eq!(run.outcome, Outcome::Green, "{:?}", run.reasons);
}

/// Runs with the fault planted, and gives what makes it red.
fn red(harness: &str, iterations: u32, fault: &str) -> String {
    let run = run(harness, iterations, Some(fault));
    assert_eq!(run.outcome, Outcome::Red, "{fault}");
    run.reasons.join("; ")
}

#[test]
fn a_leak_of_one_tensor_in_a_thousand_iterations_is_red() {
    green("memory", 10_000);
    let why = red("memory", 10_000, "leak");
    assert!(why.contains("tensor memory: grows by"), "{why}");
    assert!(why.contains("left at the end"), "{why}");
}

#[test]
fn a_lost_reply_is_red() {
    green("memory", 1_100);
    let why = red("memory", 1_100, "lost_reply");
    assert!(why.contains("no reply came within 5s"), "{why}");
    assert!(why.contains("requests"), "{why}");
}

/// What it does is up to chance: bits of half a tensor, an error that nobody asked for, or the end of the
/// process. Each is red.
#[test]
fn a_race_is_red() {
    green("stream_concurrency", 100);
    red("stream_concurrency", 100, "race");
}
