//! The report for the terminal: a matrix per layer, then the totals, within 100 columns.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use anstyle::Style;

use super::face::{REFUSAL, WORST_FIRST, face};
use super::grid::{Tally, absent_trials, cells, dtypes, lane, ops, ran_on, unasked};
use crate::outcome::{Calls, LayerState, Outcome, Report};

const BOLD: Style = Style::new().bold();

/// Prints the matrix of every layer that ran, the totals per layer, and for each layer that did
/// not run why, and the command that would enable it.
///
/// Colours appear where standard output is a terminal and `NO_COLOR` is unset.
pub fn print_matrix(report: &Report) {
    anstream::print!("{}", text(report));
}

/// What [`print_matrix`] prints, with colours.
fn text(report: &Report) -> String {
    let mut out = String::new();
    put(&mut out, report).expect("writing to a string cannot fail");
    out
}

fn put(out: &mut String, report: &Report) -> fmt::Result {
    for layer in &report.layers {
        put_layer(out, report, layer)?;
    }
    put_legend(out, report)?;
    put_totals(out, report)?;
    put_unjudged(out, report)?;
    put_absent(out, report)?;
    put_verdict(out, report)
}

/// One layer's matrix; nothing when it has no trials.
fn put_layer(out: &mut String, report: &Report, layer: &LayerState) -> fmt::Result {
    let cells = cells(report, layer);
    if cells.is_empty() {
        return Ok(());
    }
    let (ops, dtypes) = (ops(&report.trials), dtypes(&report.trials));
    let wide = ops.iter().map(|op| op.len()).max().unwrap_or(0).max(16);
    write!(out, "{BOLD}{:wide$}{BOLD:#}", lane(layer))?;
    for dtype in &dtypes {
        write!(out, "{dtype:>5}")?;
    }
    writeln!(out)?;
    for op in ops {
        if !dtypes.iter().any(|dtype| cells.contains_key(&(op, *dtype))) {
            continue;
        }
        let mut line = format!("{op:wide$}");
        for dtype in &dtypes {
            match cells.get(&(op, *dtype)) {
                Some(cell) => {
                    let face = cell.face();
                    let pad = dtype.len().max(4);
                    write!(
                        line,
                        "{:pad$}{}{}{:#}",
                        "", face.style, face.letter, face.style
                    )?;
                }
                None => write!(line, "{:pad$}", "", pad = dtype.len().max(4) + 1)?,
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)
}

/// The letters in use.
fn put_legend(out: &mut String, report: &Report) -> fmt::Result {
    let letters: BTreeSet<char> = report
        .layers
        .iter()
        .flat_map(|layer| cells(report, layer).into_values())
        .map(|cell| cell.face().letter)
        .collect();
    let faces = WORST_FIRST.map(face).into_iter().chain([REFUSAL]);
    for face in faces.filter(|face| letters.contains(&face.letter)) {
        writeln!(
            out,
            "{}{}{:#} {}: {}",
            face.style, face.letter, face.style, face.label, face.means
        )?;
    }
    match letters.is_empty() {
        true => Ok(()),
        false => writeln!(out),
    }
}

/// A line per layer that has trials, and their sum: counts of the outcomes in use, then sizes.
fn put_totals(out: &mut String, report: &Report) -> fmt::Result {
    let total = Tally::of(report.trials.iter());
    // Passed first, then from the worst down.
    let mut shown: Vec<usize> = (0..WORST_FIRST.len())
        .filter(|i| total.outcomes[*i] > 0 && WORST_FIRST[*i] != Outcome::Passed)
        .collect();
    shown.insert(0, WORST_FIRST.len() - 1);

    let wide = report.layers.iter().map(|layer| lane(layer).len());
    let wide = wide.max().unwrap_or(0).max(10);
    write!(out, "{BOLD}{:wide$}{:>9}", "layer", "trials")?;
    for i in &shown {
        write!(out, "{:>9}", face(WORST_FIRST[*i]).label)?;
    }
    writeln!(out, "{:>16}{BOLD:#}", "values compared")?;
    let mut line = |name: &str, tally: &Tally| -> fmt::Result {
        write!(out, "{name:wide$}{:>9}", grouped(tally.trials))?;
        for i in &shown {
            let (count, style) = (tally.outcomes[*i], face(WORST_FIRST[*i]).style);
            let count = if count == 0 {
                String::new()
            } else {
                grouped(count)
            };
            write!(out, "{style}{count:>9}{style:#}")?;
        }
        writeln!(out, "{:>16}", grouped(tally.checked))
    };
    for layer in &report.layers {
        let own = report.trials.iter().filter(|trial| ran_on(trial, layer));
        let tally = Tally::of(own);
        if tally.trials > 0 {
            line(&lane(layer), &tally)?;
        }
    }
    line("all", &total)
}

/// For each layer that has some, the calls that were not judged by their answers.
fn put_unjudged(out: &mut String, report: &Report) -> fmt::Result {
    for layer in &report.layers {
        let own = report.trials.iter().filter(|trial| ran_on(trial, layer));
        let Calls {
            by_type,
            mut left_out,
            ..
        } = Tally::of(own).calls;
        left_out += unasked(report, layer);
        for (count, how) in [(by_type, "judged by type alone"), (left_out, "left out")] {
            if count > 0 {
                writeln!(out, "{}: {} calls {how}", lane(layer), grouped(count))?;
            }
        }
    }
    Ok(())
}

/// Each layer that did not run, why, and what would enable it.
fn put_absent(out: &mut String, report: &Report) -> fmt::Result {
    for layer in report.layers.iter().filter(|layer| !layer.ran) {
        let style = face(Outcome::NotRun).style;
        let reason = layer.reason.as_deref().unwrap_or("no reason given");
        let trials = grouped(absent_trials(report, layer));
        writeln!(
            out,
            "\n{style}{} did not run{style:#} ({trials} trials)\n  {reason}",
            lane(layer)
        )?;
        if let Some(remedy) = &layer.remedy {
            writeln!(out, "  to enable it: {remedy}")?;
        }
    }
    Ok(())
}

/// The last line: what a reader in a hurry needs.
fn put_verdict(out: &mut String, report: &Report) -> fmt::Result {
    let total = Tally::of(report.trials.iter());
    let unasked: u64 = report
        .layers
        .iter()
        .map(|layer| unasked(report, layer))
        .sum();
    let red: u64 = WORST_FIRST
        .into_iter()
        .zip(total.outcomes)
        .filter_map(|(outcome, count)| outcome.is_red().then_some(count))
        .sum();
    let verdict = if red > 0 {
        let style = face(Outcome::Failed).style;
        format!("{style}{} red{style:#}", grouped(red))
    } else if total.trials == 0 {
        "nothing ran".to_owned()
    } else {
        let style = face(Outcome::Passed).style;
        format!("{style}green{style:#}")
    };
    writeln!(
        out,
        "\n{verdict}: {} trials, {} values compared, {} calls by type alone, {} left out, {:.1} s",
        grouped(total.trials),
        grouped(total.checked),
        grouped(total.calls.by_type),
        grouped(total.calls.left_out + unasked),
        report.summary.seconds,
    )
}

/// A count with commas between groups of three digits.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use anstream::adapter::strip_str;

    #[test]
    fn counts_are_grouped() {
        for (count, want) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (123456, "123,456"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(grouped(count), want);
        }
    }

    #[test]
    fn each_letter_in_use_is_explained() {
        let mut refusal = sample::trial("native", "add", "u8", Outcome::Passed);
        refusal.refusals = 1;
        let passed = sample::trial("native", "add", "f32", Outcome::Passed);
        let report = sample::report_of([refusal, passed]);
        let plain = strip_str(&text(&report)).to_string();
        assert_eq!(
            plain,
            "native             u8  f32\n\
             add                 e    .\n\
             \n\
             . passed: within the tolerance\n\
             e error: refuses what it has to; no answer was asked for\n\
             \n\
             layer        trials   passed values compared\n\
             native            2        2              20\n\
             all               2        2              20\n\
             \n\
             green: 2 trials, 20 values compared, 0 calls by type alone, 0 left out, 1.5 s\n"
        );
    }

    #[test]
    fn lines_fit_a_hundred_columns_and_absence_is_explained() {
        let plain = strip_str(&text(&sample::report())).to_string();
        for line in plain.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        assert!(
            plain.contains("backend did not run (120 trials)\n  no Nx"),
            "{plain}"
        );
        assert!(
            plain.contains("to enable it: cargo xtask doctor"),
            "{plain}"
        );
        let foreign = [Outcome::Refused, Outcome::Open];
        for outcome in WORST_FIRST.into_iter().filter(|o| !foreign.contains(o)) {
            assert!(plain.contains(face(outcome).label), "{plain}");
        }
    }
}
