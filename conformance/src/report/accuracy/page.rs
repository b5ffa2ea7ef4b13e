//! ACCURACY.md.

use std::collections::{BTreeMap, BTreeSet};

use emily_spec::{DType, ROWS};

use super::super::grid::in_order;
use super::super::markdown::{GENERATED, row};
use super::{Accuracy, Entry, Key};

const INTRO: &str = "
# Accuracy

The worst error that the cases measured, per op and dtype, beside what is allowed. The run turns red
where an error exceeds what is allowed; how each tolerance is derived stands in the op's row in
`conformance/spec/src/op/<family>.rs`.

- **operand** is the dtype that the cases are read at, which is their operands' (their result's where
  they have none, as `iota`). Errors are counted in the result's dtype, which may be another: `divide`
  of `u8` gives `f32`, and `equal` gives `u8` whatever it compares.
- **worst** is rounded up to a power of two, from 0.5 up, and never above what is allowed. Machines
  differ by their maths library, BLAS and threads: expect the next power on yours. Each device that was
  measured has its column; **–** is what it does not have, as f64 on a GPU.
- **unit**: `ulp` counts representable values of the result's dtype between the answer and the
  reference, for integers their difference. `accum` is eps of the dtype times the magnitude that the
  oracle gives: the sum of the absolute values that were added up, which grows with their number in a
  product, or the modulus of a complex function's value. `residual` is eps times dimension times norm,
  for decompositions. `eps` is that of the narrowest dtype on the way, times the largest slope, for
  gradients.
- **allowed**: `exact` is the same value, `bits` the same bytes, `ulp(n)` and `accum(n)` up to n units.
- **recorded** counts the trials that differ on record, in DIVERGENCES.md; their errors are not
  among the worst here. The GPU's columns of `native`, `nif` and `backend` are of 28 November 2026, those of
  `compiler` and `grad` of the 27th: what was on record there and is in DIVERGENCES.md no more is right since.
";

/// The rows of one layer on one device.
type Rows = BTreeMap<Key, Entry>;

/// What is said after the dtypes: one cell for each column.
type Cells = Vec<String>;

impl Accuracy {
    /// The page's text.
    pub fn markdown(&self) -> String {
        let mut layers: BTreeMap<&str, BTreeMap<&str, &Rows>> = BTreeMap::new();
        for ((layer, device), rows) in &self.lanes {
            layers.entry(layer).or_default().insert(device, rows);
        }
        let tables = layers
            .iter()
            .map(|(layer, devices)| format!("\n## {layer}\n\n{}", table(devices)));
        format!("{GENERATED}{INTRO}{}", tables.collect::<String>())
    }
}

/// The rows of one layer, its devices side by side, with dtypes that say the same in one row.
fn table(devices: &BTreeMap<&str, &Rows>) -> String {
    let mut table = head(devices.keys().copied());
    let keys: BTreeSet<&Key> = devices.values().flat_map(|rows| rows.keys()).collect();
    let ops = in_order(
        keys.iter().map(|(op, _, _)| op.as_str()),
        ROWS.iter().map(|row| row.name),
    );
    let dtypes = in_order(
        keys.iter().map(|(_, dtype, _)| dtype.as_str()),
        DType::ALL.into_iter().map(DType::name),
    );
    for op in ops {
        let mut said: Vec<(Cells, Vec<&str>)> = Vec::new();
        for dtype in &dtypes {
            let own = keys.iter().filter(|key| key.0 == op && key.1 == *dtype);
            for key in own {
                let cells = cells(&key.2, devices.values().map(|rows| rows.get(*key)));
                match said.iter_mut().find(|(other, _)| *other == cells) {
                    Some((_, dtypes)) => dtypes.push(dtype),
                    None => said.push((cells, vec![dtype])),
                }
            }
        }
        for (cells, dtypes) in said {
            let head = [format!("`{op}`"), dtypes.join(" ")];
            table += &row(head.into_iter().chain(cells));
        }
    }
    table
}

/// The header, with a column per device.
fn head<'a>(devices: impl Iterator<Item = &'a str> + Clone) -> String {
    let each = |what: &'static str| {
        devices
            .clone()
            .map(move |device| format!("{what} on {device}"))
    };
    let [op, operand, unit, allowed] = ["op", "operand", "unit", "allowed"].map(str::to_owned);
    let names: Vec<String> = [op, operand]
        .into_iter()
        .chain(each("worst"))
        .chain([unit, allowed])
        .chain(each("recorded"))
        .collect();
    let rule = names.iter().map(|name| match name.contains(" on ") {
        true => "--:".to_owned(),
        false => "---".to_owned(),
    });
    row(names.clone()) + &row(rule).replace(' ', "")
}

/// A row's cells, given what is said of it on each device.
fn cells<'a>(unit: &str, entries: impl Iterator<Item = Option<&'a Entry>> + Clone) -> Cells {
    let dash = || "–".to_owned();
    let worst = |entry: &Entry| entry.worst.map(|worst| worst.to_string());
    let recorded = |entry: &Entry| entry.recorded.to_string();
    let allowed: BTreeSet<&str> = entries
        .clone()
        .flatten()
        .map(|entry| entry.allowed.as_str())
        .filter(|text| !text.is_empty())
        .collect();
    let allowed: Vec<&str> = allowed.into_iter().collect();
    let allowed = match allowed.is_empty() {
        true => dash(),
        false => allowed.join(", "),
    };
    entries
        .clone()
        .map(|entry| entry.and_then(worst).unwrap_or_else(dash))
        .chain([unit.to_owned(), allowed])
        .chain(entries.map(|entry| entry.map_or_else(dash, recorded)))
        .collect()
}
