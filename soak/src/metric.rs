//! What is measured.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator as _;

/// Something that is measured again and again while a harness runs.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Bytes that tensors have of MLX's allocator.
    Active,
    /// Bytes that the allocator keeps for reuse.
    Cache,
    /// The most bytes that tensors had since the sample before.
    Peak,
    /// Bytes of the process that are in memory.
    Resident,
    /// Threads of the operating system.
    Threads,
    /// Open file handles.
    Handles,
    /// The most jobs that waited in a worker's queue since the sample before.
    Depth,
    /// The median time that a request took since the sample before, in microseconds.
    P50,
    /// The time that 99 of 100 requests took since the sample before, in microseconds.
    P99,
    /// Processes of the BEAM.
    Processes,
    /// Atoms of the BEAM.
    Atoms,
    /// Bytes of the BEAM's own memory.
    Beam,
    /// How often the BEAM reported a scheduler that was kept for 5 ms by a process that was in Emily, since
    /// the sample before, for a hundred requests.
    LongSchedules,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Count,
    /// Microseconds.
    Micros,
}

impl Metric {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Metric> {
        Metric::iter()
    }

    /// What it counts.
    pub const fn unit(self) -> Unit {
        match self {
            Metric::Active | Metric::Cache | Metric::Peak | Metric::Resident | Metric::Beam => {
                Unit::Bytes
            }
            Metric::Threads
            | Metric::Handles
            | Metric::Depth
            | Metric::Processes
            | Metric::Atoms
            | Metric::LongSchedules => Unit::Count,
            Metric::P50 | Metric::P99 => Unit::Micros,
        }
    }

    /// The words for a heading.
    pub const fn label(self) -> &'static str {
        match self {
            Metric::Active => "tensor memory",
            Metric::Cache => "allocator's cache",
            Metric::Peak => "peak of tensor memory",
            Metric::Resident => "resident set",
            Metric::Threads => "threads",
            Metric::Handles => "file handles",
            Metric::Depth => "queue depth",
            Metric::P50 => "median latency",
            Metric::P99 => "99th percentile of latency",
            Metric::Processes => "processes of the BEAM",
            Metric::Atoms => "atoms",
            Metric::Beam => "memory of the BEAM",
            Metric::LongSchedules => "long schedules of 100 requests",
        }
    }

    /// Whether its figure is another on another machine, so that only runs of one can be compared.
    pub const fn is_of_the_machine(self) -> bool {
        match self {
            Metric::Resident
            | Metric::Threads
            | Metric::Depth
            | Metric::P50
            | Metric::P99
            | Metric::Beam
            | Metric::LongSchedules => true,
            Metric::Active
            | Metric::Cache
            | Metric::Peak
            | Metric::Handles
            | Metric::Processes
            | Metric::Atoms => false,
        }
    }
}

impl fmt::Display for Metric {
    /// The name in budgets and reports.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        f.pad(name.as_str().unwrap_or_default())
    }
}

impl Unit {
    /// A value as a person reads it: three digits and a unit.
    pub fn show(self, value: f64) -> String {
        let scaled = |steps: &[(f64, &str)], least: &str| {
            let step = steps.iter().find(|(size, _)| value.abs() >= *size);
            let (size, unit) = step.copied().unwrap_or((1.0, least));
            format!("{}{unit}", digits(value / size))
        };
        match self {
            Unit::Bytes => scaled(
                &[
                    (1024.0 * 1024.0 * 1024.0, " GiB"),
                    (1024.0 * 1024.0, " MiB"),
                    (1024.0, " KiB"),
                ],
                " B",
            ),
            Unit::Count => digits(value),
            Unit::Micros => scaled(&[(1e6, " s"), (1e3, " ms")], " µs"),
        }
    }
}

/// A number to three digits.
fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let before = value.abs().log10().floor() as i32;
    let after = usize::try_from(2 - before).unwrap_or_default();
    let text = format!("{value:.after$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_in_a_unit_that_reads_well() {
        assert_eq!(Unit::Bytes.show(0.0), "0 B");
        assert_eq!(Unit::Bytes.show(8192.0), "8 KiB");
        assert_eq!(Unit::Bytes.show(-1_500_000.0), "-1.43 MiB");
        assert_eq!(Unit::Count.show(1234.0), "1234");
        assert_eq!(Unit::Count.show(0.125), "0.125");
        assert_eq!(Unit::Micros.show(1_250.0), "1.25 ms");
    }

    #[test]
    fn a_metric_has_its_name_in_json() {
        assert_eq!(Metric::LongSchedules.to_string(), "long_schedules");
    }
}
