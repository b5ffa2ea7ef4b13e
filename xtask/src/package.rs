//! `cargo xtask package`: what users install, so that they need neither Rust nor a C++ compiler.
//!
//! One archive per target: the NIF, MLX and the libraries it loads, each looking for the others in its own
//! folder; their licences; what they are made of. The same sources make the same bytes. Every archive is
//! inspected before it counts as made.

mod archive;
mod artefact;
mod build;
mod checksums;
mod crates;
mod elf;
mod hex;
mod inspect;
mod linux;
mod mac;
mod macho;
mod openblas;
mod parts;
mod reproduce;
mod sbom;
mod serve;
mod trial;
mod wheels;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use xshell::Shell;

use crate::shell;
use artefact::Target;

/// What to make.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What it is for: x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu or aarch64-apple-darwin;
    /// by default this machine.
    #[arg(long)]
    target: Option<Target>,
    /// Then install it as a user does: in a fresh project, from a server, without Rust.
    #[arg(long = "try")]
    try_it: bool,
    /// Then make it again from another folder, which has to give the same bytes.
    #[arg(long)]
    reproduce: bool,
    /// Then bring the Hex package together in this folder.
    #[arg(long, value_name = "FOLDER")]
    hex: Option<PathBuf>,
}

/// Makes it, installs it, and makes it again, where that can be done.
pub(crate) fn gate(shell: &Shell) -> anyhow::Result<()> {
    match Target::here() {
        Some(Target::Linux(_)) => {
            let args = Args {
                target: None,
                try_it: true,
                reproduce: true,
                hex: None,
            };
            run(shell, &args)
        }
        Some(Target::Mac) | None => {
            println!("not run: the package: it has been tried on Linux only");
            Ok(())
        }
    }
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    let target = args.target.or_else(Target::here);
    let target = target.context("there is no archive for this machine; name one by --target")?;
    ensure!(
        target.is_here() || !args.try_it,
        "an archive for {target} cannot be tried here"
    );
    let path = make(shell, target)?;
    println!("{}", path.display());
    if let Some(to) = &args.hex {
        let name = hex::unpack(shell, &folder(), to)?;
        println!("{name} in {}", to.display());
    }
    if args.try_it {
        trial::run(shell, &folder())?;
    }
    if args.reproduce {
        reproduce::check(shell, target, &path)?;
    }
    Ok(())
}

/// Makes an archive, with its checksum beside it, and in the list that the Hex package carries.
fn make(shell: &Shell, target: Target) -> anyhow::Result<PathBuf> {
    let parts = parts::gather(shell, target)?;
    shell::step("the archive");
    let bytes = archive::write(&parts)?;
    inspect::inspect(target, &bytes)?.print();
    let folder = folder();
    shell.create_dir(&folder)?;
    let path = folder.join(target.file_name());
    shell.write_file(&path, &bytes)?;
    checksums::write(&folder, &target.file_name(), &bytes)?;
    Ok(path)
}

/// Where what is made goes.
fn folder() -> PathBuf {
    shell::target_dir().join("dist")
}
