//! `cargo xtask doctor`: what Emily needs here, each absence with its remedy.

use mlx_runtime::{Runtime, Variant};
use xshell::{Shell, cmd};

use crate::{beam, shell};

/// What a check found.
enum Finding {
    /// It is there.
    Good(String),
    /// Emily works without it, less well: what is so, and what to do.
    Could(String, String),
    /// Emily does not work: what is so, and what to do.
    Bad(String, String),
}

pub(crate) fn run(shell: &Shell) -> anyhow::Result<()> {
    // Each is told as it is found, what takes long last.
    let mut bad = 0;
    let mut tell = |name: &str, finding: &Finding| bad += usize::from(print(name, finding));
    tell("platform", &platform());
    tell("Rust", &rust(shell));
    tell("C++ compiler", &compiler(shell));
    for (name, finding) in beam(shell) {
        tell(name, &finding);
    }
    shell::step("MLX, which is fetched where it is not there yet");
    match Variant::from_env().and_then(Runtime::ensure) {
        Ok(runtime) => {
            let what = format!("MLX {} ({})", runtime.version(), runtime.variant());
            let place = runtime.home().display();
            tell("MLX runtime", &Finding::Good(format!("{what} in {place}")));
            tell("BLAS", &blas(&runtime));
            shell::step("the device, by the engine, which is built for it");
            tell("device", &device(shell));
        }
        Err(error) => {
            let text = error.to_string();
            let (what, remedy) = text.split_once('\n').unwrap_or((&text, ""));
            tell(
                "MLX runtime",
                &Finding::Bad(what.to_owned(), remedy.to_owned()),
            );
        }
    }
    anyhow::ensure!(bad == 0, "{bad} checks failed");
    Ok(())
}

/// Prints one line, and says whether it is a failure.
fn print(name: &str, finding: &Finding) -> bool {
    match finding {
        Finding::Good(what) => println!("ok    {name}: {what}"),
        Finding::Could(what, remedy) => println!("note  {name}: {what}\n      {remedy}"),
        Finding::Bad(what, remedy) => println!("FAIL  {name}: {what}\n      {remedy}"),
    }
    matches!(finding, Finding::Bad(..))
}

fn platform() -> Finding {
    use std::env::consts::{ARCH, OS};
    Finding::Good(format!("{OS} {ARCH}"))
}

fn rust(shell: &Shell) -> Finding {
    match shell::ask(cmd!(shell, "rustc --version")) {
        Some(version) => Finding::Good(version),
        None => Finding::Bad(
            "no rustc on the PATH".into(),
            "install it with rustup".into(),
        ),
    }
}

fn compiler(shell: &Shell) -> Finding {
    match shell::ask(cmd!(shell, "c++ --version")) {
        Some(version) => Finding::Good(version.lines().next().unwrap_or_default().to_owned()),
        None => Finding::Bad(
            "no c++ on the PATH; mlx-c is compiled from source".into(),
            "install one (Debian, Ubuntu: apt-get install g++; macOS: xcode-select --install)"
                .into(),
        ),
    }
}

fn blas(runtime: &Runtime) -> Finding {
    let blas = runtime.blas();
    match blas.advice() {
        None => Finding::Good(blas.to_string()),
        Some(advice) => Finding::Could(blas.to_string(), advice.to_owned()),
    }
}

/// Elixir and Nx.
fn beam(shell: &Shell) -> Vec<(&'static str, Finding)> {
    let elixir = match beam::find(shell) {
        Ok(elixir) => elixir,
        Err(missing) => {
            let what = format!("{}; only the Rust layers run", missing.reason);
            return vec![("Elixir", Finding::Could(what, missing.remedy.to_owned()))];
        }
    };
    let (major, minor) = elixir.version();
    let nx = match (elixir.for_nx(), beam::missing(shell, "nx", beam::NX)) {
        (Ok(()), None) => Finding::Good("there".to_owned()),
        (Err(missing), None) => Finding::Could(missing.reason, missing.remedy.to_owned()),
        (_, Some(reason)) => {
            let (what, remedy) = reason.split_once("; ").unwrap_or((&reason, ""));
            Finding::Could(what.to_owned(), remedy.to_owned())
        }
    };
    let elixir = Finding::Good(format!("{major}.{minor} ({})", elixir.program().display()));
    vec![("Elixir", elixir), ("Nx", nx)]
}

/// Loads MLX, in a program of its own, and asks it.
fn device(shell: &Shell) -> Finding {
    match cmd!(shell, "cargo run --quiet --example device")
        .quiet()
        .read()
    {
        Ok(device) => Finding::Good(device),
        Err(error) => Finding::Bad(
            format!("MLX does not load or add: {error}"),
            "the lines above say why".into(),
        ),
    }
}
