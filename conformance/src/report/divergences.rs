//! DIVERGENCES.md: every difference on record, with its reason. The list is a promise to users.

use std::collections::BTreeMap;

use emily_spec::{DType, ROWS};

use super::grid::in_order;
use super::markdown::{GENERATED, cell};
use crate::ledger::Cause;

/// An entry of the ledger, as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recorded {
    /// The trials it is about, `native::unary::erf::sweep::f16`, also with stars.
    pub trials: Vec<String>,
    /// The conditions it holds under, `device: cpu`; empty when it always holds.
    pub when: String,
    /// What happens instead of the reference's answer, `ulp(4)`.
    pub result: String,
    /// Why.
    pub why: String,
    /// Whose doing it is.
    pub cause: Cause,
}

const INTRO: &str = "
# Divergences

Every known difference, tested at every run: a trial that starts to agree with the reference turns
the run red, and so does one that differs in another way. The records are `fixtures/divergences.toml`.
";

const EMILY: &str = "
## Where Emily differs from what Nx says

";

const IN_NX: &str = "
## What Nx does before any backend sees it

On every backend alike:

";

/// What Nx does to a whole function, which no case is. ExUnit holds it (`compiler_test.exs`).
const TRACED: &str = "\
- `broadcast` of a `broadcast`: under defn Nx makes one of two, and takes axes of length 1 for others than the \
inner one stretched: f32[1,3] to {3,3} to {2,3,3} is wrong, and other shapes raise
- `slice` of a `slice`: under defn Nx adds the starts of two up before the outer one is clamped to what the \
inner one left: `y |> Nx.slice([2], [1]) |> Nx.slice([i], [1])` with `i` a tensor of 1 is element 3, not 2
- `add` of a constant 0.0: under defn Nx makes the other operand of it, so that -0.0 stays; the sum is 0.0
";

const BINARY_BACKEND: &str = "
## What changes for somebody coming from Nx.BinaryBackend

`Nx.BinaryBackend` runs the same cases, as an independent referee of what Nx means. Where its way of
computing shows, Emily gives the reference's answer, and results change:

";

/// What no case can say, as it is about many calls, or about what the contract leaves open.
const ELSEWHERE: &str = "
The documentation of `Emily.Backend` names what else differs, under *Where answers are not those of
`Nx.BinaryBackend`*: signs in decompositions, and an infinity in one of 128 of `Nx.Random.normal`'s draws
in `bf16`. ExUnit holds it (`factors_test.exs`, `random_test.exs`).
";

const LIST: &str = "
## The records, by reason
";

/// The records with one reason.
pub(super) type Group<'a> = (&'a str, Vec<&'a Recorded>);

/// The page's text, whatever order the entries come in.
pub fn divergences_markdown(entries: impl IntoIterator<Item = Recorded>) -> String {
    let mut entries: Vec<Recorded> = entries.into_iter().collect();
    entries.sort();
    let [emily, before] = [Cause::Emily, Cause::Nx].map(|cause| by_cause(&entries, cause));
    let nx = by_reason(entries.iter().filter(|entry| entry.is_about_nx()));
    let mut page = format!("{GENERATED}{INTRO}{EMILY}");
    page += &summary(&emily, "Nowhere that is known, on any layer.\n");
    if !before.is_empty() {
        page += IN_NX;
        page += &summary(&before, "");
        page += TRACED;
    }
    if !nx.is_empty() {
        page += BINARY_BACKEND;
        page += &summary(&nx, "");
        page += ELSEWHERE;
    }
    if !entries.is_empty() {
        page += LIST;
        page.extend(emily.iter().chain(&before).chain(&nx).map(folded));
    }
    page
}

/// The differences on a layer of Emily's that are somebody's doing, by reason.
pub(super) fn by_cause(entries: &[Recorded], cause: Cause) -> Vec<Group<'_>> {
    let own = |entry: &&Recorded| entry.cause == cause && !entry.is_about_nx();
    by_reason(entries.iter().filter(own))
}

fn by_reason<'a>(entries: impl Iterator<Item = &'a Recorded>) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<&str, Vec<&Recorded>> = BTreeMap::new();
    for entry in entries {
        groups.entry(&entry.why).or_default().push(entry);
    }
    groups.into_iter().collect()
}

