//! How each outcome looks and ranks, the same in the terminal and in the page.

use anstyle::{AnsiColor, Effects, Style};

use crate::outcome::Outcome;

/// One outcome's appearance. The letter carries the meaning; colour only repeats it.
pub(super) struct Face {
    /// The name in JSON, and in the page's style sheet.
    pub(super) key: &'static str,
    /// One letter for a matrix cell.
    pub(super) letter: char,
    /// The words for a legend.
    pub(super) label: &'static str,
    /// One sentence for someone who has not read the docs.
    pub(super) means: &'static str,
    /// The terminal's colours.
    pub(super) style: Style,
}

/// Every outcome, worst first: a cell shows the first of these that one of its trials has.
///
/// What did not run ranks above what passed, because absence is never green; above a recorded
/// divergence too, because that one at least was looked at.
pub(super) const WORST_FIRST: [Outcome; 9] = [
    Outcome::Failed,
    Outcome::Changed,
    Outcome::Stale,
    Outcome::Refused,
    Outcome::Blocked,
    Outcome::NotRun,
    Outcome::Diverges,
    Outcome::Open,
    Outcome::Passed,
];

/// The outcome's place in [`WORST_FIRST`]; smaller is worse.
pub(super) fn rank(outcome: Outcome) -> usize {
    WORST_FIRST
        .iter()
        .position(|other| *other == outcome)
        .expect("WORST_FIRST holds every outcome")
}

/// How a cell looks that passed, and whose calls all had to be refused: it is no sign of an answer.
pub(super) const REFUSAL: Face = Face {
    key: "error",
    letter: 'e',
    label: "error",
    means: "refuses what it has to; no answer was asked for",
    ..face(Outcome::Passed)
};

/// How the outcome looks.
pub(super) const fn face(outcome: Outcome) -> Face {
    let red = Style::new()
        .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)))
        .effects(Effects::BOLD);
    match outcome {
        Outcome::Failed => Face {
            key: "failed",
            letter: 'F',
            label: "failed",
            means: "outside the tolerance, or an error where none belongs",
            style: red.effects(Effects::BOLD.insert(Effects::INVERT)),
        },
        Outcome::Refused => Face {
            key: "refused",
            letter: 'R',
            label: "refused",
            means: "raised where an answer is due",
            style: red,
        },
        Outcome::Open => Face {
            key: "open",
            letter: 'o',
            label: "open",
            means: "differs where Nx leaves open what is right",
            style: AnsiColor::Cyan.on_default(),
        },
        Outcome::Changed => Face {
            key: "changed",
            letter: 'C',
            label: "changed",
            means: "differs from the reference, and from what the ledger records",
            style: red,
        },
        Outcome::Stale => Face {
            key: "stale",
            letter: 'S',
            label: "stale",
            means: "agrees with the reference now; its ledger entry must go",
            style: red,
        },
        Outcome::Blocked => Face {
            key: "blocked",
            letter: 'B',
            label: "blocked",
            means: "a lower layer already failed this case",
            style: AnsiColor::Yellow.on_default(),
        },
        Outcome::NotRun => Face {
            key: "not_run",
            letter: '-',
            label: "not run",
            means: "could not run here",
            style: AnsiColor::Yellow.on_default(),
        },
        Outcome::Diverges => Face {
            key: "diverges",
            letter: 'd',
            label: "diverges",
            means: "differs from the reference exactly as the ledger records",
            style: AnsiColor::Cyan.on_default(),
        },
        Outcome::Passed => Face {
            key: "passed",
            letter: '.',
            label: "passed",
            means: "within the tolerance",
            style: AnsiColor::Green.on_default(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_distinct_and_keys_are_serde_names() {
        for (i, outcome) in WORST_FIRST.into_iter().enumerate() {
            assert_eq!(rank(outcome), i);
            let name = serde_json::to_value(outcome).unwrap();
            assert_eq!(name, face(outcome).key);
            let letters = WORST_FIRST.map(|outcome| face(outcome).letter);
            let letters = letters.into_iter().chain([REFUSAL.letter]);
            let own = face(outcome).letter;
            assert_eq!(letters.filter(|letter| *letter == own).count(), 1);
        }
    }
}
