//! Tables without lines: columns two spaces apart, numbers to the right, indented under what they belong to.
//! Also the two ways to make text fit: cut to a length, or broken into lines. Widths are counted in
//! characters, never in bytes, and no line ends in white space.

use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Padding, Style};

/// Renders rows, each line indented; columns from `right` on are aligned to the right.
pub fn table(rows: Vec<Vec<String>>, indent: usize, right: Option<usize>) -> String {
    let mut builder = Builder::default();
    for row in rows {
        builder.push_record(row);
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    if let Some(first) = right {
        table.modify(Columns::new(first..), Alignment::right());
    }
    let pad = " ".repeat(indent);
    let text = table.to_string();
    text.lines().map(|line| format!("{pad}{}\n", line.trim_end())).collect()
}

/// One row of text cells.
pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(|c| (*c).to_string()).collect()
}

/// Runs of white space as one space; what is longer than `most` characters ends in `..`.
pub fn short(text: &str, most: usize) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= most {
        return flat;
    }
    let head: String = flat.chars().take(most.saturating_sub(2)).collect();
    format!("{}..", head.trim_end())
}

/// Text broken into lines of at most `width` characters, each indented.
pub fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let pad = " ".repeat(indent);
    let (mut out, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        let full = line.chars().count() + 1 + word.chars().count() > width.saturating_sub(indent);
        if full && !line.is_empty() {
            out.push_str(&format!("{pad}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        out.push_str(&format!("{pad}{line}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let text = table(vec![row(["a", "1"]), row(["bbb", "22"])], 2, Some(1));
        assert_eq!(text, "  a     1\n  bbb  22\n");
    }

    #[test]
    fn long_text_is_broken_or_cut() {
        assert_eq!(wrapped("one two three", 1, 9), " one two\n three\n");
        assert_eq!(short("a  long\n text", 8), "a long..");
    }
}
