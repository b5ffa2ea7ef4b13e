//! What was unpacked: the digest of every file, in the words of `sha256sum`.
//!
//! The record is made of a tree that was just unpacked from wheels of the pinned hashes, and lies in it.
//! It shows what was cut short, lost or added since. It does not show what somebody changed who could
//! write the record too: that nobody else can is for [`trust`] to see.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::{Error, trust, wheel};

/// The record's name in the tree.
const NAME: &str = "SHA256SUMS";

/// Writes the record of a tree of the wheels that `requirements` pins.
pub(crate) fn write(tree: &Path, requirements: &str) -> Result<(), Error> {
    let mut text = heading(requirements);
    for entry in entries(tree)? {
        if let Kind::File = entry.kind {
            let digest = entry.digest()?;
            text += &format!("{digest}  {}\n", entry.name);
        }
    }
    let file = tree.join(NAME);
    fs::write(&file, text).map_err(Error::io("write", &file))
}

/// Whether the tree was unpacked, whole, from the wheels that `requirements` pins.
pub(crate) fn is_of(tree: &Path, requirements: &str) -> bool {
    let heading = heading(requirements);
    let mut start = String::new();
    File::open(tree.join(NAME))
        .and_then(|file| file.take(heading.len() as u64).read_to_string(&mut start))
        .is_ok_and(|_| start == heading)
}

/// Checks that the tree is what was unpacked, and that nobody else can change it.
///
/// # Errors
/// [`Error::Untrusted`], [`Error::Damaged`].
pub(crate) fn verify(tree: &Path) -> Result<(), Error> {
    let damaged = |name: &str, what: &'static str| Error::Damaged {
        tree: tree.to_owned(),
        name: name.to_owned(),
        what,
    };
    trust::check(tree)?;
    let record = tree.join(NAME);
    trust::check(&record)?;
    let record = fs::read_to_string(&record).map_err(Error::io("read", &record))?;
    let mut recorded = record
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once("  "));
    for entry in entries(tree)? {
        trust::check(&entry.path)?;
        match &entry.kind {
            Kind::Directory => {}
            Kind::File if entry.name == NAME => {}
            Kind::File => match recorded.next() {
                Some((digest, name)) if name == entry.name => {
                    if entry.digest()? != digest {
                        return Err(damaged(name, "changed"));
                    }
                }
                Some((_, name)) if name < entry.name.as_str() => {
                    return Err(damaged(name, "is gone"));
                }
                _ => return Err(damaged(&entry.name, "was added")),
            },
            // To a file beside it, which is recorded, or to the system's, which may be gone by now.
            Kind::Link(target) if target.is_absolute() => {
                if target.try_exists().unwrap_or(true) {
                    trust::outside(target)?;
                }
            }
            Kind::Link(target) if target.components().count() == 1 && !target.starts_with("..") => {
            }
            Kind::Link(_) | Kind::Other => return Err(damaged(&entry.name, "was added")),
        }
    }
    match recorded.next() {
        Some((_, name)) => Err(damaged(name, "is gone")),
        None => Ok(()),
    }
}

fn heading(requirements: &str) -> String {
    match wheel::digest(requirements.as_bytes()) {
        Ok(digest) => format!("# wheels {digest}\n"),
        Err(_) => unreachable!("bytes in memory can be read"),
    }
}

/// Something in a tree.
struct Entry {
    path: PathBuf,
    /// Its path below the tree.
    name: String,
    kind: Kind,
}

enum Kind {
    File,
    Directory,
    Link(PathBuf),
    Other,
}

impl Entry {
    fn digest(&self) -> Result<String, Error> {
        File::open(&self.path)
            .and_then(wheel::digest)
            .map_err(Error::io("read", &self.path))
    }
}

