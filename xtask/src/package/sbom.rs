//! What an archive is made of, as CycloneDX: each crate, and each native library with its origin.
//!
//! Without a time and a serial number, so that the same parts make the same bytes.

use mlx_runtime::MLX_VERSION;
use serde_json::{Value, json};

use super::archive::Files;
use super::artefact::{Target, VERSION};
use super::checksums::digest;
use super::crates::Crate;
use super::openblas;

pub(crate) fn write(target: Target, crates: &[Crate], files: &Files) -> anyhow::Result<Vec<u8>> {
    let libraries = files
        .iter()
        .filter(|(name, _)| !name.starts_with("licences/"));
    let mut components = Vec::new();
    for (name, bytes) in libraries {
        components.push(library(target, name, bytes)?);
    }
    components.extend(crates.iter().map(of_crate));
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": target.archive(),
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

/// A file of the archive. Its origin is a wheel, and it may have been stripped, and names in it changed.
fn library(target: Target, file: &str, bytes: &[u8]) -> anyhow::Result<Value> {
    let wheel = Some(format!("pkg:pypi/mlx-{}@{MLX_VERSION}", target.variant()));
    let (version, licence, origin) = match (file.split(['-', '.']).next(), target) {
        (Some("libemily_nif"), _) => (VERSION, "MIT OR Apache-2.0", None),
        (Some("libmlx" | "libjaccl" | "mlx"), _) => (MLX_VERSION, "MIT", wheel),
        (Some("libopenblas"), Target::Linux(arch)) => (
            openblas::VERSION,
            "BSD-3-Clause",
            Some(openblas::purl(arch)),
        ),
        (Some("libgfortran"), Target::Linux(_)) => {
            ("5.0.0", "GPL-3.0-or-later WITH GCC-exception-3.1", wheel)
        }
        (Some("libquadmath"), Target::Linux(_)) => ("0.0.0", "LGPL-2.1-or-later", wheel),
        _ => anyhow::bail!("nothing says where {file} is from and under which licence"),
    };
    let name = file.split(['-', '.']).next().unwrap_or(file);
    let name = name.trim_start_matches("lib");
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