/// One line per reason, with the ops and dtypes it is about.
pub(super) fn summary(groups: &[Group<'_>], none: &str) -> String {
    if groups.is_empty() {
        return none.to_owned();
    }
    let line = |(why, entries): &Group<'_>| {
        let part = |index: usize| {
            let trials = entries.iter().flat_map(|entry| &entry.trials);
            trials.filter_map(move |trial| trial.split("::").nth(index))
        };
        let ops = in_order(part(2), ROWS.iter().map(|row| row.name));
        let dtypes = in_order(part(4), DType::ALL.into_iter().map(DType::name));
        let ops: Vec<String> = ops.iter().map(|op| format!("`{op}`")).collect();
        let dtypes: Vec<&str> = dtypes.into_iter().filter(|dtype| *dtype != "*").collect();
        let dtypes = match dtypes.is_empty() {
            true => String::new(),
            false => format!(" of {}", dtypes.join(" ")),
        };
        format!("- {}{dtypes}: {}\n", ops.join(" "), cell(why))
    };
    groups.iter().map(line).collect()
}

/// The records of one reason: what happens is seen, which trials on a click.
fn folded((why, entries): &Group<'_>) -> String {
    let mut text = format!("\n### {}\n", cell(why));
    for entry in entries {
        let when = match entry.when.as_str() {
            "" => String::new(),
            when => format!(" ({})", cell(when)),
        };
        let count = match entry.trials.len() {
            1 => "1 trial".to_owned(),
            many => format!("{many} trials"),
        };
        text += &format!(
            "\n<details><summary>{}{when}: {count}</summary>\n\n",
            cell(&entry.result)
        );
        for trial in &entry.trials {
            text += &format!("- `{}`\n", cell(trial));
        }
        text += "\n</details>\n";
    }
    text
}

impl Recorded {
    /// Whether one of its trials is of this op.
    pub(super) fn is_about(&self, op: &str) -> bool {
        self.trials
            .iter()
            .any(|trial| trial.split("::").nth(2) == Some(op))
    }

    /// Whether it is about `Nx.BinaryBackend` alone.
    fn is_about_nx(&self) -> bool {
        self.trials.iter().all(|trial| trial.starts_with("nx::"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(trials: &[&str], result: &str, why: &str) -> Recorded {
        Recorded {
            trials: trials.iter().map(|&trial| trial.to_owned()).collect(),
            when: String::new(),
            result: result.to_owned(),
            why: why.to_owned(),
            cause: Cause::Emily,
        }
    }

    #[test]
    fn the_reader_s_questions_come_in_order() {
        let entries = [
            entry(&["nx::binary::pow::b::f16"], "f16[1] 1", "it | is <b>"),
            entry(
                &["nx::unary::exp::a::*", "nx::binary::add::a::bf16"],
                "within ulp(1)",
                "it | is <b>",
            ),
            entry(&["native::unary::round::s::f32"], "within ulp(9)", "MLX's"),
        ];
        let page = divergences_markdown(entries.clone());
        let places: Vec<usize> = [
            "## Where Emily differs",
            "- `round` of f32: MLX's\n",
            "coming from Nx.BinaryBackend\n",
            "- `exp` `add` `pow` of f16 bf16: it \\| is &lt;b>\n",
            "### MLX's\n\n<details><summary>within ulp(9): 1 trial</summary>\n\n- `native::unary::round",
            "### it \\| is &lt;b>\n",
            "<details><summary>f16[1] 1: 1 trial</summary>\n",
            "<details><summary>within ulp(1): 2 trials</summary>\n\n- `nx::unary::exp::a::*`\n",
        ]
        .map(|text| page.find(text).unwrap_or_else(|| panic!("{text} in\n{page}")))
        .into();
        assert!(places.is_sorted(), "{places:?} in\n{page}");
        let backwards = entries.into_iter().rev();
        assert_eq!(divergences_markdown(backwards), page);
    }

    #[test]
    fn an_empty_ledger_says_so() {
        let page = divergences_markdown([]);
        assert!(
            page.ends_with("Nowhere that is known, on any layer.\n"),
            "{page}"
        );
    }
}
