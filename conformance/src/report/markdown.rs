//! What the committed pages share: the line that says where they come from, and table cells.

/// The first line of a page that is written by a program.
pub(super) const GENERATED: &str =
    "<!-- Written by `cargo xtask codegen` from the cases and their results. Do not edit. -->";

/// Text that stays within its table cell and shows as it is.
pub(super) fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
        .replace('<', "&lt;")
}

/// One row of a table.
pub(super) fn row<S: AsRef<str>>(cells: impl IntoIterator<Item = S>) -> String {
    let mut line = String::from("|");
    for cell in cells {
        line.push(' ');
        line.push_str(cell.as_ref());
        line.push_str(" |");
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_keeps_to_itself() {
        assert_eq!(cell("a|b\n  c <br>"), "a\\|b c &lt;br>");
        assert_eq!(row(["a", "b"]), "| a | b |\n");
    }
}
