//! Every case on every layer, as libtest sees it: one trial per layer, op, case and dtype. The layer `slices`
//! runs whole models.
//!
//! Speaks libtest's own flags, so `cargo test` and `cargo nextest` drive it like any other, and a
//! few of its own. `cargo xtask conformance` is this with `--report`.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use emily_conformance::fixtures::{Fixtures, OPEN, repository};
use emily_conformance::layer::{self, Layer, Peer, Required, label};
use emily_conformance::outcome::{LayerState, Outcome, TrialResult};
use emily_conformance::report;

use emily_conformance::run::{Filter, Run, Shard};
use emily_conformance::slices::{self, Slices};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Replays every case on every layer that can run here.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    /// Only this layer: oracle, native, or native@gpu. May be given again.
    #[arg(long = "layer", value_name = "LAYER")]
    layers: Vec<String>,
    /// Only this op. May be given again.
    #[arg(long = "op", value_name = "OP")]
    ops: Vec<String>,
    /// Only cases read at this dtype. May be given again.
    #[arg(long = "dtype", value_name = "DTYPE")]
    dtypes: Vec<String>,
    /// Only on this device: cpu or gpu. May be given again.
    #[arg(long = "device", value_name = "DEVICE")]
    devices: Vec<String>,
    /// Only part I of N of the ops, for a machine that is there for less time.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Only the cases in this file, which may stand anywhere. May be given again.
    #[arg(long = "case", value_name = "FILE")]
    cases: Vec<PathBuf>,
    /// The models of the layer slices: those in this folder instead of fixtures/slices.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    #[command(flatten)]
    require: Required,
    /// Write report.json and report.html into this folder, relative to the repository.
    #[arg(long = "report", value_name = "DIR", env = "EMILY_CONFORMANCE_REPORT")]
    report: Option<PathBuf>,
    #[command(flatten)]
    peer: PeerOptions,
    /// Also print where the time went: layers, ops, the slowest trials.
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    libtest: Arguments,
}

/// A backend that is no part of Emily; docs/judge-your-backend.md describes them.
#[derive(Debug, clap::Args)]
struct PeerOptions {
    /// Judge this backend, an Elixir term, instead of Emily: Torchx.Backend, {EXLA.Backend, []}.
    #[arg(long, value_name = "TERM")]
    nx_backend: Option<String>,
    /// Its code: an ebin folder, or one of applications as _build/dev/lib. May be given again.
    #[arg(long, value_name = "DIR", requires = "nx_backend")]
    code_path: Vec<PathBuf>,
    /// Its known differences. May be given again.
    #[arg(long, value_name = "FILE", requires = "nx_backend")]
    ledger: Vec<PathBuf>,
    /// Write its table into this file.
    #[arg(long, value_name = "FILE", requires = "nx_backend")]
    page: Option<PathBuf>,
    /// What it ran on, for the page.
    #[arg(long, value_name = "TEXT", requires = "page")]
    note: Option<String>,
    /// Red when it differs in a way that no ledger has.
    #[arg(long, requires = "nx_backend")]
    strict: bool,
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    let prepared = options.peer().and_then(|peer| {
        options.focus(peer.as_ref());
        let run = prepare(&options, peer.as_ref())?;
        let slices = models(&options)?;
        Ok((run, slices, peer))
    });
    let (run, slices, peer) = match prepared {
        Ok((run, slices, peer)) => (Arc::new(run), Arc::new(slices), peer),
        Err(problems) => {
            for problem in &problems {
                eprintln!("error: {problem}");
            }
            return ExitCode::from(101);
        }
    };
    if let Some(folder) = options.report.as_ref().filter(|_| !options.libtest.list)
        && let Err(error) = std::fs::create_dir_all(repository().join(folder))
    {
        eprintln!("error: cannot make {}: {error}", folder.display());
        return ExitCode::from(101);
    }
    let filter = options.filter();
    let mut trials = trials(&run, &filter, !options.measures());
    trials.extend(of_models(&slices, &filter));
    let requirements = requirements(
        &options.require.required,
        run.states().iter().chain(slices.states()),
    );
    let unmet = requirements.len();
    trials.extend(requirements);
    if trials.is_empty() {
        eprintln!(
            "error: nothing to run: no case matches --layer, --op, --dtype, --device and --shard"
        );
        return ExitCode::from(101);
    }
    if !trials.iter().any(|trial| options.names(trial.name())) {
        eprintln!("error: nothing to run: no trial's name matches; --list gives the names");
        return ExitCode::from(101);
    }
    let conclusion = libtest_mimic::run(&options.libtest, trials);
    if options.libtest.list {
        return ExitCode::SUCCESS;
    }
    let mut report = run.report(&filter);
    slices.add_to(&mut report, &filter);
    // A test runner that asks for one trial at a time has its own summary.
    if !options.libtest.exact {
        report::print_matrix(&report);
    }
    if options.timings {
        report::print_timings(&report);
    }
    if unmet > 0 {
        eprintln!("red: {unmet} required layers cannot run here");
    }
    if let Some(folder) = &options.report
        && let Err(error) = report::write(&repository().join(folder), &report)
    {
        eprintln!("error: {error:#}");
        return ExitCode::from(101);
    }
    if let (Some(file), Some(peer)) = (&options.peer.page, &peer) {
        let text = report::peer_markdown(&report, peer, options.peer.note.as_deref());
        if let Err(error) = std::fs::write(file, text) {
            eprintln!("error: {}: {error}", file.display());
            return ExitCode::from(101);
        }
    }
    conclusion.exit_code()
}

