//! A backend of Nx's that is no part of Emily, and where its code is.

use std::path::PathBuf;

use super::setup::absent;
use crate::layer::Absent;

/// A foreign backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its module's name, which is its layer's.
    pub name: &'static str,
    /// The Elixir term that names it, with its options.
    pub term: String,
    /// Folders with its code: an application's `ebin`, or one of applications, as `_build/dev/lib` is.
    code: Vec<PathBuf>,
}

impl Peer {
    /// The backend that a term names: `Torchx.Backend`, `{EXLA.Backend, client: :host}`.
    ///
    /// # Errors
    /// When no module's name can be seen in it. The rest of the term is Elixir's to judge.
    pub fn new(term: &str, code: Vec<PathBuf>) -> Result<Peer, String> {
        let name = term.trim().trim_start_matches('{').trim_start();
        let end = name.find(|c: char| !(c.is_alphanumeric() || "._".contains(c)));
        let name = &name[..end.unwrap_or(name.len())];
        if !name.starts_with(char::is_uppercase) {
            return Err(format!(
                "{term:?} names no backend: it is a module, or {{Module, options}}"
            ));
        }
        Ok(Peer {
            // There are one or two in a process, for all its life.
            name: Box::leak(name.into()),
            term: term.to_owned(),
            code,
        })
    }

    /// What the command line needs to have it.
    pub(super) fn flags(&self) -> String {
        let mut flags = format!(" --nx-backend '{}'", self.term);
        for folder in &self.code {
            flags += &format!(" --code-path {}", folder.display());
        }
        flags
    }

    /// The folders for the code path.
    pub(super) fn ebins(&self) -> Result<Vec<PathBuf>, Absent> {
        let mut ebins = Vec::new();
        for folder in &self.code {
            let remedy =
                "--code-path is an ebin folder, or a folder of applications: _build/dev/lib";
            let entries = std::fs::read_dir(folder)
                .map_err(|error| absent(format!("{}: {error}", folder.display()), remedy))?;
            let mut inner: Vec<PathBuf> = entries
                .filter_map(|entry| Some(entry.ok()?.path().join("ebin")))
                .filter(|ebin| ebin.is_dir())
                .collect();
            inner.sort();
            match inner.is_empty() {
                true => ebins.push(folder.clone()),
                false => ebins.extend(inner),
            }
        }
        Ok(ebins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_named_by_its_module() {
        let name = |term: &str| Peer::new(term, Vec::new()).map(|peer| peer.name);
        assert_eq!(name("Torchx.Backend"), Ok("Torchx.Backend"));
        assert_eq!(name("{EXLA.Backend, []}"), Ok("EXLA.Backend"));
        assert_eq!(name(" { My.Backend , device: :cpu } "), Ok("My.Backend"));
        for term in ["", "{}", ":nx", "1", "torchx", "a::B"] {
            assert!(name(term).is_err(), "{term}");
        }
    }

    #[test]
    fn code_is_an_ebin_folder_or_one_of_applications() {
        let build = tempfile::tempdir().unwrap();
        let of = |app: &str| build.path().join(app).join("ebin");
        for app in ["torchx", "nx"] {
            std::fs::create_dir_all(of(app)).unwrap();
        }
        std::fs::write(build.path().join("README"), "").unwrap();
        let ebins = |code: PathBuf| Peer::new("A", vec![code]).unwrap().ebins();
        assert_eq!(ebins(build.path().into()), Ok(vec![of("nx"), of("torchx")]));
        assert_eq!(ebins(of("nx")), Ok(vec![of("nx")]));
        let absent = ebins(build.path().join("no")).unwrap_err();
        assert!(absent.reason.contains("no: "), "{}", absent.reason);
    }
}