/// All that is in a tree, by name.
fn entries(tree: &Path) -> Result<Vec<Entry>, Error> {
    let mut found = Vec::new();
    let mut dirs = vec![tree.to_owned()];
    while let Some(dir) = dirs.pop() {
        let list = || fs::read_dir(&dir)?.collect::<io::Result<Vec<_>>>();
        for entry in list().map_err(Error::io("read", &dir))? {
            let path = entry.path();
            let kind = entry.file_type().map_err(Error::io("look at", &path))?;
            let kind = if kind.is_dir() {
                dirs.push(path.clone());
                Kind::Directory
            } else if kind.is_symlink() {
                Kind::Link(fs::read_link(&path).map_err(Error::io("read", &path))?)
            } else if kind.is_file() {
                Kind::File
            } else {
                Kind::Other
            };
            let below = path.strip_prefix(tree).unwrap_or(&path);
            let name = below.to_string_lossy().into_owned();
            found.push(Entry { path, name, kind });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const WHEELS: &str = "mlx==1 --hash=sha256:0";

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let libs = dir.path().join("mlx.libs");
        fs::create_dir_all(&libs).unwrap();
        fs::create_dir_all(dir.path().join("mlx/lib")).unwrap();
        fs::write(dir.path().join("mlx/lib/libmlx.so"), "library").unwrap();
        fs::write(libs.join("libblas-1.so.reference"), "blas").unwrap();
        symlink("libblas-1.so.reference", libs.join("libblas-1.so")).unwrap();
        write(dir.path(), WHEELS).unwrap();
        dir
    }

    /// What is said of a tree after `change`.
    fn after(change: impl FnOnce(&Path)) -> String {
        let dir = tree();
        verify(dir.path()).unwrap();
        change(dir.path());
        match verify(dir.path()).unwrap_err() {
            Error::Damaged { name, what, .. } => format!("{name} {what}"),
            Error::Untrusted { path, why } => {
                let name = path.strip_prefix(dir.path()).unwrap_or(&path);
                format!("{} {why}", name.display())
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_library_that_was_planted_or_cut_short_is_seen() {
        let library = |tree: &Path| tree.join("mlx/lib/libmlx.so");
        let planted = after(|tree| fs::write(library(tree), "planted").unwrap());
        assert_eq!(planted, "mlx/lib/libmlx.so changed");
        let cut = after(|tree| {
            File::options()
                .write(true)
                .open(library(tree))
                .unwrap()
                .set_len(3)
                .unwrap()
        });
        assert_eq!(cut, "mlx/lib/libmlx.so changed");
        let gone = after(|tree| fs::remove_file(library(tree)).unwrap());
        assert_eq!(gone, "mlx/lib/libmlx.so is gone");
        let last = after(|tree| fs::remove_dir_all(tree.join("mlx.libs")).unwrap());
        assert_eq!(last, "mlx.libs/libblas-1.so.reference is gone");
        let added = after(|tree| fs::write(tree.join("mlx/lib/libc.so.6"), "planted").unwrap());
        assert_eq!(added, "mlx/lib/libc.so.6 was added");
        let later = after(|tree| fs::write(tree.join("zzz"), "planted").unwrap());
        assert_eq!(later, "zzz was added");
    }

    #[test]
    fn what_others_may_write_is_refused_however_whole_it_is() {
        for name in ["", "mlx/lib", "mlx/lib/libmlx.so", NAME] {
            let said = after(|tree| {
                let path = tree.join(name);
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                fs::set_permissions(path, Permissions::from_mode(mode | 0o020)).unwrap();
            });
            assert_eq!(said, format!("{name} may be written by its group"));
        }
    }

    #[test]
    fn a_link_leads_to_a_file_beside_it_or_to_one_of_the_system_s() {
        let point = |tree: &Path, target: &Path| {
            let link = tree.join("mlx.libs/libblas-1.so");
            fs::remove_file(&link).unwrap();
            symlink(target, link).unwrap();
        };
        let outside = tempfile::tempdir().unwrap();
        let theirs = outside.path().join("theirs");
        fs::write(&theirs, "planted").unwrap();
        let dir = tree();
        for target in [&theirs, &outside.path().join("gone")] {
            point(dir.path(), target);
            verify(dir.path()).unwrap();
        }
        fs::set_permissions(&theirs, Permissions::from_mode(0o666)).unwrap();
        assert!(after(|tree| point(tree, &theirs)).ends_with("may be written by everybody"));
        let up = after(|tree| point(tree, Path::new("../../theirs")));
        assert_eq!(up, "mlx.libs/libblas-1.so was added");
    }

    #[test]
    fn a_record_is_of_one_list_of_wheels() {
        let dir = tree();
        assert!(is_of(dir.path(), WHEELS));
        assert!(!is_of(dir.path(), "mlx==1 --hash=sha256:1"));
        fs::remove_file(dir.path().join(NAME)).unwrap();
        assert!(!is_of(dir.path(), WHEELS));
    }
}
