//! What an archive is made of, as CycloneDX: each crate, and each native library with its origin.
//!
//! Without a time and a serial number, so that the same parts make the same bytes.

use mlx_runtime::MLX_VERSION;
use serde_json::{Value, json};

use super::archive::Files;
use super::artefact::{Artefact, VERSION};
use super::checksums::digest;
use super::crates::Crate;
use super::openblas;

pub(crate) fn write(
    artefact: &Artefact,
    crates: &[Crate],
    files: &Files,
) -> anyhow::Result<Vec<u8>> {
    let libraries = files.iter().filter(|(name, _)| name.contains(".so"));
    let mut components = Vec::new();
    for (name, bytes) in libraries {
        components.push(library(artefact, name, bytes)?);
    }
    components.extend(crates.iter().map(of_crate));
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": artefact.name(),
                "name": "emily",
                "version": VERSION,
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
            },
        },
        "components": components,
    });
    let mut text = serde_json::to_vec_pretty(&bom)?;
    text.push(b'\n');
    Ok(text)
}

/// A file of the archive.
fn library(artefact: &Artefact, file: &str, bytes: &[u8]) -> anyhow::Result<Value> {
    // The wheel is where the file is from; it was stripped, and names in it were changed.
    let (name, version, licence, origin) = match file.split(['-', '.']).next().unwrap_or(file) {
        "libemily_nif" => ("emily-nif", VERSION, "MIT OR Apache-2.0", None),
        "libmlx" => ("mlx", MLX_VERSION, "MIT", Some(mlx_wheel(artefact))),
        "libopenblas" => (
            "openblas",
            openblas::VERSION,
            "BSD-3-Clause",
            Some(openblas::purl(artefact.target)),
        ),
        "libgfortran" => (
            "libgfortran",
            "5.0.0",
            "GPL-3.0-or-later WITH GCC-exception-3.1",
            Some(mlx_wheel(artefact)),
        ),
        "libquadmath" => (
            "libquadmath",
            "0.0.0",
            "LGPL-2.1-or-later",
            Some(mlx_wheel(artefact)),
        ),
        other => anyhow::bail!("nothing says where {other} is from and under which licence"),
    };
    let mut component = json!({
        "type": "library",
        "bom-ref": format!("file:{file}"),
        "name": name,
        "version": version,
        "licenses": [{ "expression": licence }],
        "hashes": [{ "alg": "SHA-256", "content": digest(bytes) }],
        "properties": [{ "name": "emily:file", "value": file }],
    });
    if let Some(origin) = origin {
        component["purl"] = json!(origin);
    }
    Ok(component)
}

fn mlx_wheel(artefact: &Artefact) -> String {
    format!("pkg:pypi/mlx-{}@{MLX_VERSION}", artefact.variant.name())
}

fn of_crate(of: &Crate) -> Value {
    let purl = format!("pkg:cargo/{}@{}", of.name, of.version);
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": of.name,
        "version": of.version,
        "purl": purl,
    });
    if let Some(licence) = &of.license {
        // Cargo's older way of writing OR.
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let Some(checksum) = &of.checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}
