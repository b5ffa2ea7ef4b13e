//! `cargo xtask fuzz`: random calls of every op on the engine, held against the oracle.
//!
//! What it finds is shrunk and appended to `fixtures/cases/found/`.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Parser;
use emily_conformance::fixtures::repository;
use emily_conformance::fuzz::{append, fuzz};
use emily_conformance::layer::{self, Layer};
use emily_conformance::report::today;
use emily_flags::label;
use emily_spec::{ROWS, Row};

/// Tries random calls and writes down the ones on which a layer and the oracle disagree.
#[derive(Debug, Parser)]
struct Options {
    /// How many calls of each op.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
    /// Then go round the ops again with other seeds, until this many minutes are over.
    #[arg(long, default_value_t = 0)]
    minutes: u64,
    /// Only this op. May be given again.
    #[arg(long = "op", value_name = "OP")]
    ops: Vec<String>,
    /// The layer to try.
    #[arg(long, default_value = "native")]
    layer: String,
    /// The seed; the time when absent.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let layer = find_layer(&options.layer)?;
    let ops = chosen(&options.ops)?;
    let now = SystemTime::now();
    let time = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let seed = options.seed.unwrap_or(time);
    println!(
        "seed {seed}: {} calls of each op on {}",
        options.cases, options.layer
    );
    let date = today();
    let end = Instant::now() + Duration::from_secs(60 * options.minutes);
    let (mut finds, mut rounds) = (0, 0);
    loop {
        for row in &ops {
            let Some(find) = fuzz(row, &[&*layer], options.cases, seed.wrapping_add(rounds))?
            else {
                println!("{:<12} agrees", row.name);
                continue;
            };
            let case = find.specimen.to_case(&options.layer, &date)?;
            let path = append(&repository(), row.name, &case)?;
            println!(
                "{:<12} disagrees\n{}\n{case}written to {}",
                row.name,
                find.message,
                path.display()
            );
            finds += 1;
        }
        rounds += 1;
        if Instant::now() >= end {
            break;
        }
    }
    println!("{rounds} rounds of {} ops, {finds} finds", ops.len());
    Ok(ExitCode::from(u8::from(finds > 0)))
}

fn find_layer(name: &str) -> anyhow::Result<Box<dyn Layer>> {
    let mut layers = layer::all().into_iter();
    let Some(layer) = layers.find(|layer| label(layer.name(), layer.device()) == name) else {
        bail!("there is no layer {name}");
    };
    if let Err(absent) = layer.available() {
        bail!(
            "{name} cannot run here: {}; {}",
            absent.reason,
            absent.remedy
        );
    }
    Ok(layer)
}

/// The rows of the ops to try; all of them where none is named.
fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(ROWS.clone());
    }
    let named =
        |name: &String| Row::named(name).with_context(|| format!("there is no op {name:?}"));
    names.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_tried_agrees_with_nothing() {
        assert!(Options::try_parse_from(["fuzz", "--cases", "0"]).is_err());
        assert!(Options::try_parse_from(["fuzz", "--cases", "1"]).is_ok());
    }
}
