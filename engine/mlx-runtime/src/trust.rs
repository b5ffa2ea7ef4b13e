//! Whose files are used: those that only this user and root can change.
//!
//! Whoever can write a library runs code in every process that loads it, and whoever can write a directory
//! can put another file there. So the cache and what is in it have to belong to this user or to root, and
//! nobody else may write there; and so for every directory above, as the names lead through them. One that
//! everybody may write, but where everybody keeps what is theirs (`/tmp`), is as good while the cache is
//! there. Root and this user can do anything; access lists beyond the mode are not looked at.

use std::fs::{self, DirBuilder, File, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Error;

const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The cache's directory, made where it is not there, without links in its path.
///
/// # Errors
/// [`Error::Untrusted`] where another user could change what is in it.
pub(crate) fn cache(dir: &Path) -> Result<PathBuf, Error> {
    let mut make = DirBuilder::new();
    make.recursive(true).mode(0o755);
    make.create(dir).map_err(Error::io("create", dir))?;
    let real = dir.canonicalize().map_err(Error::io("open", dir))?;
    check(&real)?;
    above(&real)?;
    Ok(real)
}

/// Checks a file outside of the cache, which a link there leads to.
pub(crate) fn outside(file: &Path) -> Result<(), Error> {
    let real = file.canonicalize().map_err(Error::io("open", file))?;
    check(&real)?;
    above(&real)
}

/// Checks a file or a directory by itself; for a link, that it is ours.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    let found = fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
    judge(path, &found, false)
}

/// Opens a lock file, which is made where it is not there. A link would lead to what somebody else chose.
pub(crate) fn lock_file(path: &Path) -> Result<File, Error> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => untrusted(path, "is a link"),
            _ => Error::io("create", path)(error),
        })?;
    let found = file.metadata().map_err(Error::io("look at", path))?;
    if !found.is_file() {
        return Err(untrusted(path, "is not a file"));
    }
    judge(path, &found, false)?;
    Ok(file)
}

/// Checks every directory above a path without links.
fn above(real: &Path) -> Result<(), Error> {
    for dir in real.ancestors().skip(1) {
        let found = fs::symlink_metadata(dir).map_err(Error::io("look at", dir))?;
        judge(dir, &found, true)?;
    }
    Ok(())
}

fn judge(path: &Path, found: &Metadata, above: bool) -> Result<(), Error> {
    // A link has no mode of its own.
    let mode = if found.is_symlink() { 0 } else { found.mode() };
    let me = rustix::process::geteuid().as_raw();
    match fault(found.uid(), mode, me, above) {
        Some(why) => Err(untrusted(path, &why)),
        None => Ok(()),
    }
}

/// Why what belongs to `owner` and has this mode can be changed by others than root and `me`, if it can.
fn fault(owner: u32, mode: u32, me: u32, above: bool) -> Option<String> {
    if owner != me && owner != 0 {
        return Some(format!("belongs to user {owner}, not to user {me}"));
    }
    if above && mode & STICKY != 0 {
        return None;
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Some("may be written by everybody".to_owned());
    }
    (mode & WRITABLE_BY_GROUP != 0).then(|| "may be written by its group".to_owned())
}

fn untrusted(path: &Path, why: &str) -> Error {
    Error::Untrusted {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn why(error: Error) -> (PathBuf, String) {
        match error {
            Error::Untrusted { path, why } => (path, why),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn only_this_user_and_root_are_trusted() {
        for (owner, mode, above, trusted) in [
            (7, 0o755, false, true),
            (0, 0o755, false, true),
            (7, 0o700, true, true),
            (8, 0o755, false, false),
            (8, 0o700, true, false),
            (7, 0o775, false, false),
            (7, 0o757, true, false),
            (0, 0o777, true, false),
            (0, 0o1777, true, true),
            // Not the cache itself: what it lacks, anybody could add.
            (7, 0o1777, false, false),
            (8, 0o1777, true, false),
        ] {
            let fault = fault(owner, mode, 7, above);
            assert_eq!(fault.is_none(), trusted, "{owner} {mode:o} {fault:?}");
        }
    }

    #[test]
    fn a_cache_that_others_may_write_is_refused_and_so_is_one_below_it() {
        let dir = tempfile::tempdir().unwrap();
        let shared = dir.path().join("shared");
        let below = shared.join("mine");
        assert!(cache(&below).is_ok());
        let real = shared.canonicalize().unwrap();
        for (mode, says) in [(0o775, "its group"), (0o757, "everybody")] {
            fs::set_permissions(&shared, Permissions::from_mode(mode)).unwrap();
            for cache_dir in [&shared, &below] {
                let (path, why) = why(cache(cache_dir).unwrap_err());
                assert_eq!(path, real);
                assert!(why.ends_with(says), "{why}");
            }
        }
    }

    #[test]
    fn a_link_to_the_cache_is_resolved_once() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        assert_eq!(cache(&link).unwrap(), real.canonicalize().unwrap());
    }

    #[test]
    fn a_lock_is_no_link_and_keeps_what_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, lock) = (dir.path().join("victim"), dir.path().join("lock"));
        fs::write(&victim, "precious").unwrap();
        for target in [&victim, &dir.path().join("nothing")] {
            symlink(target, &lock).unwrap();
            assert_eq!(why(lock_file(&lock).unwrap_err()).1, "is a link");
            fs::remove_file(&lock).unwrap();
        }
        assert!(!dir.path().join("nothing").exists());
        fs::hard_link(&victim, &lock).unwrap();
        lock_file(&lock).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        fs::set_permissions(&lock, Permissions::from_mode(0o666)).unwrap();
        assert!(lock_file(&lock).is_err());
    }
}
