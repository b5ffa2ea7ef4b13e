//! The invariants of ARCHITECTURE.md that manifests and source text can show.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use emily_conformance::fixtures::repository;
use emily_conformance::layer;
use emily_conformance::slices;
use serde_json::Value;

/// What cargo says of every workspace package.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array();
    packages.expect("a list of packages").clone()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a name is text").to_owned()
}

/// The direct dependencies of every workspace package, of any kind.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    packages()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("a list");
            let names = dependencies
                .iter()
                .map(|dependency| text(&dependency["name"]));
            (text(&package["name"]), names.collect())
        })
        .collect()
}

/// What a package reaches within the workspace, itself left out.
fn reached(all: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        for dependency in all.get(&name).into_iter().flatten() {
            if found.insert(dependency.clone()) {
                open.push(dependency.clone());
            }
        }
    }
    found
}

/// The packages that name one of these as a dependency.
fn dependents(all: &BTreeMap<String, BTreeSet<String>>, of: &[&str]) -> Vec<String> {
    let names =
        |dependencies: &BTreeSet<String>| of.iter().any(|name| dependencies.contains(*name));
    all.iter()
        .filter(|(_, names_of)| names(names_of))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Every Rust file below a folder, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    files(folder, &["rs"])
}

/// Every file below a folder that ends so, with its text.
fn files(folder: &str, extensions: &[&str]) -> Vec<(PathBuf, String)> {
    files_but(folder, extensions, |_| false)
}

/// The same, without the folders below it that are left out.
fn files_but(
    folder: &str,
    extensions: &[&str],
    is_left_out: impl Fn(&Path) -> bool,
) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut open = entries(folder);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            if !is_left_out(&path) {
                open.extend(entries(path));
            }
        } else if extensions
            .iter()
            .any(|&end| path.extension().is_some_and(|own| own == end))
        {
            let text = std::fs::read_to_string(&path).expect("the file can be read");
            files.push((path, text));
        }
    }
    files
}

/// What lies in a folder.
fn entries(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join(folder)).expect("the folder can be read");
    entries
        .map(|entry| entry.expect("the entry can be read").path())
        .collect()
}

/// A file's or folder's name, without its ending.
fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// The lines of code, with comments cut off.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository())
        .unwrap_or(path)
        .display()
        .to_string()
}

#[test]
fn oracle_and_engine_never_depend_on_each_other() {
    let all = dependencies();
    let of_oracle = reached(&all, "emily-oracle");
    for name in [
        "emily-engine",
        "emily-conformance",
        "mlx-rs",
        "mlx-sys",
        "mlx-runtime",
    ] {
        assert!(!of_oracle.contains(name), "the oracle reaches {name}");
    }
    let of_engine = reached(&all, "emily-engine");
    for name in ["emily-oracle", "emily-conformance"] {
        assert!(!of_engine.contains(name), "the engine reaches {name}");
    }
}

#[test]
fn the_contract_depends_on_nothing_of_ours() {
    let all = dependencies();
    let ours: Vec<_> = reached(&all, "emily-spec")
        .into_iter()
        .filter(|d| all.contains_key(d))
        .collect();
    assert!(ours.is_empty(), "emily-spec depends on {ours:?}");
}

#[test]
fn only_the_engine_links_mlx() {
    let all = dependencies();
    assert_eq!(dependents(&all, &["mlx-rs", "mlx-sys"]), ["emily-engine"]);
}

#[test]
fn xtask_links_no_mlx() {
    let all = dependencies();
    assert!(!reached(&all, "xtask").contains("emily-engine"));
}

#[test]
fn every_layer_is_asked_for_by_name() {
    let layers = layer::all();
    let names: BTreeSet<&str> = layers.iter().map(|layer| layer.name()).collect();
    let known: BTreeSet<&str> = emily_flags::LAYERS.into_iter().collect();
    assert_eq!(&names | &BTreeSet::from([slices::LAYER]), known);
}