/// Reads the fixtures and finds the layers; every problem of either is reported, not the first.
fn prepare(options: &Options, peer: Option<&Peer>) -> Result<Run, Vec<String>> {
    let texts = |problems: Vec<emily_conformance::case::Problem>| -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    };
    // What is misspelt is told before anything is read.
    let mut layers = layer::all();
    layers.extend(peer.map(layer::peer));
    let unknown = options.unknown_names(&layers);
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let fixtures = match options.cases.as_slice() {
        [] => Fixtures::load(&repository()),
        files => Fixtures::of(files),
    };
    let mut fixtures = fixtures.map_err(texts)?;
    if let Some(peer) = peer {
        let open = options.cases.is_empty().then(|| repository().join(OPEN));
        for file in open.iter().chain(&options.peer.ledger) {
            fixtures.add_ledger(file, peer.name).map_err(texts)?;
        }
    }
    Run::new(fixtures, layers, &options.filter()).map_err(texts)
}

/// The models of the layer `slices`; none where the cases of one file or another backend are looked at.
fn models(options: &Options) -> Result<Slices, Vec<String>> {
    if !options.cases.is_empty() || options.peer.nx_backend.is_some() {
        return Ok(Slices::default());
    }
    let own = || repository().join(slices::FOLDER);
    let folder = options.models.clone().unwrap_or_else(own);
    let mut slices = Slices::load(&folder).map_err(|error| vec![format!("{error:#}")])?;
    slices.find(&options.filter());
    Ok(slices)
}

fn of_models(slices: &Arc<Slices>, filter: &Filter) -> Vec<Trial> {
    let trial = |slice| {
        let shared = Arc::clone(slices);
        Trial::ignorable_test(slices.name(&slice), move || {
            conclude(shared.result(&slice), true)
        })
    };
    slices.trials(filter).into_iter().map(trial).collect()
}

fn trials(run: &Arc<Run>, filter: &Filter, strict: bool) -> Vec<Trial> {
    let trial = |id| {
        let shared = Arc::clone(run);
        Trial::ignorable_test(run.name(id), move || conclude(shared.result(id), strict))
    };
    run.trials(filter).into_iter().map(trial).collect()
}

/// How libtest shows a result. Where a backend is measured, what it fails is a finding; that a ledger is
/// wrong about it is a fault all the same.
fn conclude(result: TrialResult, strict: bool) -> Result<Completion, Failed> {
    let message = result.message.unwrap_or_default();
    match result.outcome {
        Outcome::Passed | Outcome::Diverges | Outcome::Open => Ok(Completion::Completed),
        Outcome::Blocked | Outcome::NotRun => Ok(Completion::ignored_with(message)),
        Outcome::Failed | Outcome::Refused if !strict && result.layer != "oracle" => {
            Ok(Completion::Completed)
        }
        Outcome::Failed | Outcome::Refused | Outcome::Stale | Outcome::Changed => {
            Err(message.into())
        }
    }
}

