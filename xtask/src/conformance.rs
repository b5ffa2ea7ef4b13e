//! `cargo xtask conformance`: the main job.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::builder::PossibleValuesParser;
use xshell::{Shell, cmd};

use crate::beam::{self, Beam};
use crate::shell;

/// Which trials to run, and what to write.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Run this layer only (repeatable): oracle native nx nif backend compiler grad.
    #[arg(long)]
    layer: Vec<String>,
    /// Run this op only (repeatable).
    #[arg(long, value_parser = ops(), hide_possible_values = true)]
    op: Vec<String>,
    /// Run this dtype only (repeatable).
    #[arg(long, value_parser = dtypes())]
    dtype: Vec<String>,
    /// Run on this device (repeatable): cpu gpu.
    #[arg(long, value_parser = ["cpu", "gpu"])]
    device: Vec<String>,
    /// Run part I of N of the ops, for a machine that is there for less time.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<String>,
    /// Run the one trial of this name.
    #[arg(long, value_name = "NAME")]
    exact: Option<String>,
    /// Run the cases in this file only, which may stand anywhere (repeatable).
    #[arg(long, value_name = "FILE")]
    case: Vec<PathBuf>,
    /// Fail when this layer cannot run here (repeatable).
    #[arg(long, value_name = "LAYER")]
    require: Vec<String>,
    /// Also print where the time went: layers, ops, the slowest trials.
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    peer: PeerArgs,
    /// Where report.json and report.html go.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Run the trials whose names contain this.
    filter: Option<String>,
}

/// The layers that there are where no other backend is judged.
const LAYERS: [&str; 8] = [
    "oracle", "native", "nx", "nif", "backend", "compiler", "grad", "slices",
];

fn ops() -> PossibleValuesParser {
    PossibleValuesParser::new(emily_spec::ROWS.iter().map(|row| row.name))
}

fn dtypes() -> PossibleValuesParser {
    PossibleValuesParser::new(emily_spec::DType::ALL.map(emily_spec::DType::name))
}

fn shard(text: &str) -> Result<String, String> {
    let parts = text
        .split_once('/')
        .and_then(|(index, of)| Some((index.parse().ok()?, of.parse::<usize>().ok()?)));
    match parts {
        Some((index, of)) if (1..=of).contains(&index) => Ok(text.to_owned()),
        _ => Err("a shard is I/N, as 1/4: from 1/N to N/N".to_owned()),
    }
}

/// A backend that is no part of Emily; docs/judge-your-backend.md describes them.
#[derive(clap::Args, Default)]
struct PeerArgs {
    /// Judge this backend, an Elixir term, instead of Emily: Torchx.Backend, {EXLA.Backend, []}.
    #[arg(long, value_name = "TERM")]
    nx_backend: Option<String>,
    /// Its code: an ebin folder, or one of applications as _build/dev/lib (repeatable).
    #[arg(long, value_name = "DIR", requires = "nx_backend")]
    code_path: Vec<PathBuf>,
    /// Its known differences (repeatable).
    #[arg(long, value_name = "FILE", requires = "nx_backend")]
    ledger: Vec<PathBuf>,
    /// Write its table into this file.
    #[arg(long, value_name = "FILE", requires = "nx_backend")]
    page: Option<PathBuf>,
    /// What it ran on, for the page.
    #[arg(long, value_name = "TEXT", requires = "page")]
    note: Option<String>,
    /// Fail when it differs in a way that no ledger has.
    #[arg(long, requires = "nx_backend")]
    strict: bool,
}

impl PeerArgs {
    /// The flags for the trials, which run in another folder.
    fn flags(&self) -> anyhow::Result<Vec<String>> {
        let mut flags = Vec::new();
        for (flag, text) in [("--nx-backend", &self.nx_backend), ("--note", &self.note)] {
            flags.extend(text.iter().flat_map(|text| [flag.to_owned(), text.clone()]));
        }
        let code = self.code_path.iter().map(|path| ("--code-path", path));
        let ledgers = self.ledger.iter().map(|path| ("--ledger", path));
        let page = self.page.iter().map(|path| ("--page", path));
        for (flag, path) in code.chain(ledgers).chain(page) {
            flags.extend([
                flag.to_owned(),
                std::path::absolute(path)?.display().to_string(),
            ]);
        }
        flags.extend(self.strict.then(|| "--strict".to_owned()));
        Ok(flags)
    }
}

impl Args {
    /// Looks at what the trials would refuse, before minutes go into building them.
    fn check(&self, report: &Path) -> anyhow::Result<()> {
        let layers = self.layer.iter().chain(&self.require);
        let unknown = |layer: &&String| !LAYERS.contains(&without_device(layer));
        if self.peer.nx_backend.is_none()
            && let Some(layer) = layers.into_iter().find(unknown)
        {
            bail!("unknown layer {layer:?}; known are {}", LAYERS.join(" "));
        }
        if let Some(file) = self.case.iter().find(|file| !file.is_file()) {
            bail!("--case {}: there is no such file", file.display());
        }
        let folder = shell::root().join(report);
        std::fs::create_dir_all(folder).with_context(|| format!("--report {}", report.display()))
    }

    /// False where every trial asked for is of a layer that needs no Elixir.
    fn asks_the_beam(&self) -> bool {
        let rust = |layer: &str| matches!(without_device(layer), "oracle" | "native");
        let of_exact = self
            .exact
            .as_deref()
            .and_then(|name| name.split(':').next());
        let layers = self.layer.iter().map(String::as_str).chain(of_exact);
        let layers: Vec<&str> = layers.collect();
        self.peer.nx_backend.is_some() || layers.is_empty() || !layers.into_iter().all(rust)
    }
}

