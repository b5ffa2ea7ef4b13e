//! `cargo xtask fuzz`: random calls of every op on the engine, held against the oracle.
//!
//! What it finds is shrunk and appended to `fixtures/cases/found/`.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use clap::Parser;
use emily_conformance::fuzz::{append, exemplars, fuzz};
use emily_conformance::layer::{self, Layer, label};
use emily_conformance::run::{Fixtures, repository};
use emily_spec::Op;

/// Tries random calls and writes down the ones on which a layer and the oracle disagree.
#[derive(Debug, Parser)]
struct Options {
    /// How many calls of each op.
    #[arg(long, default_value_t = 1000)]
    cases: u32,
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
    let date = humantime::format_rfc3339_seconds(now).to_string();
    let date = date.split('T').next().unwrap_or_default();
    let mut finds = 0;
    for op in &ops {
        let Some(find) = fuzz(op, &*layer, options.cases, seed)? else {
            println!("{:<12} agrees", op.name());
            continue;
        };
        let case = find.specimen.to_case(&options.layer, date)?;
        let path = append(&repository(), op.name(), &case)?;
        println!(
            "{:<12} disagrees\n{}\n{case}written to {}",
            op.name(),
            find.message,
            path.display()
        );
        finds += 1;
    }
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

/// The ops to try: those that have a case, which is all of them.
fn chosen(names: &[String]) -> anyhow::Result<Vec<Op>> {
    let fixtures = Fixtures::load(&repository()).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", texts.join("\n"))
    })?;
    let mut ops = exemplars(&fixtures.cases);
    if let Some(unknown) = names
        .iter()
        .find(|name| ops.iter().all(|op| op.name() != *name))
    {
        bail!("no case is about an op {unknown:?}");
    }
    ops.retain(|op| names.is_empty() || names.iter().any(|name| name == op.name()));
    Ok(ops)
}
