//! Every case on every layer, as libtest sees it: one trial per layer, op, case and dtype. The layer `slices`
//! runs whole models.
//!
//! Speaks libtest's own flags, so `cargo test` and `cargo nextest` drive it like any other, and a
//! few of its own. `cargo xtask conformance` is this with `--report`.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use emily_conformance::fixtures::{Fixtures, OPEN, repository};
use emily_conformance::layer::{self, Peer};
use emily_conformance::outcome::{LayerState, Outcome, TrialResult};
use emily_conformance::report;
use emily_conformance::run::Run;
use emily_conformance::slices::{self, Slices};
use emily_flags::{Filter, Flags, LAYERS, PeerFlags, label};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Replays every case on every layer that can run here.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    libtest: Arguments,
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    if options.libtest.test_threads == Some(0) {
        eprintln!("error: --test-threads takes a number from 1 on");
        return ExitCode::from(101);
    }
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
    let flags = &options.flags;
    let filter = &flags.filter;
    if let Some(folder) = flags.report.as_ref().filter(|_| !options.libtest.list)
        && let Err(error) = std::fs::create_dir_all(repository().join(folder))
    {
        eprintln!(
            "error: --report takes a folder; cannot make {}: {error}",
            folder.display()
        );
        return ExitCode::from(101);
    }
    let mut trials = trials(&run, filter, !options.measures());
    trials.extend(of_models(&slices, filter));
    let requirements = requirements(
        &flags.require.required,
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
    let mut report = run.report(filter);
    slices.add_to(&mut report, filter);
    // A test runner that asks for one trial at a time has its own summary.
    if !options.libtest.exact {
        report::print_matrix(&report);
    }
    if flags.timings {
        report::print_timings(&report);
    }
    if unmet > 0 {
        eprintln!("red: {unmet} required layers cannot run here");
    }
    if let Some(folder) = &flags.report
        && let Err(error) = report::write(&repository().join(folder), &report)
    {
        eprintln!("error: {error:#}");
        return ExitCode::from(101);
    }
    if let (Some(file), Some(peer)) = (&flags.peer.page, &peer) {
        let text = report::peer_markdown(&report, peer, flags.peer.note.as_deref());
        if let Err(error) = std::fs::write(file, text) {
            eprintln!("error: {}: {error}", file.display());
            return ExitCode::from(101);
        }
    }
    conclusion.exit_code()
}

/// Reads the fixtures and finds the layers; every problem of either is reported, not the first.
fn prepare(options: &Options, peer: Option<&Peer>) -> Result<Run, Vec<String>> {
    let flags = &options.flags;
    let texts = |problems: Vec<emily_conformance::case::Problem>| -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    };
    // What is misspelt is told before anything is read.
    let known = LAYERS.into_iter().chain(peer.map(|peer| peer.name));
    let unknown = flags.unknown_layers(&known.collect::<Vec<_>>());
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let mut layers = layer::all();
    layers.extend(peer.map(layer::peer));
    let fixtures = match flags.cases.as_slice() {
        [] => Fixtures::load(&repository()),
        files => Fixtures::of(files),
    };
    let mut fixtures = fixtures.map_err(texts)?;
    if let Some(peer) = peer {
        let open = flags.cases.is_empty().then(|| repository().join(OPEN));
        for file in open.iter().chain(&flags.peer.ledger) {
            fixtures.add_ledger(file, peer.name).map_err(texts)?;
        }
    }
    Run::new(fixtures, layers, &flags.filter).map_err(texts)
}

/// The models of the layer `slices`; none where the cases of one file or another backend are looked at.
fn models(options: &Options) -> Result<Slices, Vec<String>> {
    let flags = &options.flags;
    if !flags.cases.is_empty() || flags.peer.nx_backend.is_some() {
        return Ok(Slices::default());
    }
    let own = || repository().join(slices::FOLDER);
    let folder = flags.models.clone().unwrap_or_else(own);
    let mut slices = Slices::load(&folder).map_err(|error| vec![format!("{error:#}")])?;
    slices.find(&flags.filter);
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
        let PeerFlags {
            nx_backend,
            code_path,
            ..
        } = &self.flags.peer;
        let peer = |term: &String| Peer::new(term, code_path.clone()).map_err(|text| vec![text]);
        nx_backend.as_ref().map(peer).transpose()
    }

    /// Looks at the backend and the oracle alone, where no layer is asked for, and has to have it.
    fn focus(&mut self, peer: Option<&Peer>) {
        let Some(peer) = peer else {
            return;
        };
        let Flags {
            filter, require, ..
        } = &mut self.flags;
        if filter.layers.is_empty() {
            filter.layers = vec!["oracle".to_owned(), peer.name.to_owned()];
        }
        require.required.push(peer.name.to_owned());
    }

    /// Whether what is red is the result and no failure; one trial is asked for to see it fail.
    fn measures(&self) -> bool {
        self.flags.peer.nx_backend.is_some() && !self.flags.peer.strict && !self.libtest.exact
    }

    /// Whether libtest's own filter leaves a trial of this name.
    fn names(&self, trial: &str) -> bool {
        let Arguments { filter, exact, .. } = &self.libtest;
        filter.as_ref().is_none_or(|filter| match exact {
            true => trial == filter,
            false => trial.contains(filter.as_str()),
        })
    }
}
