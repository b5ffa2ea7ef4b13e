//! What has to hold of the libraries in an archive for Macs, none of which has been seen to run.

use std::collections::BTreeSet;

use super::Libraries;
use crate::package::archive::Files;
use crate::package::mac::{LOADER_PATH, OLDEST};
use crate::package::macho::{self, Image};

/// Where the system keeps its own.
const SYSTEMS: [&str; 2] = ["/usr/lib/", "/System/Library/"];

/// Looks at them.
pub(super) fn libraries(files: &Files) -> anyhow::Result<Libraries> {
    let mut images = Vec::new();
    for (name, bytes) in files.iter().filter(|(_, bytes)| macho::is(bytes)) {
        images.push((name.as_str(), macho::read(bytes)?));
    }
    let names = files.keys().map(String::as_str).collect();
    let needed: BTreeSet<_> = images.iter().flat_map(|(_, image)| &image.needed).collect();
    let systems = needed.into_iter().filter(|needed| is_systems(needed));
    Ok(Libraries {
        faults: of_images(&images, &names),
        system: systems.cloned().collect(),
    })
}

fn is_systems(needed: &str) -> bool {
    SYSTEMS.iter().any(|folder| needed.starts_with(folder))
}

fn of_images(images: &[(&str, Image)], names: &BTreeSet<&str>) -> Vec<String> {
    let mut faults = Vec::new();
    for name in ["libemily_nif.so", "libmlx.dylib", "mlx.metallib"] {
        if !names.contains(name) {
            faults.push(format!("{name} is missing"));
        }
    }
    for (name, image) in images {
        let mut fault = |what: String| faults.push(format!("{name} {what}"));
        if !image.name.starts_with("@rpath/") {
            fault(format!("calls itself {}", image.name));
        }
        for needed in &image.needed {
            let here = needed
                .strip_prefix("@rpath/")
                .is_some_and(|n| names.contains(n));
            if !here && !is_systems(needed) {
                fault(format!(
                    "needs {needed}, which is neither here nor the system's"
                ));
            }
        }
        let beside = |path: &&String| path.trim_end_matches(['/', '.']) != LOADER_PATH;
        for path in image.paths.iter().filter(beside) {
            fault(format!("looks for libraries in {path}"));
        }
        if image
            .needed
            .iter()
            .any(|needed| needed.starts_with("@rpath/"))
            && image.paths.is_empty()
        {
            fault("looks for libraries nowhere".to_owned());
        }
        match image.oldest {
            Some(oldest) if oldest <= OLDEST => {}
            oldest => fault(format!(
                "is for macOS {oldest:?} or newer, and not {OLDEST:?}"
            )),
        }
        if !image.signed {
            fault("is not signed, and does not load".to_owned());
        }
        if *name == "libemily_nif.so" && !image.exported.iter().any(|s| s == "nif_init") {
            fault("is no NIF: it lacks nif_init".to_owned());
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nif() -> Image {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Image {
            name: "@rpath/libemily_nif.dylib".to_owned(),
            needed: owned(&["@rpath/libmlx.dylib", "/usr/lib/libSystem.B.dylib"]),
            paths: owned(&[LOADER_PATH]),
            oldest: Some(OLDEST),
            signed: true,
            exported: owned(&["nif_init"]),
        }
    }

    fn said_of(nif: Image) -> Vec<String> {
        let names = BTreeSet::from(["libemily_nif.so", "libmlx.dylib", "mlx.metallib"]);
        of_images(&[("libemily_nif.so", nif)], &names)
    }

    #[test]
    fn a_library_that_finds_mlx_beside_itself_is_good() {
        assert_eq!(said_of(nif()), Vec::<String>::new());
        let alone = of_images(&[], &BTreeSet::from(["libemily_nif.so"]));
        assert_eq!(
            alone,
            ["libmlx.dylib is missing", "mlx.metallib is missing"]
        );
    }

    #[test]
    fn what_does_not_load_elsewhere_is_told() {
        let needs = |name: &str| Image {
            needed: vec![name.to_owned()],
            ..nif()
        };
        for name in ["/opt/homebrew/lib/libomp.dylib", "@rpath/libother.dylib"] {
            assert_eq!(said_of(needs(name)).len(), 1, "{name}");
        }
        let paths = |paths: Vec<String>| Image { paths, ..nif() };
        assert_eq!(said_of(paths(vec!["/Users/one/lib".to_owned()])).len(), 1);
        assert_eq!(
            said_of(paths(vec![])),
            ["libemily_nif.so looks for libraries nowhere"]
        );
        for oldest in [None, Some((15, 0))] {
            assert_eq!(said_of(Image { oldest, ..nif() }).len(), 1, "{oldest:?}");
        }
        let name = "/Users/one/libemily_nif.dylib".to_owned();
        assert_eq!(said_of(Image { name, ..nif() }).len(), 1);
        let signed = false;
        assert_eq!(said_of(Image { signed, ..nif() }).len(), 1);
        let exported = vec![];
        assert_eq!(said_of(Image { exported, ..nif() }).len(), 1);
    }
}
