//! The page of a foreign backend: what it answers, op by dtype, in counts of trials.

use std::collections::BTreeMap;

use super::grid::{dtypes, ops};
use super::markdown::{cell, row};
use super::matrix::grouped;
use crate::layer::Peer;
use crate::outcome::{Outcome, Report, TrialResult};

const GENERATED: &str = "<!-- Written by `cargo xtask conformance --nx-backend`. Do not edit. -->";

const LEGEND: &str = "
A trial is one case at one dtype: one call, or a sweep of many. Its dtype is that of the operands.

- **right** (✓): every answer is within the operation's tolerance of the case's own answer, or of the
  oracle's.
- **wrong** (**W**): at least one answer is not, or ended the VM. Nx says nothing of the precision of
  elementary functions (`sqrt`, `sinh`, `sigmoid`, `erf`): the tolerances are those that Emily is held to,
  and what is beyond by a rounding counts here as well.
- **refused** (R): it raises where an answer is due, and never answers wrongly.
- **open** (o): it differs where Nx leaves open what is right: it answers where Emily's contract has an
  error, or Nx's documentation leaves the result to the backend (`fixtures/peers/open.toml` has the list,
  with reasons). Not counted against it; neither are the sign of a zero, the parts of a complex number
  that is not finite, and the words of an exception.
- **calls** are those in the trials that are not open, and **not right** those of them with a wrong answer
  or an exception: a trial of many calls is wrong for one of them.

A number is how many of the cell's trials are so; the others are right. An empty cell was not asked: the
operation does not take the dtype, or Nx cannot say the calls.
";

const COUNTS: [&str; 7] = [
    "trials",
    "right",
    "wrong",
    "refused",
    "open",
    "calls",
    "not right",
];

/// How trials ended, as a reader of the page asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    right: u64,
    wrong: u64,
    refused: u64,
    open: u64,
    /// The calls judged in them, and those that went wrong, by an answer or an exception.
    calls: [u64; 2],
}

