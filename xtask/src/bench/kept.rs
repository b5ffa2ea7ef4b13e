//! The figures that stand in docs/bench: one file of JSON for each kind of bench, and a page with their tables
//! and pictures. The conformance report shows the same.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use xshell::{Shell, cmd};

use super::figure::Row;
use super::picture;
use crate::shell;

/// What is measured together: the name of its file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// The promised figures, engine and library.
    Promises,
    /// Operations beside NumPy, JAX, PyTorch and MLX.
    Peers,
    /// Whole models beside PyTorch and JAX.
    Models,
}

/// A run's figures.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Figures {
    title: String,
    date: String,
    machine: String,
    pub(super) rows: Vec<Row>,
}

/// The order of columns; others come behind them.
const COLUMNS: &[&str] = &[
    "emily",
    "eager",
    "compiled",
    "fast",
    "reference",
    "jax",
    "torch",
    "numpy",
    "mlx",
    "torchx",
];

impl Kind {
    const ALL: [Kind; 3] = [Kind::Promises, Kind::Peers, Kind::Models];

    fn name(self) -> &'static str {
        match self {
            Kind::Promises => "promises",
            Kind::Peers => "peers",
            Kind::Models => "models",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Kind::Promises => "What is promised of speed",
            Kind::Peers => "Operations beside others",
            Kind::Models => "Whole models beside others",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Kind::Promises => "cargo xtask bench --beam",
            Kind::Peers => "cargo xtask bench --peers",
            Kind::Models => "cargo xtask bench --models",
        }
    }

    fn file(self) -> PathBuf {
        folder().join(self.name()).with_extension("json")
    }
}

fn folder() -> PathBuf {
    shell::root().join("docs/bench")
}

impl Figures {
    /// What a run on this machine measured today.
    pub(super) fn of(shell: &Shell, kind: Kind, rows: Vec<Row>) -> anyhow::Result<Figures> {
        Ok(Figures {
            title: kind.title().to_owned(),
            date: cmd!(shell, "date -u +%Y-%m-%d").quiet().read()?,
            machine: machine(),
            rows,
        })
    }

    /// Keeps them in docs/bench, in place of an earlier run's, and writes the page anew.
    pub(super) fn keep(&self, kind: Kind) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        put(kind.file(), &json)?;
        put(
            folder().join(kind.name()).with_extension("svg"),
            &picture::svg(&self.rows),
        )?;
        put(folder().join("README.md"), &page()?)
    }

    /// The names of what was measured, in the order of columns.
    fn columns(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self
            .rows
            .iter()
            .flat_map(|row| row.by.keys())
            .map(String::as_str)
            .collect();
        let known = COLUMNS.iter().copied().filter(|name| names.contains(name));
        let others = names.iter().copied().filter(|name| !COLUMNS.contains(name));
        known.chain(others).collect()
    }

    /// The table, for the terminal.
    pub(super) fn print(&self) {
        let columns = self.columns();
        print!("\n{:<60}", "figure");
        for name in &columns {
            print!(" {name:>12}");
        }
        println!(" {:>6} bar", "ratio");
        for row in &self.rows {
            print!("{:<60}", row.name);
            for name in &columns {
                print!(" {:>12}", row.text(name));
            }
            println!(" {:>6.2} {}", row.ratio, row.verdict());
        }
    }

    fn markdown(&self, kind: Kind) -> String {
        let columns = self.columns();
        let mut text = format!(
            "\n## {}\n\n`{}`, on {}, {}.\n\n",
            self.title,
            kind.command(),
            self.date,
            self.machine
        );
        text += &format!("![Ratios]({}.svg)\n\n", kind.name());
        let cells = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let named = |name: &&str| (*name).to_owned();
        let head = ["figure".to_owned()]
            .into_iter()
            .chain(columns.iter().map(named));
        text += &cells(head.chain(["ratio", "bar"].map(str::to_owned)).collect());
        text += &format!("|---{}|\n", "|--:".repeat(columns.len() + 2));
        for row in &self.rows {
            let values = columns.iter().map(|name| row.text(name));
            let ends = [format!("{:.2}", row.ratio), row.verdict()];
            text += &cells(
                [row.name.clone()]
                    .into_iter()
                    .chain(values)
                    .chain(ends)
                    .collect(),
            );
        }
        text
    }
}

/// The page of all that is kept.
fn page() -> anyhow::Result<String> {
    let mut text = String::from(
        "<!-- Written by `cargo xtask bench --keep`. Do not edit. -->\n\n\
         # Speed\n\n\
         Medians within one run, in which all take turns; **ratio** is the best of Emily's over the best of\n\
         what the bar is about, and smaller is better. Machines that others share are noisy: read ratios.\n",
    );
    for kind in Kind::ALL.into_iter().filter(|kind| kind.file().exists()) {
        let json = std::fs::read_to_string(kind.file())?;
        let figures: Figures =
            serde_json::from_str(&json).with_context(|| kind.file().display().to_string())?;
        text += &figures.markdown(kind);
    }
    Ok(text)
}

fn put(file: PathBuf, text: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder())?;
    std::fs::write(&file, text).with_context(|| file.display().to_string())
}

/// The processor, as the system names it, and how many cores there are.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model
        .and_then(|rest| rest.split_once(':'))
        .map(|(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    format!(
        "{}, {cores} cores, {system}",
        model.unwrap_or("an unnamed processor")
    )
}
