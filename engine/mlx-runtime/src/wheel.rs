//! Unpacks a wheel: plain files in directories, below one directory, up to a size.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path};

use sha2::{Digest, Sha256};
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

/// How much one wheel may hold. The largest, CUDA's BLAS, unpacks to about a gigabyte.
pub(crate) const LIMIT: Limit = Limit {
    bytes: 8 << 30,
    entries: 100_000,
};

/// A bound on what is unpacked, whatever an archive says of itself.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) bytes: u64,
    pub(crate) entries: usize,
}

/// The SHA-256 of what is read, in hexadecimal digits.
///
/// # Errors
/// When it cannot be read.
pub fn digest(mut from: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = [0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Unpacks an archive into `tree`, over nothing that is there.
///
/// # Errors
/// What is wrong with it, in words. What was unpacked before stays.
pub(crate) fn unpack(archive: impl Read + Seek, tree: &Path, limit: Limit) -> Result<(), String> {
    let mut archive = ZipArchive::new(archive).map_err(|error| error.to_string())?;
    if archive.len() > limit.entries {
        return Err(format!("it has {} entries", archive.len()));
    }
    let mut left = limit.bytes;
    for index in 0..archive.len() {
        let mut entry = archive
            .by_index(index)
            .map_err(|error: ZipError| format!("entry {index}: {error}"))?;
        let name = entry.name().to_owned();
        let written = unpack_entry(&mut entry, &name, tree, left);
        left -= written.map_err(|why| format!("{name:?} {why}"))?;
    }
    Ok(())
}

/// Unpacks one entry of at most `left` bytes, and returns how many it had.
fn unpack_entry(
    entry: &mut ZipFile<'_, impl Read>,
    name: &str,
    tree: &Path,
    left: u64,
) -> Result<u64, String> {
    let failed = |error: io::Error| format!("is not unpacked: {error}");
    let path = Path::new(name);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    // A backslash is a separator to some, and a control character is nothing that a list can show.
    let odd = name.contains('\\') || name.chars().any(char::is_control);
    if name.is_empty() || odd || !path.components().all(plain) {
        return Err("is no plain relative path".to_owned());
    }
    let kind = entry.unix_mode().unwrap_or(0) & 0o170_000;
    if !matches!(kind, 0 | 0o100_000 | 0o040_000) {
        return Err("is neither a file nor a directory".to_owned());
    }
    let to = tree.join(path);
    let dir = if entry.is_dir() {
        Some(to.as_path())
    } else {
        to.parent()
    };
    if let Some(dir) = dir {
        let mut make = DirBuilder::new();
        make.recursive(true)
            .mode(0o755)
            .create(dir)
            .map_err(failed)?;
    }
    if entry.is_dir() {
        return Ok(0);
    }
    // New: an entry of the same name, or of one that the file system takes for the same, is refused.
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&to)
        .map_err(failed)?;
    let written = io::copy(&mut entry.take(left.saturating_add(1)), &mut file).map_err(failed)?;
    if written > left {
        let _ = fs::remove_file(&to);
        return Err("is over the size that a wheel may have".to_owned());
    }
    Ok(written)
}

#[cfg(test)]
mod tests;