impl Count {
    fn of<'a>(trials: impl IntoIterator<Item = &'a TrialResult>) -> Count {
        let mut count = Count::default();
        for trial in trials {
            if trial.outcome != Outcome::Open {
                count.calls[0] += trial.calls.judged;
                count.calls[1] += trial.failed;
            }
            match trial.outcome {
                Outcome::Passed => count.right += 1,
                // That a difference is on record makes nothing right.
                Outcome::Failed | Outcome::Changed | Outcome::Stale | Outcome::Diverges => {
                    count.wrong += 1;
                }
                Outcome::Refused => count.refused += 1,
                Outcome::Open => count.open += 1,
                // The oracle is at fault, or nothing was asked.
                Outcome::Blocked | Outcome::NotRun => {}
            }
        }
        count
    }

    fn trials(self) -> u64 {
        self.right + self.wrong + self.refused + self.open
    }

    /// `✓`, or what there is beside right: `**W2** R1`.
    fn face(self) -> String {
        let Count {
            wrong,
            refused,
            open,
            ..
        } = self;
        let parts = [
            (wrong > 0).then(|| format!("**W{wrong}**")),
            (refused > 0).then(|| format!("R{refused}")),
            (open > 0).then(|| format!("o{open}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        match self.trials() {
            0 => String::new(),
            _ if parts.is_empty() => "✓".to_owned(),
            _ => parts.join(" "),
        }
    }

    fn cells(self) -> [String; 7] {
        let Count {
            right,
            wrong,
            refused,
            open,
            calls: [calls, failed],
        } = self;
        [self.trials(), right, wrong, refused, open, calls, failed].map(grouped)
    }
}

/// The page's text, with today's date. The rest is the same for the same results.
pub fn peer_markdown(report: &Report, peer: &Peer, note: Option<&str>) -> String {
    page(report, peer, note, &super::today())
}

fn page(report: &Report, peer: &Peer, note: Option<&str>, date: &str) -> String {
    let of_peer = |trial: &&TrialResult| trial.layer == peer.name;
    let trials: Vec<TrialResult> = report.trials.iter().filter(of_peer).cloned().collect();
    let versions = report.versions.iter();
    let versions: Vec<String> = versions
        .map(|(name, text)| format!("{name} {text}"))
        .collect();
    let mut page = format!("{GENERATED}\n\n# {}\n\n", peer.name);
    page += &format!(
        "`{}`, judged on {date} by the cases that judge Emily.\n\n",
        peer.term
    );
    page += &format!("Ran on {}", versions.join(", "));
    page += &note.map_or_else(String::new, |note| format!("; {note}"));
    page += ".\n\n";
    page += &table(&COUNTS, [Count::of(&trials).cells().to_vec()]);
    page += LEGEND;
    page += &matrix(&trials);
    page += &list("Wrong", &trials, |outcome| {
        matches!(
            outcome,
            Outcome::Failed | Outcome::Changed | Outcome::Stale | Outcome::Diverges
        )
    });
    page += &list("Refused", &trials, |outcome| outcome == Outcome::Refused);
    page += &list("Open", &trials, |outcome| outcome == Outcome::Open);
    page
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows: Vec<String> = rows.into_iter().map(row).collect();
    format!(
        "{}|{}\n{}",
        row(head),
        "--:|".repeat(head.len()),
        rows.concat()
    )
}

fn matrix(trials: &[TrialResult]) -> String {
    let dtypes = dtypes(trials);
    let mut head = vec!["op"];
    head.extend(&dtypes);
    head.extend(COUNTS);
    let rows = ops(trials).into_iter().map(|op| {
        let own = || trials.iter().filter(move |trial| trial.op == op);
        let mut cells = vec![format!("`{op}`")];
        let at = |dtype: &&str| Count::of(own().filter(|trial| trial.dtype == **dtype)).face();
        cells.extend(dtypes.iter().map(at));
        cells.extend(Count::of(own()).cells());
        cells
    });
    format!("\n## Operations\n\n{}", table(&head, rows))
}

/// The cases of such trials, op by op, with their dtypes.
fn list(title: &str, trials: &[TrialResult], is: impl Fn(Outcome) -> bool) -> String {
    let mut cases: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| is(trial.outcome)) {
        let dtypes = cases.entry((&trial.op, &trial.case)).or_default();
        dtypes.push(&trial.dtype);
    }
    if cases.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {title}\n\n");
    for op in ops(trials) {
        let own = cases.iter().filter(|((of, _), _)| *of == op);
        let own: Vec<String> = own
            .map(|((_, case), dtypes)| format!("{} ({})", cell(case), dtypes.join(" ")))
            .collect();
        if !own.is_empty() {
            text += &format!("- `{op}`: {}\n", own.join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn report() -> Report {
        use Outcome::*;
        let trials = [
            ("add", "f32", Passed),
            ("add", "u64", Failed),
            ("add", "u64", Diverges),
            ("add", "u64", Passed),
            ("add", "f16", Refused),
            ("quotient", "s8", Open),
        ];
        let mut trials: Vec<_> = trials
            .iter()
            .map(|(op, dtype, outcome)| sample::trial("My.Backend", op, dtype, *outcome))
            .collect();
        trials.push(sample::trial("oracle", "add", "s32", Failed));
        sample::report_of(trials)
    }

    #[test]
    fn a_page_counts_trials_and_names_the_cases() {
        let peer = Peer::new("{My.Backend, []}", Vec::new()).unwrap();
        let page = page(&report(), &peer, Some("a CPU"), "2026-01-31");
        for text in [
            "# My.Backend\n",
            "`{My.Backend, []}`, judged on 2026-01-31",
            "Ran on mlx 0.32.2; a CPU.\n",
            "| 6 | 2 | 2 | 1 | 1 | 5 | 2 |\n",
            "| op | u64 | s8 | f16 | f32 | trials |",
            "| `add` | **W2** |  | R1 | ✓ | 5 | 2 | 2 | 1 | 0 | 5 | 2 |\n",
            "| `quotient` |  | o1 |  |  | 1 | 0 | 0 | 0 | 1 | 0 | 0 |\n",
            "## Wrong\n\n- `add`: case (u64 u64)\n",
            "## Refused\n\n- `add`: case (f16)\n",
            "## Open\n\n- `quotient`: case (s8)\n",
        ] {
            assert!(page.contains(text), "{text}\nin\n{page}");
        }
    }
}
