//! Files as nobody writes them: whatever stands in one, it is cases or problems, and soon.

use std::ops::Range;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::fixtures::repository;

/// No file takes this long, on a busy machine and unoptimised.
const SOON: Duration = Duration::from_secs(30);

/// What stands in files, and beside it.
const WORDS: &[&str] = &[
    "0",
    "-1",
    "65",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "1e999",
    "0x1p999999999",
    "-0.0",
    "nan",
    "nan:0x",
    "inf",
    "#",
    "#7fc00001",
    "*",
    "*1",
    "(1,2)",
    "f32[4294967296] *1",
    "u8[4294967296,4294967296] *1",
    "u8[65536,65536]",
    "f32[",
    "]",
    "[",
    "{",
    "}",
    "\"",
    "'",
    "=",
    ",",
    ";",
    "\n",
    "\u{0}",
    "é",
    "[[case]]\n",
    "name = \"a\"\n",
    "in = []\n",
    "out = \"f32[] 1\"\n",
    "sweep = {}\n",
    "exhaustive = true\n",
    "tol = \"ulp(99999999999)\"\n",
    "view = \"offset\"\n",
    "dtypes = [\"f32\", \"c64\"]\n",
    "attrs = { axes = [] }\n",
    "iota",
    "specials",
    "domain(seed=18446744073709551616)",
    "each",
    "case",
    "broadcasts",
];

/// The files that there are, with their places.
static FILES: LazyLock<Vec<(std::path::PathBuf, String)>> = LazyLock::new(|| {
    let mut files = Vec::new();
    let mut open = vec![repository().join("fixtures/cases")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    files.sort();
    files
});

/// One change of a text.
#[derive(Clone, Debug)]
enum Change {
    Cut(Index, Index),
    Repeat(Index, Index),
    Insert(Index, &'static str),
    /// A number becomes one of the words.
    Number(Index, &'static str),
    /// A part of another file comes in.
    Splice(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let word = || prop::sample::select(WORDS);
    prop_oneof![
        (at(), at()).prop_map(|(a, b)| Change::Cut(a, b)),
        (at(), at()).prop_map(|(a, b)| Change::Repeat(a, b)),
        (at(), word()).prop_map(|(a, word)| Change::Insert(a, word)),
        (at(), word()).prop_map(|(a, word)| Change::Number(a, word)),
        (at(), at(), at()).prop_map(|(a, b, file)| Change::Splice(a, b, file)),
    ]
}

/// The nearest start of a character.
fn place(text: &str, index: Index) -> usize {
    let at = index.index(text.len() + 1);
    (0..=at)
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

/// A part of at most a few lines.
fn part(text: &str, from: Index, length: Index) -> Range<usize> {
    let start = place(text, from);
    let end = (start + length.index(200)).min(text.len());
    let end = (start..=end).rev().find(|&at| text.is_char_boundary(at));
    start..end.unwrap_or(start)
}

fn changed(text: &mut String, change: &Change) {
    match *change {
        Change::Cut(from, length) => {
            let part = part(text, from, length);
            text.replace_range(part, "");
        }
        Change::Repeat(from, length) => {
            let part = part(text, from, length);
            let copy = text[part.clone()].to_owned();
            text.insert_str(part.end, &copy);
        }
        Change::Insert(at, word) => text.insert_str(place(text, at), word),
        Change::Number(at, word) => {
            let from = place(text, at);
            let digit = |c: char| c.is_ascii_digit();
            let Some(start) = text[from..].find(digit).map(|start| from + start) else {
                return;
            };
            let length = text[start..]
                .find(|c| !digit(c))
                .unwrap_or(text.len() - start);
            text.replace_range(start..start + length, word);
        }
        Change::Splice(at, from, file) => {
            let (_, other) = &FILES[file.index(FILES.len())];
            let copy = other[part(other, from, at)].to_owned();
            text.insert_str(place(text, at), &copy);
        }
    }
}

/// Reads it, as a file of an op and as any file.
fn read(file: &Path, text: &str) -> Duration {
    let start = Instant::now();
    for read in [parse, parse_anywhere] {
        match read(file, text) {
            Ok(_) => {}
            Err(problems) => assert!(!problems.is_empty()),
        }
    }
    start.elapsed()
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn any_text_is_cases_or_problems(text in "\\PC{0,200}|(op = \"round\"\ndoc = \"d\"\n)?\\PC{0,200}") {
        prop_assert!(read(Path::new("fixtures/cases/unary/round.toml"), &text) < SOON);
    }

    #[test]
    fn any_literal_is_a_tensor_or_a_problem(
        words in prop::collection::vec(prop::sample::select(WORDS), 0..6),
        text in "\\PC{0,20}",
    ) {
        let literal = [&text, words.join(" ").as_str()].concat();
        let text = format!("op = \"round\"\ndoc = \"d\"\n[[case]]\nname = \"a\"\nin = [{literal:?}]\n");
        prop_assert!(read(Path::new("fixtures/cases/unary/round.toml"), &text) < SOON);
    }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn a_mutated_file_is_cases_or_problems(
        file in any::<Index>(),
        changes in prop::collection::vec(change(), 1..5),
    ) {
        let (path, text) = &FILES[file.index(FILES.len())];
        let path = path.strip_prefix(repository()).unwrap();
        let mut text = text.clone();
        for change in &changes {
            changed(&mut text, change);
        }
        prop_assert!(read(path, &text) < SOON);
    }
}