/// `native@gpu` is the layer native.
fn without_device(layer: &str) -> &str {
    layer.split_once('@').map_or(layer, |(layer, _)| layer)
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    let report = args
        .report
        .clone()
        .unwrap_or_else(|| shell::target_dir().join("conformance"));
    args.check(&report)?;
    let beam = args
        .asks_the_beam()
        .then(|| beam::prepare(shell))
        .transpose()?;
    shell::step("replaying the cases");
    let mut flags = Vec::new();
    for (flag, values) in [
        ("--layer", &args.layer),
        ("--op", &args.op),
        ("--dtype", &args.dtype),
        ("--device", &args.device),
        ("--require", &args.require),
    ] {
        for value in values {
            flags.extend([flag.to_owned(), value.clone()]);
        }
    }
    flags.extend(args.shard.iter().map(|shard| format!("--shard={shard}")));
    for file in &args.case {
        // The trials run in another folder.
        let file = std::path::absolute(file)?;
        flags.extend(["--case".to_owned(), file.display().to_string()]);
    }
    flags.extend(args.peer.flags()?);
    let all = args.layer.is_empty() && args.peer.nx_backend.is_none();
    let asked = |layer: &&&str| all || args.layer.iter().any(|l| without_device(l) == **layer);
    let layers = beam.as_ref().map_or(&[][..], Beam::layers);
    for layer in layers.iter().filter(asked) {
        flags.extend(["--require".to_owned(), (*layer).to_owned()]);
    }
    if args.timings {
        flags.push("--timings".to_owned());
    }
    replay(shell, &report, flags, args.exact.as_deref(), &args.filter)
}

/// Replays the trials that these flags, a name and a filter of names leave, and reports into a folder.
pub(crate) fn replay(
    shell: &Shell,
    report: &Path,
    mut flags: Vec<String>,
    exact: Option<&str>,
    filter: &Option<String>,
) -> anyhow::Result<()> {
    flags.extend(["--report".to_owned(), report.display().to_string()]);
    // libtest's --exact takes the name as the filter.
    if let Some(name) = exact {
        flags.extend(["--exact".to_owned(), name.to_owned()]);
    }
    flags.extend(filter.clone());
    shell::show(cmd!(
        shell,
        "cargo test --quiet --workspace --test conformance -- --quiet {flags...}"
    ))?;
    eprintln!("report: {}", report.join("report.html").display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trials_on_the_beam_need_elixir() {
        let layers = |layers: &[&str]| Args {
            layer: layers.iter().map(|&layer| layer.to_owned()).collect(),
            ..Args::default()
        };
        let exact = |name: &str| Args {
            exact: Some(name.to_owned()),
            ..Args::default()
        };
        for args in [
            Args::default(),
            layers(&["native", "nif"]),
            exact("nx::unary::exp::one::f32"),
        ] {
            assert!(args.asks_the_beam());
        }
        for name in [
            "native::unary::exp::one::f32",
            "native::unary::exp::one::f32@gpu",
        ] {
            assert!(!exact(name).asks_the_beam());
        }
        assert!(!layers(&["oracle", "native@gpu"]).asks_the_beam());
        assert!(layers(&["backend@gpu"]).asks_the_beam());
    }

    #[derive(clap::Parser)]
    struct Parsed {
        #[command(flatten)]
        args: Args,
    }

    /// Whether these flags are taken.
    fn taken(flags: &[&str]) -> bool {
        let folder = std::env::temp_dir();
        let flags = ["conformance"].iter().chain(flags);
        let parsed = <Parsed as clap::Parser>::try_parse_from(flags);
        parsed.is_ok_and(|parsed| parsed.args.check(&folder).is_ok())
    }

    #[test]
    fn what_is_misspelt_is_refused_before_anything_is_built() {
        for refused in [
            "--layer=nosuch",
            "--require=nosuch",
            "--op=nosuch",
            "--dtype=f99",
            "--device=tpu",
            "--shard=4/3",
            "--case=/no/such.toml",
        ] {
            assert!(!taken(&[refused]), "{refused}");
        }
        let flags = [
            "--layer=native@gpu",
            "--op=add",
            "--dtype=f32",
            "--device=cpu",
        ];
        assert!(taken(&flags) && taken(&["--shard=3/3"]));
        assert!(taken(&["--nx-backend=My.Backend", "--layer=my"]));
        assert!(
            Args::default()
                .check(Path::new("/dev/null/report"))
                .is_err()
        );
    }

    #[test]
    fn a_backend_is_named_from_any_folder() {
        let args = Args {
            layer: vec!["oracle".to_owned()],
            peer: PeerArgs {
                nx_backend: Some("{My.Backend, []}".to_owned()),
                code_path: vec!["ebin".into()],
                strict: true,
                ..PeerArgs::default()
            },
            ..Args::default()
        };
        assert!(args.asks_the_beam());
        let flags = args.peer.flags().unwrap();
        assert_eq!(
            flags[..3],
            ["--nx-backend", "{My.Backend, []}", "--code-path"]
        );
        assert!(std::path::Path::new(&flags[3]).is_absolute(), "{flags:?}");
        assert_eq!(flags[4..], ["--strict"]);
    }
}
