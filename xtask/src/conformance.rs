//! `cargo xtask conformance`: the main job.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, bail};
use emily_flags::{Flags, LAYERS, without_device};
use xshell::{Shell, cmd};

use crate::beam::{self, Beam};
use crate::shell;

/// Which trials to run, and what to write.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    #[command(flatten)]
    flags: Flags,
    /// Run the one trial of this name.
    #[arg(long, value_name = "NAME")]
    exact: Option<String>,
    /// Run the trials whose names contain this.
    filter: Option<String>,
}

impl Args {
    /// Looks at what the trials would refuse, before minutes go into building them.
    fn check(&self, report: &Path) -> anyhow::Result<()> {
        let unknown = self.flags.unknown_layers(&LAYERS);
        if self.flags.peer.nx_backend.is_none() && !unknown.is_empty() {
            bail!(unknown.join("\n"));
        }
        if let Some(file) = self.flags.cases.iter().find(|file| !file.is_file()) {
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
        let named = self.flags.filter.layers.iter().map(String::as_str);
        let layers: Vec<&str> = named.chain(of_exact).collect();
        let peer = self.flags.peer.nx_backend.is_some();
        peer || layers.is_empty() || !layers.into_iter().all(rust)
    }
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    let mut flags = args.flags.clone().for_any_folder()?;
    let default = || shell::target_dir().join("conformance");
    let report = flags.report.get_or_insert_with(default);
    args.check(report)?;
    let beam = args
        .asks_the_beam()
        .then(|| beam::prepare(shell))
        .transpose()?;
    shell::step("replaying the cases");
    let asked = &flags.filter.layers;
    let all = asked.is_empty() && flags.peer.nx_backend.is_none();
    let is_asked = |layer: &&&str| all || asked.iter().any(|l| without_device(l) == **layer);
    let layers = beam.as_ref().map_or(&[][..], Beam::layers);
    let needed = layers
        .iter()
        .filter(is_asked)
        .map(|&layer| layer.to_owned());
    flags.require.required.extend(needed);
    replay(shell, &flags, args.exact.as_deref(), args.filter.as_deref())
}

/// Replays the trials that these flags, a name and a filter of names leave.
pub(crate) fn replay(
    shell: &Shell,
    flags: &Flags,
    exact: Option<&str>,
    filter: Option<&str>,
) -> anyhow::Result<()> {
    let mut words = flags.words();
    // libtest's --exact takes the name as the filter.
    if let Some(name) = exact {
        words.extend(["--exact", name].map(OsString::from));
    }
    words.extend(filter.map(OsString::from));
    shell::show(cmd!(
        shell,
        "cargo test --quiet --workspace --test conformance -- --quiet {words...}"
    ))?;
    if let Some(report) = &flags.report {
        eprintln!("report: {}", report.join("report.html").display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trials_on_the_beam_need_elixir() {
        let layers = |layers: &[&str]| {
            let mut args = Args::default();
            args.flags.filter.layers = layers.iter().map(|&layer| layer.to_owned()).collect();
            args
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
    fn another_backend_needs_elixir() {
        let mut args = Args::default();
        args.flags.filter.layers = vec!["oracle".to_owned()];
        args.flags.peer.nx_backend = Some("{My.Backend, []}".to_owned());
        assert!(args.asks_the_beam());
    }
}
