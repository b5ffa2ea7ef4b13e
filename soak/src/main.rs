//! `emily-soak`: runs harnesses, judges what they told, compares reports. `cargo xtask soak` calls it.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use emily_engine::Device;
use emily_soak::budget::Budgets;
use emily_soak::drift;
use emily_soak::driver::{self, Length, Plan};
use emily_soak::harness::{Harness, request};
use emily_soak::judge::Outcome;
use emily_soak::live;
use emily_soak::record::Layer;
use emily_soak::report::{Report, judge_file, print};

/// What leaks, waits or is lost only after thousands of iterations.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run harnesses on the engine, one after the other, and write what they tell into DIR/records.
    Run {
        /// Run this harness only (repeatable).
        #[arg(long, value_name = "NAME")]
        harness: Vec<Harness>,
        #[command(flatten)]
        length: LengthArgs,
        /// The device; the preferred one when absent.
        #[arg(long)]
        device: Option<Device>,
        /// Run each so many times.
        #[arg(long, default_value_t = 1)]
        repeat: usize,
        /// The report's folder.
        #[arg(value_name = "DIR")]
        report: PathBuf,
    },
    /// Run one harness in this process and tell on standard output.
    Harness {
        /// Which.
        harness: Harness,
        #[command(flatten)]
        length: LengthArgs,
        /// The device; the preferred one when absent.
        #[arg(long)]
        device: Option<Device>,
        /// Seconds that a reply is waited for before it counts as lost.
        #[arg(long, default_value_t = 60.0)]
        patience: f64,
        #[command(flatten)]
        plant: Plant,
    },
    /// Write random calls of every op to a file, as the conformance server is asked them.
    Calls {
        /// How many.
        #[arg(long)]
        count: usize,
        /// The device that they are to run on.
        #[arg(long)]
        device: Device,
        /// The file.
        file: PathBuf,
    },
    /// Judge one record.
    Judge {
        /// The record.
        file: PathBuf,
    },
    /// Judge the records in DIR/records, print the table, and write the report beside them.
    Report {
        /// The report's folder.
        #[arg(value_name = "DIR")]
        report: PathBuf,
        /// What did not run, and why (repeatable).
        #[arg(long, value_name = "TEXT")]
        not_run: Vec<String>,
    },
    /// Write a report without its curves' points, to be compared with later.
    Baseline {
        /// The `report.json`.
        report: PathBuf,
        /// The file to write.
        baseline: PathBuf,
    },
    /// Say what moved from one report to another.
    Drift {
        /// The older `report.json`.
        old: PathBuf,
        /// The newer one.
        new: PathBuf,
    },
}

/// How long a run is.
#[derive(clap::Args)]
#[group(multiple = false)]
struct LengthArgs {
    /// For so many minutes, of all harnesses together.
    #[arg(long)]
    minutes: Option<f64>,
    /// So many iterations of each harness.
    #[arg(long)]
    iterations: Option<u64>,
}

/// A fault to plant.
#[derive(clap::Args)]
struct Plant {
    /// Plant this fault in the engine: leak, lost_reply or race.
    #[cfg(feature = "planted")]
    #[arg(long = "plant")]
    fault: Option<String>,
}

impl LengthArgs {
    /// A harness's share, where there are so many.
    fn share_of(&self, harness: Harness, count: usize) -> Length {
        match (self.minutes, self.iterations) {
            (Some(minutes), _) => Length::Time(Duration::from_secs_f64(
                60.0 * minutes / count.max(1) as f64,
            )),
            (None, Some(iterations)) => Length::Iterations(iterations),
            (None, None) => Length::Iterations(harness.iterations()),
        }
    }
}

impl Plant {
    #[cfg(feature = "planted")]
    fn plant(&self) -> anyhow::Result<()> {
        use emily_engine::planted::Fault;
        match self.fault.as_deref() {
            None => {}
            Some("leak") => Fault::Leak.plant(),
            Some("lost_reply") => Fault::LostReply.plant(),
            Some("race") => Fault::Race.plant(),
            Some(other) => anyhow::bail!("there is no fault {other:?}"),
        }
        Ok(())
    }

    #[cfg(not(feature = "planted"))]
    #[expect(clippy::unnecessary_wraps, reason = "the other one may fail")]
    fn plant(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().command {
        Command::Run {
            harness,
            length,
            device,
            repeat,
            report,
        } => {
            let device = device.unwrap_or_else(Device::preferred);
            let asked = |each: &Harness| match harness.is_empty() {
                true => each.runs_on(Layer::Engine),
                false => harness.contains(each),
            };
            let harnesses: Vec<Harness> = Harness::all().filter(asked).collect();
            for number in 0..repeat {
                for &harness in &harnesses {
                    let length = length.share_of(harness, harnesses.len() * repeat);
                    live::run(harness, length, device, number, &live::records(&report))?;
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Harness {
            harness,
            length,
            device,
            patience,
            plant,
        } => {
            plant.plant()?;
            let plan = Plan {
                harness,
                length: length.share_of(harness, 1),
                device: device.unwrap_or_else(Device::preferred),
                patience: Duration::from_secs_f64(patience),
            };
            driver::run(&plan, std::io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Calls {
            count,
            device,
            file,
        } => {
            std::fs::write(&file, request(count, device))
                .with_context(|| file.display().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Judge { file } => {
            let run = judge_file(&file, &Budgets::load()?)?;
            println!(
                "{} on {}: {}",
                run.harness,
                run.layer.name(),
                run.outcome.name()
            );
            for reason in &run.reasons {
                println!("  {reason}");
            }
            Ok(code(run.outcome == Outcome::Green))
        }
        Command::Report {
            report: folder,
            not_run,
        } => {
            let report = Report::of(&folder, not_run)?;
            report.write(&folder)?;
            print(&report);
            println!("report: {}", folder.join("report.html").display());
            let outcome = report.outcome().context("nothing ran")?;
            Ok(code(outcome == Outcome::Green))
        }
        Command::Baseline { report, baseline } => {
            let mut report = Report::read(&report)?;
            let curves = report.runs.iter_mut().flat_map(|run| &mut run.curves);
            curves.for_each(|curve| curve.points.clear());
            let text = serde_json::to_string_pretty(&report)? + "\n";
            std::fs::write(&baseline, text).with_context(|| baseline.display().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Drift { old, new } => {
            let moves = drift::compare(&Report::read(&old)?, &Report::read(&new)?);
            drift::print(&moves);
            Ok(code(!moves.iter().any(|change| change.is_worse())))
        }
    }
}

fn code(good: bool) -> ExitCode {
    ExitCode::from(u8::from(!good))
}