#[test]
fn only_the_nif_links_rustler() {
    let all = dependencies();
    let linking = dependents(&all, &["rustler"]);
    assert!(
        linking.iter().all(|name| name == "emily-nif"),
        "{linking:?} link rustler"
    );
}

/// The NIF asserts while it compiles that the engine is without them, too.
#[test]
fn faults_are_planted_for_the_soak_alone() {
    for package in packages() {
        let name = text(&package["name"]);
        let dependencies = package["dependencies"].as_array().expect("a list");
        let features = dependencies
            .iter()
            .map(|dependency| &dependency["features"]);
        let asked = features.chain([&package["features"]]);
        let planted = asked.filter(|features| features.to_string().contains("planted"));
        let may = ["emily-engine", "emily-soak"].contains(&name.as_str());
        assert!(planted.count() == usize::from(may), "{name} plants faults");
        let default = package["features"]["default"].to_string();
        assert!(
            !default.contains("planted"),
            "{name} plants faults by default"
        );
    }
}

#[test]
fn nothing_below_the_nif_knows_the_beam() {
    for folder in ["conformance/spec/src", "oracle/src", "engine/src"] {
        for (path, text) in sources(folder) {
            let found = code(&text).find(|line| line.contains("rustler") || line.contains("enif_"));
            assert!(found.is_none(), "{}: {found:?}", shown(&path));
        }
    }
}

#[test]
fn raw_mlx_calls_stand_in_one_place() {
    let allowed = ["engine/src/mlx/", "engine/mlx-sys/"];
    for folder in ["conformance", "engine", "oracle", "xtask", "nif", "soak"] {
        for (path, text) in sources(folder) {
            let name = shown(&path);
            if allowed.iter().any(|folder| name.starts_with(folder))
                || name == shown(Path::new(file!()))
            {
                continue;
            }
            let raw = ["mlx_", "sys::"].concat();
            let found = code(&text).find(|line| line.contains(&raw));
            assert!(found.is_none(), "{name}: {found:?}");
        }
    }
}

/// MLX's `compile` runs g++ at run time, fuses nothing and says nothing where there is none, and keeps what it
/// made per thread. Its headers and its tracer have the word in their names, too.
#[test]
fn the_engine_asks_mlx_to_compile_nothing() {
    let word = |text: &str| {
        let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word.contains("compile") && word != "compile_error")
    };
    assert!(word("use mlx_rs::transforms::compile::compile;") && word("mlx_compile(&mut out)"));
    let files = files("engine/src", &["rs", "cpp", "h"]);
    assert!(files.iter().any(|(path, _)| path.ends_with("kernel.cpp")));
    for (path, text) in files {
        let found = code(&text).find(|line| word(line));
        assert!(found.is_none(), "{}: {found:?}", shown(&path));
    }
}

#[test]
fn unsafe_code_is_forbidden_but_where_foreign_code_is_called() {
    let foreign = ["mlx-sys", "emily-engine", "emily-nif"];
    let packages = packages();
    let own = packages
        .iter()
        .filter(|package| !foreign.contains(&text(&package["name"]).as_str()));
    let targets = own.flat_map(|package| package["targets"].as_array().expect("a list").clone());
    let roots: Vec<PathBuf> = targets
        .filter(|target| target["kind"] != serde_json::json!(["custom-build"]))
        .map(|target| text(&target["src_path"]).into())
        .collect();
    assert!(!roots.is_empty());
    for root in roots {
        let text = std::fs::read_to_string(&root).expect("a crate has a root");
        assert!(
            text.contains("#![forbid(unsafe_code)]"),
            "{} does not forbid unsafe code",
            shown(&root)
        );
    }
}

/// Text can show the idioms: a distance held against a bound, and approx's macros.
#[test]
fn only_the_comparator_compares_floats() {
    let idioms = [
        ".abs() <",
        ".abs() >",
        "EPSILON",
        "_ulps",
        "abs_diff_eq",
        "relative_eq",
    ];
    for (path, text) in sources("conformance/src") {
        let name = shown(&path);
        if name.starts_with("conformance/src/compare") {
            continue;
        }
        // A module's own tests may look at floats.
        let own = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code(own) {
            assert!(
                !idioms.iter().any(|idiom| line.contains(idiom)),
                "{name}: {line}"
            );
        }
    }
}

