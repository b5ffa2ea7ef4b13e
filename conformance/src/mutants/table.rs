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

/// An idea of a mistake, a column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Idea {
    /// Another op runs in its place.
    OpSwapped,
    /// An attribute that was given counts for nothing.
    AttributeLeftOut,
    /// Yes is no, or a word another one.
    ChoiceTurned,
    /// A number in an attribute is its neighbour.
    OffByOne,
    /// One element is twice as far off as the row allows.
    Perturbed,
    /// The last element is never written.
    LastElement,
    /// −0 is +0.
    SignOfZero,
    /// NaN is 0.
    Nan,
    /// A result's dtype is another one.
    DType,
}

impl Idea {
    /// All of them, in the order of the columns.
    const ALL: [Idea; 9] = [
        Idea::OpSwapped,
        Idea::AttributeLeftOut,
        Idea::ChoiceTurned,
        Idea::OffByOne,
        Idea::Perturbed,
        Idea::LastElement,
        Idea::SignOfZero,
        Idea::Nan,
        Idea::DType,
    ];

    /// The column's head.
    const fn name(self) -> &'static str {
        match self {
            Idea::OpSwapped => "op swapped",
            Idea::AttributeLeftOut => "attribute left out",
            Idea::ChoiceTurned => "choice turned",
            Idea::OffByOne => "off by one",
            Idea::Perturbed => "2 units off",
            Idea::LastElement => "last stale",
            Idea::SignOfZero => "−0 lost",
            Idea::Nan => "NaN swallowed",
            Idea::DType => "wrong dtype",
        }
    }
}

/// A mutant's verdict, and where it stands in the table.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// The op's name.
    pub op: &'static str,
    /// The mutant's idea.
    pub idea: Idea,
    /// What came of it.
    pub verdict: Verdict,
}

/// A line per op and a column per idea: how many were caught, how many were not (`!`), and how many
/// are equivalent (`=`).
pub fn table(all: &[Tried]) -> String {
    let met = |idea: &Idea| all.iter().any(|tried| tried.idea == *idea);
    let ideas: Vec<Idea> = Idea::ALL.into_iter().filter(met).collect();
    let mut ops: Vec<&str> = Vec::new();
    let mut cells: BTreeMap<(&str, Idea), [usize; 3]> = BTreeMap::new();
    for tried in all {
        if !ops.contains(&tried.op) {
            ops.push(tried.op);
        }
        let cell = cells.entry((tried.op, tried.idea)).or_default();
        cell[tried.verdict as usize] += 1;
    }
    let widest = ops.iter().map(|op| op.len()).max().unwrap_or(0);
    let width = |idea: &Idea| idea.name().chars().count().max(8);
    let mut text = format!("{:widest$}", "");
    for idea in &ideas {
        let _ = write!(text, "  {:>1$}", idea.name(), width(idea));
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
    let count = |verdict| all.iter().filter(|tried| tried.verdict == verdict).count();
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
        let tried = |op, idea, verdict| Tried { op, idea, verdict };
        let text = table(&[
            tried("exp", Idea::OpSwapped, Verdict::Caught),
            tried("exp", Idea::OpSwapped, Verdict::Missed),
            tried("exp", Idea::SignOfZero, Verdict::Equivalent),
            tried("iota", Idea::SignOfZero, Verdict::Equivalent),
        ]);
        let want = "      op swapped   −0 lost\n\
                    exp         1 1!        1=\n\
                    iota                    1=\n\
                    mutants: 1 caught, 1 not (!), 2 equivalent (=)\n";
        assert_eq!(text, want);
    }
}
