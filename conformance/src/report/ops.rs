//! OPS.md: every op, with the dtypes it takes, and how many trials and calls judge it per layer.

use std::collections::BTreeMap;

use emily_spec::{DType, Family, ROWS, Row};

use super::asked::Asked;
use super::markdown::{GENERATED, row};
use super::matrix::grouped;
use crate::gradients;
use crate::outcome::Calls;

/// One trial as the cases plan it, whether or not its layer can run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned<'a> {
    /// The layer's name.
    pub layer: &'a str,
    /// The op's name.
    pub op: &'a str,
    /// The dtype the case is read at; of an op that takes words of codes only, its result's.
    pub dtype: String,
    /// True when an entry of the ledger names this trial.
    pub recorded: bool,
}

const INTRO: &str = "
# Ops

Every op that Emily has, and how many trials judge it on each layer, by dtype. A dash is a dtype that
the op does not take, though cases may say that it refuses it; a 0 is one that it takes, and that cases
cover, but not on this layer; a **0** is one that no case covers. `f64` exists on the CPU only, behind an option. Gradients are judged in `f32`
and `f64`, of every op whose gradient in Nx is its slope; fixtures/README.md says of which it is not.

- **recorded** counts the trials that differ on record, in DIVERGENCES.md.
- **judged** counts the calls in those trials whose answers were held against a reference.
- **by type** counts those of which only the results' shapes and dtypes were: the oracle has no
  reference but the cases' own answers, and is the reference of the layers above it.
- **left out** counts those that the layer was not asked, because its language cannot say them, or to
  which it has no answer, as Erlang has none where that would be an infinity. A layer that is asked none
  of a case's calls has no trial of it, but these are counted here too.
";

/// The layer of gradients, which are judged at two dtypes, of ops that have one.
const GRAD: &str = "grad";

/// The trials of one op on one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Count {
    by_dtype: BTreeMap<String, usize>,
    recorded: usize,
    calls: Calls,
}

/// The page's text. `layers` are the layers in the order to list them.
///
/// The counts come from the cases, the ledger and `asked.json` alone, so the text is the same on every
/// machine.
pub fn ops_markdown<'a>(
    layers: &[&str],
    planned: impl IntoIterator<Item = Planned<'a>>,
    asked: &Asked,
) -> String {
    let mut counts: BTreeMap<(&str, &str), Count> = BTreeMap::new();
    for trial in planned {
        let count = counts.entry((trial.op, trial.layer)).or_default();
        *count.by_dtype.entry(trial.dtype).or_default() += 1;
        count.recorded += usize::from(trial.recorded);
    }
    let mut page = format!("{GENERATED}{INTRO}\n{}", totals(layers, &counts));
    for family in families() {
        page += &format!("\n## {family}\n\n");
        let dtypes = DType::ALL.into_iter().map(DType::name);
        let head = ["op", "layers"].into_iter().chain(dtypes);
        page += &row(head.chain(["recorded", "judged", "by type", "left out"]));
        page += &format!("|---|---|{}\n", "--:|".repeat(DType::ALL.len() + 4));
        for op in ROWS.iter().filter(|op| op.family == family) {
            page += &op_rows(op, layers, &counts, asked);
        }
    }
    page
}

/// How many cells, each an op at a dtype that it takes, a layer has trials of, out of all.
fn totals(layers: &[&str], counts: &BTreeMap<(&str, &str), Count>) -> String {
    let mut table = row(["layer", "cells covered", "of cells"]) + "|---|--:|--:|\n";
    for layer in layers {
        let cells: Vec<(&Row, DType)> = ROWS
            .iter()
            .flat_map(|op| DType::ALL.map(|dtype| (*op, dtype)))
            .filter(|(op, dtype)| takes(op, layer, *dtype))
            .collect();
        let is_covered = |(op, dtype): &&(&Row, DType)| {
            let count = counts.get(&(op.name, *layer));
            count.is_some_and(|count| count.by_dtype.contains_key(dtype.name()))
        };
        let covered = cells.iter().filter(is_covered).count();
        let [covered, all] = [covered, cells.len()].map(|n| grouped(n as u64));
        table += &row([*layer, &covered, &all]);
    }
    table
}

