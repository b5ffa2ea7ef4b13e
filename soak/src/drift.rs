//! What moved from one report to another, and whether that is beyond noise.
//!
//! Where a report has several runs of a harness, what lies between these is the noise of a level, and of what is
//! left at the end: the pooled standard deviation s of both reports' runs, of which n and m differ in their means
//! by t · s · √(1/n + 1/m) with 99 % confidence, by Student's t with n + m − 2 degrees of freedom. Where each has
//! one run only, that is not known; then two blocks within a run stand in for two runs, which is less than lies
//! between runs of a noisy metric. Slopes bring their own intervals along.

use crate::fit::{Fit, student};
use crate::judge::{Curve, Run};
use crate::metric::Metric;
use crate::report::Report;

/// One figure in both reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// `engine memory cpu`.
    pub of: String,
    /// What was measured.
    pub metric: Metric,
    /// Which figure of it.
    pub figure: Figure,
    /// In the old report, the mean of its runs.
    pub old: f64,
    /// In the new one.
    pub new: f64,
    /// The most that they differ by where nothing changed.
    pub noise: f64,
    /// The reports are of different machines, and the metric is one of the machine.
    pub other_machine: bool,
}

/// A figure of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Its mean.
    Level,
    /// Its slope for a thousand iterations.
    Slope,
    /// What was left at the end.
    Left,
}

impl Figure {
    const ALL: [Figure; 3] = [Figure::Level, Figure::Slope, Figure::Left];

    const fn name(self) -> &'static str {
        match self {
            Figure::Level => "level",
            Figure::Slope => "slope for 1000",
            Figure::Left => "left",
        }
    }

    /// The figure of a curve, and how far off it may be by itself.
    fn measured(self, curve: &Curve) -> Option<(f64, f64)> {
        let fit = curve.fit.as_ref();
        match self {
            Figure::Level => fit.map(|fit| (fit.level, within(fit))),
            Figure::Slope => {
                fit.map(|fit| (1000.0 * fit.slope, 1000.0 * (fit.high - fit.low) / 2.0))
            }
            Figure::Left => curve.left.map(|left| (left, fit.map_or(0.0, within))),
        }
    }
}

/// How far a block may be from its run's level.
fn within(fit: &Fit) -> f64 {
    student(fit.blocks.saturating_sub(2)) * fit.spread
}

impl Change {
    /// Whether it moved by more than noise.
    pub fn is_beyond_noise(&self) -> bool {
        !self.other_machine && (self.new - self.old).abs() > self.noise
    }

    /// Whether there is more of it, beyond noise: less of any metric is no loss.
    pub fn is_worse(&self) -> bool {
        self.is_beyond_noise() && self.new > self.old
    }
}

/// Every figure that both reports have.
pub fn compare(old: &Report, new: &Report) -> Vec<Change> {
    let other_machine = old.machine != new.machine;
    let name = |run: &Run| format!("{} {} {}", run.layer.name(), run.harness, run.device);
    let mut names: Vec<String> = new.runs.iter().map(name).collect();
    names.sort();
    names.dedup();
    let mut changes = Vec::new();
    for of in names {
        for metric in Metric::all() {
            for figure in Figure::ALL {
                let figures = |report: &Report| -> Vec<(f64, f64)> {
                    let runs = report.runs.iter().filter(|run| name(run) == of);
                    let curves = runs.flat_map(|run| &run.curves);
                    let curves = curves.filter(|curve| curve.metric == metric);
                    curves.filter_map(|curve| figure.measured(curve)).collect()
                };
                let (old, new) = (figures(old), figures(new));
                if old.is_empty() || new.is_empty() {
                    continue;
                }
                changes.push(Change {
                    of: of.clone(),
                    metric,
                    figure,
                    old: mean(&old),
                    new: mean(&new),
                    noise: noise(figure, &old, &new),
                    other_machine: other_machine && metric.is_of_the_machine(),
                });
            }
        }
    }
    changes
}

/// The most that the means of these differ by where nothing changed.
fn noise(figure: Figure, old: &[(f64, f64)], new: &[(f64, f64)]) -> f64 {
    let freedom = (old.len() + new.len()).saturating_sub(2);
    let own = |figures: &[(f64, f64)]| {
        let squares: f64 = figures.iter().map(|figure| figure.1.powi(2)).sum();
        squares / figures.len() as f64
    };
    let between_runs = match figure {
        Figure::Level | Figure::Left => freedom > 0,
        Figure::Slope => false,
    };
    if between_runs {
        let squares = |figures: &[(f64, f64)]| {
            let mean = mean(figures);
            let squares = figures.iter().map(|figure| (figure.0 - mean).powi(2));
            squares.sum::<f64>()
        };
        let deviation = ((squares(old) + squares(new)) / freedom as f64).sqrt();
        let share = 1.0 / old.len() as f64 + 1.0 / new.len() as f64;
        return student(freedom) * deviation * share.sqrt();
    }
    (own(old) + own(new)).sqrt()
}

