//! The table in a terminal.

use super::Report;
use crate::judge::{Curve, Outcome, Run};
use crate::metric::Metric;

/// Prints a line for each run, and beneath it what is wrong with it.
pub fn print(report: &Report) {
    println!(
        "{:<7} {:<20} {:<9} {:>10} {:>8} {:>9} {:>9} {:>12} {:>12} {:>9} {:>9}",
        "layer",
        "harness",
        "",
        "iterations",
        "seconds",
        "requests",
        "answered",
        "tensors/1000",
        "resident/1000",
        "p50",
        "p99"
    );
    for run in &report.runs {
        print_run(run);
    }
    for absent in &report.not_run {
        println!("not run: {absent}");
    }
    let count = |outcome| {
        report
            .runs
            .iter()
            .filter(|run| run.outcome == outcome)
            .count()
    };
    println!(
        "{} green, {} red, {} too short to say",
        count(Outcome::Green),
        count(Outcome::Red),
        count(Outcome::Short)
    );
}

/// One line for a run, and its reasons.
fn print_run(run: &Run) {
    let curve = |metric| run.curves.iter().find(|curve| curve.metric == metric);
    let fitted = |metric, show: fn(&Curve) -> Option<f64>| {
        let value = curve(metric).and_then(show);
        value.map_or("-".to_owned(), |value| metric.unit().show(value))
    };
    let slope = |metric| fitted(metric, |curve| Some(1000.0 * curve.fit?.slope));
    let level = |metric| fitted(metric, |curve| Some(curve.fit?.level));
    println!(
        "{:<7} {:<20} {:<9} {:>10} {:>8.1} {:>9} {:>9} {:>12} {:>12} {:>9} {:>9}",
        run.layer.name(),
        run.harness.to_string(),
        run.outcome.name(),
        run.iterations,
        run.seconds,
        run.asked,
        run.answered,
        slope(Metric::Active),
        slope(Metric::Resident),
        level(Metric::P50),
        level(Metric::P99),
    );
    for reason in &run.reasons {
        println!("        {reason}");
    }
}
