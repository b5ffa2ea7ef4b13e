//! DIVERGENCES.md: every difference on record, with its reason. The list is a promise to users.

use super::markdown::{GENERATED, cell, row};

/// An entry of the ledger, as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recorded {
    /// The trials it is about, `native::unary::erf::sweep::f16`.
    pub trials: String,
    /// The conditions it holds under, `device: cpu`; empty when it always holds.
    pub when: String,
    /// What happens instead of the reference's answer, `ulp(4)`.
    pub result: String,
    /// Why.
    pub why: String,
}

const INTRO: &str = "
# Divergences

Where Emily, or Nx's own backend, is known to differ from the reference. Each line is an entry of
`fixtures/divergences.toml`, and is tested at every run: a trial that starts to agree turns the run
red, and so does one that differs in another way.
";

/// The page's text: entries by name, whatever order they come in.
pub fn divergences_markdown(entries: impl IntoIterator<Item = Recorded>) -> String {
    let mut entries: Vec<Recorded> = entries.into_iter().collect();
    entries.sort();
    let mut page = format!("{GENERATED}{INTRO}\n");
    if entries.is_empty() {
        return page + "There is none.\n";
    }
    page += &row(["trials", "when", "what happens", "why"]);
    page += "|---|---|---|---|\n";
    for entry in &entries {
        let when = if entry.when.is_empty() {
            "always"
        } else {
            &entry.when
        };
        page += &row([
            format!("`{}`", cell(&entry.trials)),
            cell(when),
            cell(&entry.result),
            cell(&entry.why),
        ]);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(trials: &str, why: &str) -> Recorded {
        Recorded {
            trials: trials.to_owned(),
            when: String::new(),
            result: "ulp(4)".to_owned(),
            why: why.to_owned(),
        }
    }

    #[test]
    fn entries_come_by_name_and_keep_to_their_cells() {
        let two = [
            entry("nx::b", "two\nlines"),
            entry("native::a", "a | <script>"),
        ];
        let page = divergences_markdown(two.clone());
        assert!(
            page.ends_with(
                "| `native::a` | always | ulp(4) | a \\| &lt;script> |\n\
                 | `nx::b` | always | ulp(4) | two lines |\n"
            ),
            "{page}"
        );
        let backwards = two.into_iter().rev();
        assert_eq!(divergences_markdown(backwards), page);
    }

    #[test]
    fn an_empty_ledger_says_so() {
        assert!(divergences_markdown([]).ends_with("There is none.\n"));
    }
}
