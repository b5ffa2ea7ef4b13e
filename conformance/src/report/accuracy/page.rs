//! ACCURACY.md.

use std::collections::BTreeMap;

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
  differ by their maths library, BLAS and threads: expect the next power on yours.
- **unit**: `ulp` counts representable values of the result's dtype between the answer and the
  reference, for integers their difference. `accum` is eps of the dtype times the magnitude that the
  oracle gives: the sum of the absolute values that were added up, which grows with their number in a
  product, or the modulus of a complex function's value. `residual` is eps times dimension times norm,
  for decompositions. `eps` is that of the narrowest dtype on the way, times the largest slope, for
  gradients.
- **allowed**: `exact` is the same value, `bits` the same bytes, `ulp(n)` and `accum(n)` up to n units.
- **recorded** counts the trials that differ on record, in DIVERGENCES.md; their errors are not
  among the worst here.
";

const HEAD: &str = "\
| op | operand | worst | unit | allowed | recorded |
|---|---|--:|---|---|--:|
";

impl Accuracy {
    /// The page's text.
    pub fn markdown(&self) -> String {
        let lane = |((layer, device), rows): (&super::Lane, _)| {
            format!("\n## {layer} on {device}\n\n{}", table(rows))
        };
        let lanes: Vec<String> = self.lanes.iter().map(lane).collect();
        format!("{GENERATED}{INTRO}{}", lanes.concat())
    }
}

/// The rows of one lane, with dtypes that say the same in one row.
fn table(rows: &BTreeMap<Key, Entry>) -> String {
    let mut table = String::from(HEAD);
    let ops = in_order(
        rows.keys().map(|(op, _, _)| op.as_str()),
        ROWS.iter().map(|row| row.name),
    );
    let dtypes = in_order(
        rows.keys().map(|(_, dtype, _)| dtype.as_str()),
        DType::ALL.into_iter().map(DType::name),
    );
    for op in ops {
        // What is said after the dtypes, and the dtypes it is said of.
        let mut said: Vec<([String; 4], Vec<&str>)> = Vec::new();
        for dtype in &dtypes {
            let own = rows
                .iter()
                .filter(|(key, _)| key.0 == op && key.1 == *dtype);
            for ((_, _, unit), entry) in own {
                let cells = entry.cells(unit);
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

impl Entry {
    /// The table cells after the dtypes.
    fn cells(&self, unit: &str) -> [String; 4] {
        let or_dash = |text: String| {
            if text.is_empty() {
                "–".to_owned()
            } else {
                text
            }
        };
        [
            or_dash(
                self.worst
                    .map(|worst| worst.to_string())
                    .unwrap_or_default(),
            ),
            unit.to_owned(),
            or_dash(self.allowed.clone()),
            self.recorded.to_string(),
        ]
    }
}
