//! Digests, in the words of `sha256sum`: beside an archive, in it, and in the Hex package.

use std::path::Path;

use super::archive::Files;
use super::artefact::Target;

/// The list that the Hex package carries: the archives that there are, with their digests.
pub(crate) const LIST: &str = "artefacts.sha256";

/// The list in an archive, whose first line says which archive it is.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// SHA-256 in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    mlx_runtime::digest(bytes).expect("what is in memory can be read")
}

/// What [`SUMS`] of an archive says: a line with its name, and one for each file.
pub(crate) fn sums(target: Target, files: &Files) -> String {
    let line = |(name, bytes): (&String, &Vec<u8>)| format!("{}  {name}\n", digest(bytes));
    let lines: String = files.iter().map(line).collect();
    format!("# {}\n{lines}", target.archive())
}

/// Writes an archive's digest beside it and into the list of all in its folder.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let line = format!("{}  {name}\n", digest(bytes));
    std::fs::write(folder.join(format!("{name}.sha256")), &line)?;
    let list = folder.join(LIST);
    let others = std::fs::read_to_string(&list).unwrap_or_default();
    std::fs::write(list, with(&others, name, &line))?;
    Ok(())
}

/// A list with a new line for an archive, sorted by name.
fn with(list: &str, name: &str, line: &str) -> String {
    let other = |old: &&str| {
        old.split_once("  ")
            .is_some_and(|(_, of)| of.trim() != name)
    };
    let mut lines: Vec<_> = list.split_inclusive('\n').filter(other).collect();
    lines.push(line);
    lines.sort_by_key(|line| line.split_once("  ").map(|(_, name)| name));
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_what_sha256sum_prints() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(b""), empty);
    }

    #[test]
    fn an_archive_that_is_made_again_has_one_line() {
        let list = "1  b.gz\n2  c.gz\n";
        assert_eq!(with(list, "b.gz", "3  b.gz\n"), "3  b.gz\n2  c.gz\n");
        assert_eq!(with(list, "a.gz", "3  a.gz\n"), format!("3  a.gz\n{list}"));
    }
}
