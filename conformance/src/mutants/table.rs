//! The table op × mutant.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What came of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A case told it from the oracle.
    Caught,
    /// No case did.
    Missed,
    /// The row says that it changes nothing.
    Equivalent,
}

/// A mutant's verdict, and where it stands in the table.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// The op's name.
    pub op: &'static str,
    /// The mutant's idea, one of the columns.
    pub idea: &'static str,
    /// What came of it.
    pub verdict: Verdict,
}

/// The columns.
const IDEAS: [&str; 9] = [
    "op swapped",
    "attribute left out",
    "choice turned",
    "off by one",
    "2 units off",
    "last stale",
    "−0 lost",
    "NaN swallowed",
    "wrong dtype",
];

/// A line per op and a column per idea: how many were caught, how many were not (`!`), and how many
/// are equivalent (`=`).
pub fn table(all: &[Judged]) -> String {
    let met = |idea: &&str| all.iter().any(|judged| judged.idea == *idea);
    let ideas: Vec<&str> = IDEAS.into_iter().filter(met).collect();
    let mut ops: Vec<&str> = Vec::new();
    let mut cells: BTreeMap<(&str, &str), [usize; 3]> = BTreeMap::new();
    for judged in all {
        if !ops.contains(&judged.op) {
            ops.push(judged.op);
        }
        let cell = cells.entry((judged.op, judged.idea)).or_default();
        cell[judged.verdict as usize] += 1;
    }
    let widest = ops.iter().map(|op| op.len()).max().unwrap_or(0);
    let width = |idea: &str| idea.chars().count().max(8);
    let mut text = format!("{:widest$}", "");
    for idea in &ideas {
        let _ = write!(text, "  {idea:>0$}", width(idea));
    }
    text.push('\n');
    for op in &ops {
        let _ = write!(text, "{op:widest$}");
        for idea in &ideas {
            let cell = cells.get(&(*op, *idea)).map(show).unwrap_or_default();
            let _ = write!(text, "  {cell:>0$}", width(idea));
        }
        text.push('\n');
    }
    let count = |verdict| {
        all.iter()
            .filter(|judged| judged.verdict == verdict)
            .count()
    };
    let _ = writeln!(
        text,
        "mutants: {} caught, {} not (!), {} equivalent (=)",
        count(Verdict::Caught),
        count(Verdict::Missed),
        count(Verdict::Equivalent)
    );
    text
}

fn show(cell: &[usize; 3]) -> String {
    let marks = ["", "!", "="];
    let parts = cell.iter().zip(marks).filter(|(count, _)| **count > 0);
    let parts: Vec<String> = parts
        .map(|(count, mark)| format!("{count}{mark}"))
        .collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_is_in_the_table() {
        let judged = |op, idea, verdict| Judged { op, idea, verdict };
        let text = table(&[
            judged("exp", "op swapped", Verdict::Caught),
            judged("exp", "op swapped", Verdict::Missed),
            judged("exp", "−0 lost", Verdict::Equivalent),
            judged("iota", "−0 lost", Verdict::Equivalent),
        ]);
        let want = "      op swapped   −0 lost\n\
                    exp         1 1!        1=\n\
                    iota                    1=\n\
                    mutants: 1 caught, 1 not (!), 2 equivalent (=)\n";
        assert_eq!(text, want);
    }
}
