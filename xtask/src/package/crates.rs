//! The crates that are linked into the NIF, and their licences.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use xshell::{Shell, cmd};

use super::artefact::Target;

/// One of them.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Crate {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Where it was downloaded from; nothing for our own.
    pub(crate) source: Option<String>,
    manifest_path: PathBuf,
    /// The downloaded archive's SHA-256.
    #[serde(skip)]
    pub(crate) checksum: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// Those of the NIF on a target, by name: what only build scripts, macros and tests need left out.
pub(crate) fn of_nif(shell: &Shell, target: Target) -> anyhow::Result<Vec<Crate>> {
    let triple = target.triple();
    let metadata = cmd!(
        shell,
        "cargo metadata --locked --format-version 1 --filter-platform {triple}
         --manifest-path nif/Cargo.toml"
    );
    let metadata: Metadata = serde_json::from_str(&metadata.quiet().read()?)?;
    let lock: Lock = toml::from_str(&shell.read_file("Cargo.lock")?)?;
    let mut linked = linked(metadata)?;
    for one in &mut linked {
        let is = |locked: &&Locked| locked.name == one.name && locked.version == one.version;
        one.checksum = lock
            .package
            .iter()
            .find(is)
            .and_then(|p| p.checksum.clone());
    }
    Ok(linked)
}

fn linked(metadata: Metadata) -> anyhow::Result<Vec<Crate>> {
    let nodes: BTreeMap<_, _> = metadata.resolve.nodes.iter().map(|n| (&n.id, n)).collect();
    let nif = metadata.packages.iter().find(|p| p.name == "emily-nif");
    let mut found = BTreeSet::new();
    let mut open = vec![&nif.context("cargo metadata lists emily-nif")?.id];
    while let Some(id) = open.pop() {
        if found.insert(id.clone()) {
            let edges = nodes.get(id).map_or(&[][..], |node| &node.deps);
            let normal = |edge: &&Edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
            open.extend(edges.iter().filter(normal).map(|edge| &edge.pkg));
        }
    }
    let mut linked = metadata.packages;
    linked.retain(|package| found.contains(&package.id));
    linked.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(linked)
}

/// The text of every licence, each once, with the crates that it is of.
pub(crate) fn licences(crates: &[Crate]) -> anyhow::Result<String> {
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in crates.iter().filter(|one| one.source.is_some()) {
        let folder = one
            .manifest_path
            .parent()
            .context("a manifest is in a folder")?;
        let name = format!("{} {}", one.name, one.version);
        let mut texts = texts(folder)?;
        if texts.is_empty() {
            let licence = one.license.as_deref().unwrap_or("unknown");
            texts.push(format!(
                "Licensed as {licence}; the crate has no text of it.\n"
            ));
        }
        for text in texts {
            of.entry(text).or_default().push(name.clone());
        }
    }
    let mut by_crate: Vec<_> = of.into_iter().collect();
    by_crate.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    let one = |(text, crates): &(String, Vec<String>)| {
        let line = "-".repeat(72);
        format!(
            "{line}\n{}\n{line}\n\n{}\n\n",
            crates.join(", "),
            text.trim()
        )
    };
    Ok(by_crate.iter().map(one).collect())
}

/// The licence of mlx-c, which is compiled into the NIF from inside the published mlx-sys.
pub(crate) fn mlx_c(shell: &Shell) -> anyhow::Result<String> {
    let metadata = cmd!(
        shell,
        "cargo metadata --locked --format-version 1 --manifest-path engine/mlx-sys/upstream/Cargo.toml"
    );
    let metadata: Metadata = serde_json::from_str(&metadata.quiet().read()?)?;
    let published = metadata
        .packages
        .iter()
        .find(|package| package.name == "mlx-sys");
    let manifest = &published
        .context("cargo metadata lists mlx-sys")?
        .manifest_path;
    Ok(shell.read_file(manifest.with_file_name("src").join("mlx-c/LICENSE"))?)
}

/// The licences in a crate's folder.
fn texts(folder: &Path) -> anyhow::Result<Vec<String>> {
    let is = |path: &PathBuf| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_uppercase();
        path.is_file()
            && ["LICEN", "COPYING", "NOTICE"]
                .iter()
                .any(|start| name.starts_with(start))
    };
    let entries = folder.read_dir()?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<anyhow::Result<Vec<_>>>()?;
    paths.retain(is);
    paths.sort();
    let text = |path: PathBuf| Ok(std::fs::read_to_string(path)?);
    paths.into_iter().map(text).collect()
}