fn mean(figures: &[(f64, f64)]) -> f64 {
    figures.iter().map(|figure| figure.0).sum::<f64>() / figures.len() as f64
}

/// Prints every figure, those beyond noise first.
pub fn print(changes: &[Change]) {
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by_key(|change| !change.is_beyond_noise());
    println!(
        "{:<28} {:<26} {:<15} {:>11} {:>11} {:>11} {:>11}",
        "run", "metric", "figure", "old", "new", "moved", "noise"
    );
    for change in sorted {
        let show = |value| change.metric.unit().show(value);
        let verdict = match change {
            change if change.other_machine => "another machine",
            change if change.is_worse() => "MORE",
            change if change.is_beyond_noise() => "less",
            _ => "",
        };
        println!(
            "{:<28} {:<26} {:<15} {:>11} {:>11} {:>11} {:>11} {verdict}",
            change.of,
            change.metric.label(),
            change.figure.name(),
            show(change.old),
            show(change.new),
            show(change.new - change.old),
            show(change.noise),
        );
    }
    let beyond = changes.iter().filter(|change| change.is_beyond_noise());
    println!(
        "{} of {} figures moved beyond noise",
        beyond.count(),
        changes.len()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn changed(old: &Report, new: &Report, metric: Metric, figure: Figure) -> Change {
        let changes = compare(old, new);
        let found = changes.iter().find(|change| {
            (change.metric, change.figure) == (metric, figure) && change.of.starts_with("engine")
        });
        found.unwrap().clone()
    }

    #[test]
    fn a_level_that_moved_is_told_from_noise() {
        let old = sample::report(1e6, 0.0, "").unwrap();
        let active = |new: &Report| changed(&old, new, Metric::Active, Figure::Level);
        let same = active(&sample::report(1e6 + 0.1, 0.0, "").unwrap());
        assert!(!same.is_beyond_noise(), "{same:?}");
        let more = active(&sample::report(1e6 + 1000.0, 0.0, "").unwrap());
        assert!(more.is_worse(), "{more:?}");
        assert!((more.new - more.old - 1000.0).abs() < 1e-6, "{more:?}");
        let less = active(&sample::report(1e6 - 1000.0, 0.0, "").unwrap());
        assert!(less.is_beyond_noise() && !less.is_worse(), "{less:?}");
    }

    #[test]
    fn a_slope_that_began_is_told() {
        let (old, new) = (
            sample::report(1e6, 0.0, "").unwrap(),
            sample::report(1e6, 1.0, "").unwrap(),
        );
        let slope = changed(&old, &new, Metric::Active, Figure::Slope);
        assert!(
            slope.is_worse() && (slope.new - 1000.0).abs() < 10.0,
            "{slope:?}"
        );
        assert!(!changed(&old, &new, Metric::Active, Figure::Left).is_beyond_noise());
    }

    #[test]
    fn runs_that_differ_among_themselves_are_noise() {
        let of = |levels: [f64; 3]| {
            let mut report = sample::report(levels[0], 0.0, "").unwrap();
            for level in &levels[1..] {
                report
                    .runs
                    .extend(sample::report(*level, 0.0, "").unwrap().runs);
            }
            report
        };
        let (old, near) = (of([1e6, 1.1e6, 0.9e6]), of([1.2e6, 1.1e6, 1.3e6]));
        assert!(!changed(&old, &near, Metric::Active, Figure::Level).is_beyond_noise());
        let far = of([2.2e6, 2.1e6, 2.3e6]);
        assert!(changed(&old, &far, Metric::Active, Figure::Level).is_worse());
    }

    #[test]
    fn another_machine_has_other_latencies() {
        let old = sample::report(1e6, 0.0, "").unwrap();
        let mut new = sample::report(2e6, 0.0, "").unwrap();
        new.machine
            .insert("processor".to_owned(), "another".to_owned());
        assert!(changed(&old, &new, Metric::P50, Figure::Level).other_machine);
        assert!(changed(&old, &new, Metric::Active, Figure::Level).is_worse());
    }
}
