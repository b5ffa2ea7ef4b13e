//! The program from end to end: runs, a report, and what it says with its status.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::{Command, Output};

use emily_soak::judge::Outcome;
use emily_soak::report::Report;

fn soak(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emily-soak"));
    command.args(args).arg(folder).output().unwrap()
}

/// What is told of five iterations of a harness, which end as they should and make no green report.
fn red_table(harness: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let run = ["run", "--device", "cpu", "--harness", harness];
    let ran = soak(&[&run[..], &["--iterations", "5"]].concat(), folder.path());
    assert!(ran.status.success());
    let told = soak(&["report"], folder.path());
    assert!(!told.status.success());
    String::from_utf8(told.stdout).unwrap()
}

#[test]
fn runs_become_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let harnesses = ["--harness", "memory", "--harness", "quantized_memory"];
    let run = ["run", "--device", "cpu", "--iterations", "300"];
    let ran = soak(&[&run[..], &harnesses].concat(), folder.path());
    assert!(ran.status.success(), "{ran:?}");
    let live = String::from_utf8(ran.stderr).unwrap();
    assert!(live.contains("100 %"), "{live}");

    let told = soak(
        &["report", "--not-run", "a GPU: there is none"],
        folder.path(),
    );
    let table = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{table}");
    assert!(table.contains("2 green, 0 red"), "{table}");
    assert!(table.contains("not run: a GPU"), "{table}");
    let report = Report::read(&folder.path().join("report.json")).unwrap();
    assert_eq!(report.outcome(), Some(Outcome::Green));
    assert!(folder.path().join("report.html").is_file());

    let same = Command::new(env!("CARGO_BIN_EXE_emily-soak"))
        .arg("drift")
        .args([
            folder.path().join("report.json"),
            folder.path().join("report.json"),
        ])
        .output()
        .unwrap();
    assert!(same.status.success());
    let text = String::from_utf8(same.stdout).unwrap();
    assert!(text.contains("0 of"), "{text}");
}

#[test]
fn a_run_that_is_too_short_is_not_green() {
    let table = red_table("memory");
    assert!(table.contains("too few for a slope"), "{table}");
}

#[test]
fn a_harness_that_cannot_begin_is_red() {
    // It is the BEAM's alone.
    let table = red_table("serving");
    assert!(table.contains("the process failed"), "{table}");
}
