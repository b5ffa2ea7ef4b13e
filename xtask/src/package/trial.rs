//! `cargo xtask package --try`: a user's first minutes, in a project that has never seen Emily.
//!
//! The package is unpacked where Hex would put it, and the archive is served from loopback. The project
//! has a home and a cache of its own, and no cargo. Then its release runs as another would run it: moved,
//! without what it was built from, by nobody in particular, and with nothing to write to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use xshell::{Cmd, Shell, cmd};

use super::{hex, serve};
use crate::{beam, shell};

/// What Emily needs beside Nx.
const APPS: [&str; 3] = ["nx", "complex", "telemetry"];

/// Tries the package with the archives of a folder, or says why it cannot be tried here.
pub(crate) fn run(shell: &Shell, archives: &Path) -> anyhow::Result<()> {
    if let Err(missing) = beam::find(shell).and_then(|elixir| elixir.for_nx()) {
        println!(
            "not run: the package in a fresh project: {}; {}",
            missing.reason, missing.remedy
        );
        return Ok(());
    }
    if let Some(reason) = beam::missing(shell, "nx", beam::NX) {
        println!("not run: the package in a fresh project: {reason}");
        return Ok(());
    }
    let folder = shell.create_temp_dir()?;
    let trial = Trial::new(shell, folder.path(), serve::folder(archives.to_owned())?)?;
    shell::step("the package in a fresh project");
    let name = hex::unpack(shell, archives, &trial.project.join("deps/emily"))?;

    let _project = shell.push_dir(&trial.project);
    if trial.checkouts.is_empty() {
        trial.time(cmd!(shell, "mix deps.get"))?;
    }
    let nx = trial.time(cmd!(shell, "mix deps.compile {APPS...}"))?;
    let emily = trial.time(cmd!(shell, "mix deps.compile emily"))?;
    let project = trial.time(cmd!(shell, "mix compile"))?;
    let doctor = trial.time(cmd!(shell, "mix emily.doctor"))?;
    let first = trial.time(cmd!(shell, "mix run -e Trial.run()"))?;
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    println!(
        "{name} was ready {} after `mix deps.get`: {} for Nx, {} for Emily and its archive, {} for the \
         project; mix emily.doctor took {}, and the first numbers {}",
        seconds(nx + emily + project),
        seconds(nx),
        seconds(emily),
        seconds(project),
        seconds(doctor),
        seconds(first)
    );
    trial.release(shell)
}

struct Trial {
    /// The project, the release, and a home.
    folder: PathBuf,
    project: PathBuf,
    /// Where Nx and what it needs are on a machine without Hex, as the project's mix.exs reads it.
    checkouts: String,
    /// Where the archives are.
    server: String,
    /// The commands that there are: Elixir's and the system's.
    path: OsString,
    mix_home: PathBuf,
}

impl Trial {
    fn new(shell: &Shell, folder: &Path, server: String) -> anyhow::Result<Self> {
        let project = folder.join("trial");
        cmd!(shell, "cp -R xtask/trial {project}").quiet().run()?;
        let elixir = emily_find_elixir::Elixir::find();
        let elixir = elixir.map_err(|missing| anyhow::anyhow!(missing.reason))?;
        let searched: Vec<_> = std::env::split_paths(&elixir.search_path()).collect();
        let of = |tool: &str| {
            searched
                .iter()
                .find(|folder| folder.join(tool).is_file())
                .cloned()
        };
        let system = ["/usr/bin", "/bin"].map(PathBuf::from);
        let path = ["mix", "erl"].into_iter().filter_map(of).chain(system);
        let path = std::env::join_paths(path)?;
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let mix_home = std::env::var_os("MIX_HOME").map(PathBuf::from);
        Ok(Self {
            folder: folder.to_owned(),
            project,
            checkouts: beam::checkouts(&APPS),
            server,
            path,
            mix_home: mix_home
                .or(home.map(|home| home.join(".mix")))
                .context("no HOME")?,
        })
    }

    /// Runs a command as the user would, and takes the time.
    fn time(&self, command: Cmd<'_>) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let home = self.folder.join("home");
        let command = command
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", home)
            .env("LANG", "C.UTF-8")
            .env("MIX_HOME", &self.mix_home)
            .env("TRIAL_DEPS", &self.checkouts)
            .env("EMILY_ARTEFACTS", &self.server);
        shell::show(command)?;
        Ok(start.elapsed())
    }

    fn release(&self, shell: &Shell) -> anyhow::Result<()> {
        shell::step("its release, elsewhere and read-only");
        self.time(cmd!(shell, "mix release --quiet"))?;
        let release = self.folder.join("release");
        std::fs::rename(self.project.join("_build/dev/rel/trial"), &release)?;
        for gone in [&self.project, &self.folder.join("home")] {
            shell.remove_path(gone)?;
        }
        let _folder = shell.push_dir(&self.folder);
        // The folder of a temporary one is its owner's alone.
        cmd!(shell, "chmod a+rx .").quiet().run()?;
        cmd!(shell, "chmod -R a+rX,a-w {release}").quiet().run()?;
        let script = "{:ok, _} = Application.ensure_all_started(:trial); Trial.run()";
        let run = match shell::ask(cmd!(shell, "id -u")).as_deref() {
            // Root may write anywhere.
            Some("0") => cmd!(
                shell,
                "setpriv --reuid=65534 --regid=65534 --clear-groups {release}/bin/trial eval {script}"
            ),
            Some(_) | None => cmd!(shell, "{release}/bin/trial eval {script}"),
        };
        let ran = shell::show(
            run.env_clear()
                .env("PATH", "/usr/bin:/bin")
                .env("LANG", "C.UTF-8"),
        );
        cmd!(shell, "chmod -R u+w {release}").quiet().run()?;
        ran?;
        ensure!(
            !self.folder.join("home").exists(),
            "the release wrote into a home"
        );
        Ok(())
    }
}
