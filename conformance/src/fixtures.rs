//! The folder `fixtures/`: the cases and the ledger.

use std::path::{Path, PathBuf};

use crate::case::{self, Body, Case, Location, Problem, Want};
use crate::gradients;
use crate::ledger::Ledger;

/// What Nx leaves open, of every foreign backend.
pub const OPEN: &str = "fixtures/peers/open.toml";

/// Everything in `fixtures/`, read and checked.
#[derive(Clone, Debug, Default)]
pub struct Fixtures {
    /// The cases, by file.
    pub cases: Vec<Case>,
    /// The recorded differences.
    pub ledger: Ledger,
}

/// The repository this was built from.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

impl Fixtures {
    /// Reads `fixtures/` of the repository at `root`.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(root: &Path) -> Result<Fixtures, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut files = Vec::new();
        for folder in list(root, Path::new("fixtures/cases"), &mut problems) {
            if root.join(&folder).is_dir() {
                files.extend(list(root, &folder, &mut problems));
            } else {
                files.push(folder);
            }
        }
        let mut fixtures = Fixtures::default();
        for file in files {
            let cases = read(root, &file).and_then(|text| case::parse(&file, &text));
            match cases {
                Ok(cases) => fixtures.cases.extend(cases),
                Err(more) => problems.extend(more),
            }
        }
        let file = Path::new("fixtures/divergences.toml");
        match read(root, file).and_then(|text| Ledger::parse(file, &text)) {
            Ok(ledger) => fixtures.ledger = ledger,
            Err(more) => problems.extend(more),
        }
        let gradients = gradients::cases(&fixtures.cases);
        fixtures.cases.extend(gradients);
        problems.extend(twins(&fixtures.cases));
        if problems.is_empty() {
            Ok(fixtures)
        } else {
            Err(problems)
        }
    }

    /// These case files alone, wherever they are, without a ledger, as calls that were recorded.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn of(files: &[PathBuf]) -> Result<Fixtures, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut fixtures = Fixtures::default();
        for file in files {
            let cases =
                read(Path::new(""), file).and_then(|text| case::parse_anywhere(file, &text));
            match cases {
                Ok(cases) => fixtures.cases.extend(cases.into_iter().map(recorded)),
                Err(more) => problems.extend(more),
            }
        }
        if problems.is_empty() {
            Ok(fixtures)
        } else {
            Err(problems)
        }
    }

    /// Adds the entries of a ledger about a foreign backend.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn add_ledger(&mut self, file: &Path, layer: &str) -> Result<(), Vec<Problem>> {
        let ledger = read(Path::new(""), file).and_then(|text| Ledger::parse(file, &text))?;
        self.ledger.entries.extend(ledger.about(layer).entries);
        Ok(())
    }
}

/// The case, as one that was recorded where it states no answer.
fn recorded(mut case: Case) -> Case {
    for reading in &mut case.readings {
        if let Body::Fact { want, .. } = &mut reading.body
            && *want == Want::Oracle
        {
            *want = Want::Recorded;
        }
    }
    case
}

/// Two cases of one name, in a family's file and in `found/`.
fn twins(cases: &[Case]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let same = |other: &&Case| other.row.name == case.row.name && other.name == case.name;
        if let Some(other) = cases[..i].iter().find(same) {
            let message = format!("{} is also at {}", case.name, other.at);
            problems.push(Problem {
                at: case.at.clone(),
                message,
            });
        }
    }
    problems
}

fn read(root: &Path, file: &Path) -> Result<String, Vec<Problem>> {
    std::fs::read_to_string(root.join(file)).map_err(|error| vec![unreadable(file, &error)])
}

/// What a folder holds, in order, hidden files left out.
fn list(root: &Path, folder: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(root.join(folder)) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(unreadable(folder, &error));
            return Vec::new();
        }
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut files: Vec<PathBuf> = names
        .filter(|name| !name.starts_with('.'))
        .map(|name| folder.join(name))
        .collect();
    files.sort();
    files
}

fn unreadable(file: &Path, error: &std::io::Error) -> Problem {
    let at = Location {
        file: file.to_owned(),
        line: 1,
    };
    Problem {
        at,
        message: format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Record;
    use crate::outcome::Outcome;
    use crate::{judge, layer};

    #[test]
    fn what_emily_gives_is_on_record_exactly() {
        let ledger = Fixtures::load(&repository()).unwrap().ledger;
        let loose = ledger.entries.iter().find(|entry| match entry.record {
            Record::Open => true,
            Record::Wrong => !entry.trials.iter().all(|trial| trial.starts_with("nx::")),
            Record::Within(..) | Record::Values(_) | Record::Error(_) => false,
        });
        assert!(loose.is_none(), "{loose:?}");
    }

    #[test]
    fn ledgers_of_other_backends_can_be_read() {
        let peers = repository().join("fixtures/peers");
        let files = std::fs::read_dir(peers).unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty());
        for file in files {
            let mut fixtures = Fixtures::default();
            fixtures.add_ledger(&file, "My.Backend").unwrap();
            assert!(!fixtures.ledger.entries.is_empty(), "{}", file.display());
        }
    }

    #[test]
    fn what_was_recorded_is_refused_where_the_reference_refuses_it() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("take.toml");
        let case = |name: &str, index: &str| {
            let operands = format!("[\"u8[2] 4 5\", \"s32[1] {index}\"]");
            format!("[[case]]\nname = \"{name}\"\nattrs = {{ axis = 0 }}\nin = {operands}\n")
        };
        let head = "op = \"take\"\ndoc = \"d\"\n";
        std::fs::write(
            &file,
            [head, &case("far", "9"), &case("near", "1")].concat(),
        )
        .unwrap();
        let fixtures = Fixtures::of(&[file]).unwrap();
        for case in &fixtures.cases {
            let ledger = Ledger::default();
            let results = judge::judge(case, &case.readings[0], &[&layer::Oracle], &ledger);
            assert_eq!(results[0].outcome, Outcome::Passed, "{:?}", results[0]);
            assert_eq!(results[0].is_refusal(), case.name == "far");
        }
    }

    #[test]
    fn every_problem_of_every_file_is_told() {
        let root = tempfile::tempdir().unwrap();
        let unary = root.path().join("fixtures/cases/unary");
        std::fs::create_dir_all(&unary).unwrap();
        std::fs::write(
            unary.join("round.toml"),
            "op = \"round\"\ndoc = \"d\"\n[[case]\n",
        )
        .unwrap();
        std::fs::write(unary.join("exp.toml"), "op = \"expp\"\ndoc = \"d\"\n").unwrap();
        let problems = Fixtures::load(root.path()).unwrap_err();
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(
            texts[0].starts_with("fixtures/cases/unary/exp.toml:1: unknown op"),
            "{texts:?}"
        );
        assert!(
            texts[1].starts_with("fixtures/cases/unary/round.toml:3: "),
            "{texts:?}"
        );
        assert!(
            texts[2].starts_with("fixtures/divergences.toml:1: cannot be read"),
            "{texts:?}"
        );
    }
}