#[test]
fn the_contract_s_macros_stand_in_one_file() {
    for (path, text) in sources("conformance/spec/src") {
        let name = shown(&path);
        let defines = code(&text).any(|line| line.contains("macro_rules!"));
        assert!(
            !defines || name.ends_with("op/macros.rs"),
            "{name} has a macro"
        );
    }
}

/// What stands in the macros that write the ops down is no business of rustfmt's.
#[test]
fn lines_of_the_ops_are_no_longer_than_others() {
    for (path, text) in sources("conformance/spec/src/op") {
        for line in text.lines() {
            assert!(line.chars().count() <= 120, "{}: {line}", shown(&path));
            let starts_astray = line.starts_with(' ') && !line.starts_with("    ");
            assert!(!starts_astray, "{}: {line:?}", shown(&path));
        }
    }
}

/// Variables by which one of our programs tells another something, and that nobody sets by hand.
const AMONG_OURSELVES: [&str; 6] = [
    // A test starts itself again.
    "EMILY_END",
    "EMILY_TEST_ALONE",
    "EMILY_TEST_LIMITED",
    // Xtask tells a build script, and reads what a VM that ended left.
    "EMILY_NIF_RPATH",
    "EMILY_NIF_FUZZ_NOTE",
    // Cargo's, of the engine's `links`.
    "EMILY_ENGINE_LIB_DIR",
];

#[test]
fn each_variable_stands_in_a_table() {
    let tables: String = ["OPERATING.md", "CONTRIBUTING.md"]
        .map(|page| std::fs::read_to_string(repository().join(page)).expect("the page is there"))
        .concat();
    let listed: String = tables.lines().filter(|l| l.starts_with("| `")).collect();
    let is_built = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let built = ["target", "_build", "deps", "doc", "tmp", "priv"];
        name.starts_with('.') || built.contains(&&*name)
    };
    let mut missing = BTreeSet::new();
    for (path, text) in files_but("", &["rs", "ex", "exs", "livemd"], is_built) {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        missing.extend(
            words
                .filter(|word| word.len() > "EMILY_".len() && word.starts_with("EMILY_"))
                .filter(|word| !AMONG_OURSELVES.contains(word))
                .filter(|word| !listed.contains(&format!("`{word}`")))
                .map(|word| format!("{word} in {}", shown(&path))),
        );
    }
    assert!(missing.is_empty(), "no table has {missing:#?}");
}

#[test]
fn what_a_red_means_is_told_of_each_file_of_tests() {
    let page = std::fs::read_to_string(repository().join("CI.md")).expect("the page is there");
    let names: String = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .collect();
    // Those of the trials have sections of their own.
    let trials = ["conformance", "slices"];
    for folder in ["conformance/tests", "engine/tests", "soak/tests"] {
        let missing: Vec<_> = entries(folder)
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "rs"))
            .map(|path| stem(path))
            .filter(|name| {
                !trials.contains(&name.as_str()) && !names.contains(&format!("**{name}**"))
            })
            .collect();
        assert!(
            missing.is_empty(),
            "CI.md does not say what a red means in {folder}: {missing:?}"
        );
    }
}

#[test]
fn engine_and_oracle_open_side_by_side() {
    let families: BTreeSet<&str> = emily_spec::ROWS
        .iter()
        .map(|row| row.family.name())
        .collect();
    for folder in [
        "oracle/src/ops",
        "engine/src/ops",
        "conformance/spec/src/op",
        "conformance/src/fuzz/generate",
        "elixir/lib/emily/backend",
    ] {
        let files: BTreeSet<String> = entries(folder).iter().map(|path| stem(path)).collect();
        let missing: Vec<_> = families
            .iter()
            .filter(|family| !files.contains(**family))
            .collect();
        assert!(missing.is_empty(), "{folder} has no file for {missing:?}");
    }
}
