//! `cargo xtask package`: what users install, so that they need neither Rust nor a C++ compiler.
//!
//! One archive per variant and target: the NIF, MLX and the libraries it loads, each looking for the
//! others in its own folder; their licences; what they are made of. The same sources make the same
//! bytes. Every archive is inspected before it counts as made.

mod archive;
mod artefact;
mod build;
mod checksums;
mod crates;
mod elf;
mod hex;
mod inspect;
mod openblas;
mod parts;
mod reproduce;
mod sbom;
mod serve;
mod trial;

use std::path::PathBuf;

use xshell::Shell;

use crate::shell;
use artefact::{Artefact, Target, Variant};

/// What to make.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The build of MLX in it.
    #[arg(long, value_enum, default_value_t = Variant::Cpu)]
    variant: Variant,
    /// What it is for.
    #[arg(long, value_enum, default_value_t = Target::X86_64Linux)]
    target: Target,
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

/// Makes it, installs it, and makes it again, where it can be made.
pub(crate) fn gate(shell: &Shell) -> anyhow::Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("not run: the package: its archives are made on x86-64 Linux");
        return Ok(());
    }
    let args = Args {
        variant: Variant::Cpu,
        target: Target::X86_64Linux,
        try_it: true,
        reproduce: true,
        hex: None,
    };
    run(shell, &args)
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    let artefact = Artefact::new(args.variant, args.target);
    let path = make(shell, &artefact)?;
    println!("{}", path.display());
    if let Some(to) = &args.hex {
        let name = hex::unpack(shell, &folder(), to)?;
        println!("{name} in {}", to.display());
    }
    if args.try_it {
        trial::run(shell, &folder())?;
    }
    if args.reproduce {
        reproduce::check(shell, &artefact, &path)?;
    }
    Ok(())
}

/// Makes an archive, with its checksum beside it, and in the list that the Hex package carries.
pub(crate) fn make(shell: &Shell, artefact: &Artefact) -> anyhow::Result<PathBuf> {
    let parts = parts::gather(shell, artefact)?;
    shell::step("the archive");
    let bytes = archive::write(&parts)?;
    inspect::inspect(artefact, &bytes)?.print();
    let folder = folder();
    shell.create_dir(&folder)?;
    let path = folder.join(artefact.file_name());
    shell.write_file(&path, &bytes)?;
    checksums::write(&folder, &artefact.file_name(), &bytes)?;
    Ok(path)
}

/// Where what is made goes.
pub(crate) fn folder() -> PathBuf {
    shell::target_dir().join("dist")
}
