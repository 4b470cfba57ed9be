//! How a document is laid out: its own tables with their headings, columns and rows, as a file of
//! `sim/documents/`. In a cell, or in a line below a table, `{ROW}` stands for the claim of that name; all else
//! is text: labels and figures, which are facts. The document's sentences stay its own.
//!
//! Each name in braces is a row that some scenario claims, and each row that is claimed has a place, so
//! nothing that was claimed drops out of sight. Left out: anything but tables.

use crate::doc::{Doc, Problem, Reader};

use super::{Row, unknown};

/// A table of a document.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Above it.
    pub heading: String,
    /// Heads of its columns.
    pub columns: Vec<String>,
    /// Cells of its rows.
    pub rows: Vec<Vec<String>>,
    /// Lines below it.
    pub below: Vec<String>,
}

/// A document's layout.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The document's title.
    pub title: String,
    /// In their order.
    pub tables: Vec<Table>,
}

impl Layout {
    /// Reads a layout and holds it against the rows that are claimed of the document.
    pub fn read(file: &str, text: &str, claimed: &[&Row]) -> Result<Layout, Vec<Problem>> {
        let doc = Doc::parse(file, text, "")?;
        let mut r = Reader::new(&doc);
        let title = r.one("", "title").unwrap_or_default();
        if title.is_empty() {
            r.problem("title", "a document needs `title`");
        }
        let tables = (0..doc.count("table")).map(|i| table(&mut r, i, claimed)).collect();
        r.finish();
        let layout = Layout { title, tables };
        let placed = layout.rows();
        let mut problems = r.problems;
        for row in claimed.iter().filter(|row| !placed.contains(&row.row.as_str())) {
            let (place, key) = (row.place.clone(), "claim.row".to_string());
            let text = format!("`{}` has no place in {file}", row.row);
            problems.push(Problem { place, key, text });
        }
        if problems.is_empty() { Ok(layout) } else { Err(problems) }
    }

    /// The rows that it names, in its order.
    pub fn rows(&self) -> Vec<&str> {
        let texts = self.tables.iter().flat_map(|t| t.rows.iter().flatten().chain(&t.below));
        texts.flat_map(|text| named(text)).collect()
    }
}

fn table(r: &mut Reader<'_>, i: usize, claimed: &[&Row]) -> Table {
    let at = format!("table.{i}");
    let heading = r.one(&at, "heading").unwrap_or_default();
    let (columns, below) = (r.many(&at, "columns"), r.many(&at, "below"));
    let mut rows = Vec::new();
    for k in 0..r.doc.count(&format!("{at}.row")) {
        let row = format!("{at}.row.{k}");
        let cells = r.many(&row, "cells");
        let key = format!("{row}.cells");
        if cells.len() != columns.len() {
            let (have, want) = (cells.len(), columns.len());
            r.problem(&key, format!("{have} cells for {want} columns"));
        }
        cells.iter().for_each(|cell| check(r, &key, cell, claimed));
        rows.push(cells);
    }
    below.iter().for_each(|line| check(r, &format!("{at}.below"), line, claimed));
    Table { heading, columns, rows, below }
}

fn check(r: &mut Reader<'_>, key: &str, text: &str, claimed: &[&Row]) {
    let names = || claimed.iter().map(|row| row.row.as_str());
    for name in named(text).filter(|name| !names().any(|known| known == *name)) {
        r.problem(key, unknown("row", name, names()));
    }
}

/// The rows that a text names in braces.
pub fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

/// A text with whatever `show` makes of each row in the place of its name.
pub fn filled(text: &str, show: impl Fn(&str) -> String) -> String {
    let mut pieces = text.split('{');
    let mut out = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        match piece.split_once('}') {
            Some((name, rest)) => out.push_str(&format!("{}{rest}", show(name))),
            None => out.push_str(&format!("{{{piece}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_name_rows() {
        let text = "log {10 log}, {10 data} and {open";
        assert_eq!(named(text).collect::<Vec<_>>(), ["10 log", "10 data"]);
        assert_eq!(filled(text, |name| format!("<{name}>")), "log <10 log>, <10 data> and {open");
    }

    #[test]
    fn a_layout_names_rows_that_there_are_and_has_as_many_cells_as_columns() {
        let text = "title = \"T\"\n[[table]]\nheading = \"H\"\ncolumns = [\"a\", \"b\"]\n\
                    [[table.row]]\ncells = [\"x\"]\n[[table.row]]\ncells = [\"x\", \"{1 nobody}\"]\n";
        let problems = Layout::read("d.toml", text, &[]).unwrap_err();
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts[0], "d.toml:6:9: table.0.row.0.cells: 1 cells for 2 columns");
        assert_eq!(texts[1], "d.toml:8:9: table.0.row.1.cells: no row `1 nobody`");
        assert_eq!(texts.len(), 2);
        assert!(
            Layout::read("d.toml", "titel = \"T\"\n", &[]).unwrap_err()[0].text.contains("title")
        );
    }
}