/// A red trial for each required layer that cannot run on any device asked for.
fn requirements<'a>(
    required: &[String],
    states: impl Iterator<Item = &'a LayerState> + Clone,
) -> Vec<Trial> {
    let mut trials = Vec::new();
    for name in required {
        let named = |layer: &str, device: &str| name == layer || *name == label(layer, device);
        let states = states
            .clone()
            .filter(|state| named(&state.layer, &state.device));
        if states.clone().any(|state| state.ran) {
            continue;
        }
        let mut message = format!("{name} is required, but cannot run here");
        for state in states {
            let [reason, remedy] =
                [&state.reason, &state.remedy].map(|text| text.clone().unwrap_or_default());
            message += &format!("\n  {}: {reason}\n  remedy: {remedy}", state.device);
        }
        trials.push(Trial::test(format!("require::{name}"), move || {
            Err(message.into())
        }));
    }
    trials
}

impl Options {
    fn peer(&self) -> Result<Option<Peer>, Vec<String>> {
        let PeerOptions {
            nx_backend,
            code_path,
            ..
        } = &self.peer;
        let peer = |term: &String| Peer::new(term, code_path.clone()).map_err(|text| vec![text]);
        nx_backend.as_ref().map(peer).transpose()
    }

    /// Looks at the backend and the oracle alone, where no layer is asked for, and has to have it.
    fn focus(&mut self, peer: Option<&Peer>) {
        let Some(peer) = peer else {
            return;
        };
        if self.layers.is_empty() {
            self.layers = vec!["oracle".to_owned(), peer.name.to_owned()];
        }
        self.require.required.push(peer.name.to_owned());
    }

    /// Whether what is red is the result and no failure; one trial is asked for to see it fail.
    fn measures(&self) -> bool {
        self.peer.nx_backend.is_some() && !self.peer.strict && !self.libtest.exact
    }

    /// Whether libtest's own filter leaves a trial of this name.
    fn names(&self, trial: &str) -> bool {
        let Arguments { filter, exact, .. } = &self.libtest;
        filter.as_ref().is_none_or(|filter| match exact {
            true => trial == filter,
            false => trial.contains(filter.as_str()),
        })
    }

    fn filter(&self) -> Filter {
        Filter {
            layers: self.layers.clone(),
            ops: self.ops.clone(),
            dtypes: self.dtypes.clone(),
            devices: self.devices.clone(),
            shard: self.shard,
        }
    }

    /// A misspelt name would silently run nothing.
    fn unknown_names(&self, layers: &[Box<dyn Layer>]) -> Vec<String> {
        let mut layers: Vec<&str> = layers.iter().map(|layer| layer.name()).collect();
        layers.dedup();
        layers.push(slices::LAYER);
        let ops: Vec<&str> = emily_spec::ROWS.iter().map(|row| row.name).collect();
        let dtypes = emily_spec::DType::ALL.map(emily_spec::DType::name);
        let layer = |name: &String| name.split('@').next().unwrap_or_default().to_owned();
        let asked_layers: Vec<String> = self.layers.iter().map(layer).collect();
        let required: Vec<String> = self.require.required.iter().map(layer).collect();
        [
            unknown("layer", &asked_layers, &layers),
            unknown("layer", &required, &layers),
            unknown("op", &self.ops, &ops),
            unknown("dtype", &self.dtypes, &dtypes),
            unknown("device", &self.devices, &["cpu", "gpu"]),
        ]
        .concat()
    }
}

fn unknown(what: &str, asked: &[String], known: &[&str]) -> Vec<String> {
    let asked = asked.iter().filter(|name| !known.contains(&name.as_str()));
    asked
        .map(|name| format!("unknown {what} {name:?}; known are {}", known.join(" ")))
        .collect()
}
