//! A bar for each figure's ratio, on a scale on which half and twice are as far from 1.

use std::fmt::Write as _;

use super::figure::Row;

const LINE: f64 = 18.0;
const NAMES: f64 = 430.0;
const BARS: f64 = 400.0;
/// The scale reaches from a 64th to 64 times.
const OCTAVES: f64 = 6.0;

/// The picture, as SVG.
pub(super) fn svg(rows: &[Row]) -> String {
    let height = LINE * (rows.len() as f64 + 2.0);
    let width = NAMES + BARS + 60.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let mut put = |line: std::fmt::Arguments<'_>| {
        // A String takes any text.
        let _ = svg.write_fmt(format_args!("{line}\n"));
    };
    for octave in [-6, -4, -2, 0, 2, 4, 6] {
        let at = place(2f64.powi(octave));
        let label = if octave < 0 {
            format!("1/{}", 1 << -octave)
        } else {
            (1 << octave).to_string()
        };
        let colour = if octave == 0 { "#444" } else { "#ddd" };
        put(format_args!(
            "<line x1=\"{at}\" x2=\"{at}\" y1=\"{LINE}\" y2=\"{height}\" stroke=\"{colour}\"/>\
             <text x=\"{at}\" y=\"12\" text-anchor=\"middle\">{label}</text>"
        ));
    }
    for (line, row) in rows.iter().enumerate() {
        let top = LINE * (line as f64 + 1.5);
        let (one, end) = (place(1.0), place(row.ratio));
        let colour = if row.is_ok() { "#2a7f62" } else { "#b3472f" };
        let base = top + LINE * 0.6;
        put(format_args!(
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>",
            NAMES - 8.0,
            escaped(&row.name),
            one.min(end),
            top + 2.0,
            (one - end).abs().max(1.0),
            LINE * 0.6,
        ));
        if let Some(bar) = row.bar {
            let at = place(bar);
            put(format_args!(
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top}\" y2=\"{}\" stroke=\"#111\" stroke-width=\"2\"/>",
                top + LINE * 0.85,
            ));
        }
    }
    svg + "</svg>\n"
}

fn place(ratio: f64) -> f64 {
    let octaves = ratio.log2().clamp(-OCTAVES, OCTAVES);
    NAMES + BARS * (octaves + OCTAVES) / (2.0 * OCTAVES)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figure::Unit;

    #[test]
    fn a_figure_beyond_its_bar_is_red_and_its_name_is_text() {
        let rows = [
            Row::new("a < b & c", Unit::Ns, 1.0, 2.0, 1.0),
            Row::new("slow", Unit::Ns, 500.0, 1.0, 1.0),
        ];
        let svg = svg(&rows);
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("#2a7f62"));
        assert_eq!(svg.matches("#b3472f").count(), 1);
        // What is off the scale ends at its edge.
        assert_eq!(place(500.0), NAMES + BARS);
    }
}
