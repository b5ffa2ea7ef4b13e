//! What has to hold of the libraries in an archive for Linux.

use std::collections::BTreeSet;

use super::Libraries;
use crate::package::archive::Files;
use crate::package::elf::{self, Dynamic};
use crate::package::linux::ORIGIN;

/// Libraries that are there wherever a VM of the BEAM's for Linux with glibc runs.
const SYSTEMS: [&str; 8] = [
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "libstdc++.so.6",
];

/// What the VM gives to a library that it loads.
const VMS: &str = "enif_";

/// The newest of glibc that MLX's own library asks for.
const GLIBC: &str = "GLIBC_2.35";

/// Looks at them.
pub(super) fn libraries(files: &Files) -> anyhow::Result<Libraries> {
    let mut libraries = Vec::new();
    for (name, bytes) in files.iter().filter(|(_, bytes)| elf::is(bytes)) {
        libraries.push((name.as_str(), elf::read(bytes)?));
    }
    Ok(Libraries {
        faults: of_libraries(&libraries),
        system: newest(&libraries),
    })
}

fn of_libraries(libraries: &[(&str, Dynamic)]) -> Vec<String> {
    let names: BTreeSet<_> = libraries.iter().map(|(name, _)| *name).collect();
    let defined: BTreeSet<_> = libraries
        .iter()
        .flat_map(|(_, library)| &library.defined)
        .collect();
    let mut faults = Vec::new();
    for name in ["libemily_nif.so", "libmlx.so"] {
        if !names.contains(name) {
            faults.push(format!("{name} is missing"));
        }
    }
    for (name, library) in libraries {
        let mut fault = |what: String| faults.push(format!("{name} {what}"));
        if library
            .soname
            .as_deref()
            .is_some_and(|soname| soname != *name)
        {
            fault(format!("calls itself {:?}", library.soname));
        }
        for needed in &library.needed {
            if !names.contains(needed.as_str()) && !SYSTEMS.contains(&needed.as_str()) {
                fault(format!(
                    "needs {needed}, which is neither here nor on every system"
                ));
            }
        }
        for path in library.paths.iter().filter(|path| *path != ORIGIN) {
            fault(format!("looks for libraries in {path}"));
        }
        for symbol in &library.wanted {
            if !defined.contains(symbol) && !symbol.starts_with(VMS) {
                fault(format!("needs {symbol}, which nothing here defines"));
            }
        }
        for version in library
            .versions
            .iter()
            .filter(|version| version.starts_with("GLIBC_2"))
        {
            if number(version) > number(GLIBC) {
                fault(format!(
                    "asks for {version}, and {GLIBC} is the newest there may be"
                ));
            }
        }
        if library.unstripped {
            fault("is not stripped".to_owned());
        }
        if *name == "libemily_nif.so" && !library.defined.iter().any(|s| s == "nif_init") {
            fault("is no NIF: it lacks nif_init".to_owned());
        }
    }
    faults
}

/// `GLIBC_2.35` is of `GLIBC`, and newer than `GLIBC_2.4`.
fn number(version: &str) -> (&str, Vec<u32>) {
    let (of, number) = version.rsplit_once('_').unwrap_or((version, ""));
    (
        of,
        number
            .split('.')
            .filter_map(|part| part.parse().ok())
            .collect(),
    )
}

fn newest(libraries: &[(&str, Dynamic)]) -> Vec<String> {
    let mut versions: Vec<_> = libraries
        .iter()
        .flat_map(|(_, library)| &library.versions)
        .collect();
    versions.retain(|version| ["GLIBC", "GLIBCXX", "CXXABI"].contains(&number(version).0));
    versions.sort_by_key(|version| number(version));
    let mut newest: Vec<String> = Vec::new();
    for version in versions {
        match newest.last_mut() {
            Some(last) if number(last).0 == number(version).0 => last.clone_from(version),
            Some(_) | None => newest.push(version.clone()),
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(needed: &[&str], paths: &[&str]) -> Dynamic {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Dynamic {
            needed: owned(needed),
            paths: owned(paths),
            defined: owned(&["nif_init"]),
            ..Dynamic::default()
        }
    }

    /// What is said of a NIF and an MLX.
    fn said_of(nif: Dynamic, mlx: Dynamic) -> Vec<String> {
        of_libraries(&[("libemily_nif.so", nif), ("libmlx.so", mlx)])
    }

    fn good() -> Dynamic {
        library(&["libmlx.so", "libc.so.6"], &["$ORIGIN"])
    }

    #[test]
    fn libraries_that_find_each_other_are_good() {
        assert_eq!(said_of(good(), library(&[], &[])), Vec::<String>::new());
    }

    #[test]
    fn a_library_that_is_not_everywhere_is_told() {
        let faults = said_of(good(), library(&["libblas.so.3"], &[]));
        assert!(
            faults[0].starts_with("libmlx.so needs libblas.so.3"),
            "{faults:?}"
        );
        let faults = of_libraries(&[("libemily_nif.so", good())]);
        assert_eq!(faults[0], "libmlx.so is missing");
    }

    #[test]
    fn a_builders_folder_is_told() {
        let faults = said_of(library(&[], &["/home/one/lib"]), library(&[], &[]));
        assert_eq!(
            faults,
            ["libemily_nif.so looks for libraries in /home/one/lib"]
        );
    }

    #[test]
    fn a_symbol_that_nothing_defines_is_told() {
        let mut mlx = library(&[], &[]);
        mlx.wanted = ["enif_send", "nif_init", "sgetri_"]
            .map(str::to_owned)
            .into();
        assert_eq!(
            said_of(good(), mlx),
            ["libmlx.so needs sgetri_, which nothing here defines"]
        );
    }

    #[test]
    fn a_newer_system_is_told_by_number_and_not_by_text() {
        let mut mlx = library(&[], &[]);
        mlx.versions = ["GLIBC_2.4", "GLIBC_2.35"].map(str::to_owned).into();
        assert_eq!(said_of(good(), mlx.clone()), Vec::<String>::new());
        mlx.versions.push("GLIBC_2.36".to_owned());
        assert_eq!(said_of(good(), mlx).len(), 1);
    }

    #[test]
    fn a_library_with_its_symbols_is_told_and_so_is_one_that_is_no_nif() {
        let unstripped = Dynamic {
            unstripped: true,
            ..good()
        };
        assert_eq!(
            said_of(unstripped, library(&[], &[])),
            ["libemily_nif.so is not stripped"]
        );
        let none = Dynamic {
            defined: vec![],
            ..good()
        };
        assert_eq!(said_of(none, library(&[], &[])).len(), 1);
    }
}
