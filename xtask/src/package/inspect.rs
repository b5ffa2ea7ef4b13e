//! What has to hold of an archive, seen in nothing but its bytes.

mod linux;
mod mac;

use anyhow::ensure;

use super::archive::{self, Files};
use super::artefact::Target;
use super::{build, checksums};

/// An archive in which everything holds.
#[derive(Debug)]
pub(crate) struct Report {
    name: String,
    packed: usize,
    /// Each file with its size.
    files: Vec<(String, usize)>,
    /// What something in it asks the system for.
    system: Vec<String>,
}

/// What an archive's libraries say.
struct Libraries {
    faults: Vec<String>,
    system: Vec<String>,
}

impl Report {
    pub(crate) fn print(&self) {
        for (name, size) in &self.files {
            println!("{:>12}  {name}", size);
        }
        println!("{:>12}  {}, packed", self.packed, self.name);
        println!("asks the system for {}", self.system.join(", "));
    }
}

/// Inspects it.
///
/// # Errors
/// Everything that does not hold, a line each.
pub(crate) fn inspect(target: Target, bytes: &[u8]) -> anyhow::Result<Report> {
    let files = archive::read(bytes)?;
    let mut faults = Vec::new();
    if bytes.len() > target.budget() {
        let budget = target.budget();
        faults.push(format!("it has {} bytes, of {budget} at most", bytes.len()));
    }
    faults.extend(of_sums(target, &files));
    let folders = build::folders()?;
    let folders: Vec<_> = folders
        .iter()
        .map(|(folder, _)| folder.display().to_string())
        .collect();
    faults.extend(of_paths(&files, &folders));
    let libraries = match target {
        Target::Linux(_) => linux::libraries(&files)?,
        Target::Mac => mac::libraries(&files)?,
    };
    faults.extend(libraries.faults);
    ensure!(
        faults.is_empty(),
        "{}:\n  {}",
        target.file_name(),
        faults.join("\n  ")
    );
    Ok(Report {
        name: target.file_name(),
        packed: bytes.len(),
        files: files
            .iter()
            .map(|(name, bytes)| (name.clone(), bytes.len()))
            .collect(),
        system: libraries.system,
    })
}

fn of_sums(target: Target, files: &Files) -> Option<String> {
    let mut others = files.clone();
    let sums = others.remove(checksums::SUMS).unwrap_or_default();
    let right = checksums::sums(target, &others);
    (sums != right.as_bytes()).then(|| format!("{} is of other files", checksums::SUMS))
}

fn of_paths(files: &Files, folders: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, bytes) in files {
        for folder in folders {
            let folder = folder.as_bytes();
            if bytes.windows(folder.len()).any(|window| window == folder) {
                let folder = String::from_utf8_lossy(folder);
                faults.push(format!("{name} holds a path of its builder, {folder}"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builders_folder_is_told() {
        let files = Files::from([("a".to_owned(), b"at /home/one/src/lib.rs".to_vec())]);
        let faults = of_paths(&files, &["/home/one".to_owned(), "/home/two".to_owned()]);
        assert_eq!(faults, ["a holds a path of its builder, /home/one"]);
    }

    #[test]
    fn sums_of_other_files_are_told() {
        let target = Target::Mac;
        let mut files = Files::from([("a".to_owned(), b"1".to_vec())]);
        let sums = checksums::sums(target, &files);
        files.insert(checksums::SUMS.to_owned(), sums.into_bytes());
        assert_eq!(of_sums(target, &files), None);
        files.insert("a".to_owned(), b"2".to_vec());
        assert!(of_sums(target, &files).is_some());
    }
}