/// Whether the op has an answer at the dtype that the layer can be asked for.
fn takes(op: &Row, layer: &str, dtype: DType) -> bool {
    let differentiable = op.grad.is_some() && gradients::DTYPES.contains(&dtype);
    op.takes(dtype) && (layer != GRAD || differentiable)
}

/// The families, in the order of the rows.
fn families() -> Vec<Family> {
    let mut families: Vec<Family> = ROWS.iter().map(|row| row.family).collect();
    families.dedup();
    families
}

/// An op's table rows: layers with the same counts share one.
fn op_rows(
    op: &Row,
    layers: &[&str],
    counts: &BTreeMap<(&str, &str), Count>,
    asked: &Asked,
) -> String {
    let mut said: Vec<(Count, Vec<&str>)> = Vec::new();
    let has = |layer: &&&str| **layer != GRAD || op.grad.is_some();
    let is_covered = |dtype: DType| {
        let mut own = layers
            .iter()
            .filter_map(|layer| counts.get(&(op.name, *layer)));
        own.any(|count| count.by_dtype.contains_key(dtype.name()))
    };
    for layer in layers.iter().filter(has) {
        let mut count = counts.get(&(op.name, *layer)).cloned().unwrap_or_default();
        count.calls = asked.calls(layer, op.name);
        match said.iter_mut().find(|(other, _)| *other == count) {
            Some((_, layers)) => layers.push(layer),
            None => said.push((count, vec![layer])),
        }
    }
    said.into_iter()
        .map(|(count, layers)| {
            let mut cells = vec![format!("`{}`", op.name), layers.join(" ")];
            cells.extend(DType::ALL.into_iter().map(
                |dtype| match count.by_dtype.get(dtype.name()) {
                    _ if !layers.iter().any(|layer| takes(op, layer, dtype)) => "–".to_owned(),
                    Some(trials) => trials.to_string(),
                    None if is_covered(dtype) => "0".to_owned(),
                    None => "**0**".to_owned(),
                },
            ));
            cells.push(count.recorded.to_string());
            let Calls {
                judged,
                by_type,
                left_out,
            } = count.calls;
            cells.extend([judged, by_type, left_out].map(grouped));
            row(cells)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(layer: &'static str, dtype: &'static str, recorded: bool) -> Planned<'static> {
        Planned {
            layer,
            op: "round",
            dtype: dtype.to_owned(),
            recorded,
        }
    }

    #[test]
    fn layers_that_agree_share_a_row_and_holes_show() {
        let trials = [
            planned("oracle", "f32", false),
            planned("native", "f32", false),
            planned("nx", "f32", false),
            planned("nx", "f32", true),
            planned("nx", "bf16", false),
        ];
        let page = ops_markdown(
            &["oracle", "native", "nx"],
            trials.clone(),
            &Asked::default(),
        );
        // Another layer is asked at bf16, and none at f16 and f64.
        let rest = "– | – | – | – | – | – | – | **0** | 0 | 1 | **0** | – | 0 | 0 | 0 | 0 |";
        assert!(
            page.contains(&format!("| `round` | oracle native | – | {rest}\n")),
            "{page}"
        );
        let rest = "– | – | – | – | – | – | – | **0** | 1 | 2 | **0** | – | 1 | 0 | 0 | 0 |";
        assert!(
            page.contains(&format!("| `round` | nx | – | {rest}\n")),
            "{page}"
        );

        let mut backwards = trials;
        backwards.reverse();
        assert_eq!(
            ops_markdown(&["oracle", "native", "nx"], backwards, &Asked::default()),
            page
        );
    }

    #[test]
    fn a_cell_is_a_dtype_that_the_op_takes() {
        // That it refuses integers is tried, too.
        let trials = ["u8", "f16", "f32"].map(|dtype| planned("native", dtype, false));
        let page = ops_markdown(&["native", "grad"], trials, &Asked::default());
        assert!(page.contains("| `round` | native | – |"), "{page}");
        assert!(page.contains("| native | 2 |"), "{page}");
    }

    #[test]
    fn every_op_has_its_row() {
        let page = ops_markdown(&["oracle"], [], &Asked::default());
        for row in ROWS.iter() {
            assert!(
                page.contains(&format!("| `{}` | oracle |", row.name)),
                "{}",
                row.name
            );
        }
    }
}
