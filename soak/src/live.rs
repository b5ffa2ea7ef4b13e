//! Runs harnesses in processes of their own, shows where they are, and keeps what they tell.

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use emily_engine::Device;

use crate::driver::Length;
use crate::harness::Harness;
use crate::metric::Metric;
use crate::record::{Fault, Layer, Line, Sample};

/// The folder of a report that records are kept in.
pub fn records(report: &Path) -> PathBuf {
    report.join("records")
}

/// Runs a harness in a process of its own, which this program is asked to be, and writes its record into
/// the folder.
///
/// # Errors
/// When the process cannot start or the record cannot be written. One that ends badly is a fault in its record.
pub fn run(
    harness: Harness,
    length: Length,
    device: Device,
    number: usize,
    folder: &Path,
) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("harness").arg(harness.to_string());
    command.arg("--device").arg(device.name());
    match length {
        Length::Iterations(count) => command.arg("--iterations").arg(count.to_string()),
        Length::Time(time) => {
            let minutes = time.as_secs_f64() / 60.0;
            command.arg("--minutes").arg(minutes.to_string())
        }
    };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let name = format!("{}-{harness}-{number}.jsonl", Layer::Engine.name());
    let mut file = File::create(folder.join(&name)).with_context(|| name.clone())?;
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let told = child.stdout.take().context("a pipe was asked for")?;
    let mut show = Show::of(harness);
    for line in BufReader::new(told).lines() {
        let line = line?;
        // What else is printed there is no part of the record.
        match serde_json::from_str(&line) {
            Ok(line) => {
                Line::write(&line, &mut file)?;
                show.line(&line);
            }
            Err(_) => eprintln!("{line}"),
        }
    }
    let status = child.wait()?;
    if !status.success() {
        let fault = Line::Fault(Fault {
            text: format!("the process failed: {status}"),
        });
        fault.write(&mut file)?;
        show.line(&fault);
    }
    show.end();
    Ok(())
}

/// The live line: on a terminal it is written over, elsewhere it comes at every quarter.
struct Show {
    harness: Harness,
    terminal: bool,
    quarter: u32,
}

impl Show {
    fn of(harness: Harness) -> Show {
        Show {
            harness,
            terminal: std::io::stderr().is_terminal(),
            quarter: 0,
        }
    }

    fn line(&mut self, line: &Line) {
        let mut out = std::io::stderr().lock();
        // Where nobody can be shown anything, the run goes on.
        let _ = match line {
            Line::Begin(_) | Line::End(_) => Ok(()),
            Line::Sample(sample) if self.terminal => {
                write!(out, "\r\x1b[K{}", text(self.harness, sample)).and_then(|()| out.flush())
            }
            Line::Sample(sample) => {
                let quarter = (4.0 * sample.done) as u32;
                match std::mem::replace(&mut self.quarter, quarter) < quarter {
                    true => writeln!(out, "{}", text(self.harness, sample)),
                    false => Ok(()),
                }
            }
            Line::Fault(fault) => writeln!(out, "\n{}: {}", self.harness, fault.text),
        };
    }

    fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}

/// Where a run is.
fn text(harness: Harness, sample: &Sample) -> String {
    let mut text = format!(
        "{:<20} {:>3.0} % {:>8} iterations",
        harness.to_string(),
        100.0 * sample.done,
        sample.iteration
    );
    for (metric, name) in [
        (Metric::Active, "tensors"),
        (Metric::Resident, "resident"),
        (Metric::Threads, "threads"),
        (Metric::Depth, "queued"),
        (Metric::P50, "p50"),
        (Metric::P99, "p99"),
    ] {
        if let Some(value) = sample.values.get(&metric) {
            text += &format!("  {name} {}", metric.unit().show(*value));
        }
    }
    text
}
