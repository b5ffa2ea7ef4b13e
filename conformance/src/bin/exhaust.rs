//! Judges unary ops on every `f32` and keeps what was measured.
#![forbid(unsafe_code)]

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use clap::Parser;
use emily_conformance::exhaust::{Exhausted, exhaust};
use emily_conformance::fixtures::repository;
use emily_conformance::layer::{Layer as _, Native};
use emily_conformance::report::{EXHAUSTED, Exhaustions, digest, today};
use emily_spec::Row;

/// Judges unary ops on all 2^32 values of f32, on the CPU.
#[derive(Debug, Parser)]
struct Options {
    /// The op. May be given again.
    #[arg(long = "op", value_name = "OP", required = true)]
    ops: Vec<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let layer = Native::cpu();
    if let Err(absent) = layer.available() {
        bail!("{}; {}", absent.reason, absent.remedy);
    }
    let file = repository().join(EXHAUSTED);
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let mut all = Exhaustions::parse(&text).context(EXHAUSTED)?;
    let date = today();
    let mut red = false;
    for name in &options.ops {
        let row = Row::named(name).with_context(|| format!("there is no op {name:?}"))?;
        let begun = Instant::now();
        let progress = |done| eprintln!("{name}: {done} of 16, {:.0?}", begun.elapsed());
        let found = exhaust(row, &layer, &progress).map_err(|problem| anyhow!(problem))?;
        tell(name, &found, begun);
        red |= found.outside > 0;
        all.insert(row, &found, &date, digest(&repository(), row)?);
        fs::write(&file, all.json()?).with_context(|| file.display().to_string())?;
    }
    Ok(ExitCode::from(u8::from(red)))
}

fn tell(name: &str, found: &Exhausted, begun: Instant) {
    let Exhausted {
        values,
        outside,
        worst,
        allowed,
        misses,
    } = found;
    println!(
        "{name}: {outside} of {values} values outside `{}`; worst {worst} {}; {:.0?}",
        allowed.text,
        allowed.unit,
        begun.elapsed()
    );
    for (operand, miss) in misses {
        println!(
            "  {name}({:e}) #{operand:08x}: expected #{:x}, got #{:x}",
            f32::from_bits(*operand),
            miss.expected,
            miss.actual
        );
    }
}
