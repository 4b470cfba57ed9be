//! A study's file becomes a study. All its problems are reported at once, each with its place, as those of a
//! scenario are; names that are none get the nearest one. Whether the values of its cells are allowed the
//! scenario says, when the cells are made.
//!
//! `[measures]` keeps the order in which it is written. A scenario is named by its word: no file can pull in
//! another by path.

use std::ops::Range;

use host::settings::{Text, Word, nearest};
use host::unit::{parse_duration, parse_size};

use super::column::Column;
use super::design::{CELLS_MAX, Design, Param};
use super::{Constraint, Map, Recommend, Study};
use crate::check::Unit;
use crate::doc::{Doc, Problem, Reader};
use crate::registry::Registry;
use crate::scenario::Compare;

host::settings! {
    /// The head of a study.
    pub struct Head {
        /// One line.
        title: Text = "";
        /// What is asked and why.
        about: Text = "";
        /// The scenario that every cell begins with, by its word.
        scenario: Text = "";
        /// Every cell runs these seeds: A..B, half-open.
        seeds: Text = "0..20";
        /// Whether `bless` runs it; one that takes long is run by `study NAME --bless`.
        blessed: Word = "false", "true|false";
    }
}

host::settings! {
    /// `[recommend]` without its lists.
    pub struct RecommendHead {
        /// The column whose mean is to be least.
        minimise: Text = "";
        /// The column in which a step from `against` is paid.
        price: Text = "";
        /// The column that it lowers.
        gain: Text = "";
    }
}

host::settings! {
    /// `[map]`.
    pub struct MapHead {
        /// The parameter that goes to the right.
        x: Text = "";
        /// The parameter that goes down.
        y: Text = "";
        /// The column that gives the colour.
        measure: Text = "";
        /// How colours follow it.
        scale: Word = "linear", "linear|log";
    }
}

impl Study {
    /// Reads a study's file.
    pub fn read(name: &str, doc: &Doc, registry: &Registry) -> Result<Study, Vec<Problem>> {
        let mut reader = Reader::new(doc);
        let r = &mut reader;
        let head: Head = r.settings("", "");
        for (key, text) in [("title", &head.title), ("scenario", &head.scenario)] {
            if text.0.is_empty() {
                r.problem(key, format!("a study needs `{key}`"));
            }
        }
        if head.scenario.0.ends_with(".toml") {
            r.problem("scenario", "a scenario's word is wanted here, not a path");
        }
        let seeds = range(&head.seeds.0).unwrap_or_else(|why| {
            r.problem("seeds", why);
            0..1
        });
        let sets = sets(r);
        let params = params(r);
        let design = design(r, &params);
        let columns = columns(r, registry);
        let constraints = constraints(r, &columns);
        let minimise = r.many("pareto", "minimise");
        let minimise = minimise.iter().filter_map(|n| column(r, "pareto.minimise", n, &columns));
        let minimise = minimise.collect();
        let recommend = recommend(r, &params, &columns, &design);
        let map = map(r, &params, &columns);
        r.finish();
        if !reader.problems.is_empty() {
            return Err(reader.problems);
        }
        Ok(Study {
            name: name.to_string(),
            title: head.title.0,
            about: head.about.0,
            scenario: head.scenario.0,
            place: place(doc, "scenario"),
            seeds,
            blessed: head.blessed.0 == "true",
            sets,
            sets_place: place(doc, "set"),
            params,
            design,
            columns,
            constraints,
            minimise,
            recommend,
            map,
        })
    }
}

/// Where a key is written; empty if it is not.
fn place(doc: &Doc, key: &str) -> String {
    doc.get(key).map_or(String::new(), |item| item.place.clone())
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    match text.split_once("..").map(|(a, b)| (number(a), number(b))) {
        Some((Some(a), Some(b))) if a < b => Ok(a..b),
        _ => Err(format!("`{text}` is not a range of seeds; write for example \"0..20\"")),
    }
}

fn sets(r: &mut Reader<'_>) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for text in r.many("", "set") {
        match text.split_once('=') {
            Some((key, value)) => out.push((key.trim().to_string(), value.trim().to_string())),
            None => r.problem("set", format!("`{text}` is not KEY=VALUE")),
        }
    }
    out
}

/// Says that there is no such name, and which is nearest.
fn unknown(r: &mut Reader<'_>, key: &str, what: &str, name: &str, known: Vec<&str>) {
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", known.join(", ")),
    };
    r.problem(key, format!("no {what} `{name}`; {hint}"));
}

fn column(r: &mut Reader<'_>, key: &str, name: &str, columns: &[Column]) -> Option<usize> {
    let place = columns.iter().position(|c| c.name == name);
    if place.is_none() {
        let known = columns.iter().map(|c| c.name.as_str()).collect();
        unknown(r, key, "column under [measures]", name, known);
    }
    place
}

fn param(r: &mut Reader<'_>, key: &str, name: &str, params: &[Param]) -> Option<usize> {
    let place = params.iter().position(|p| p.name == name);
    if place.is_none() {
        unknown(r, key, "parameter", name, params.iter().map(|p| p.name.as_str()).collect());
    }
    place
}

fn params(r: &mut Reader<'_>) -> Vec<Param> {
    let mut out: Vec<Param> = Vec::new();
    let list = r.doc.count("cell") > 0;
    for i in 0..r.doc.count("param") {
        let section = format!("param.{i}");
        let name = r.one(&section, "name").unwrap_or_default();
        let (keys, values) = (r.many(&section, "keys"), r.many(&section, "values"));
        if name.is_empty() || name.contains(['=', '.', ' ']) {
            r.problem(&section, "a parameter needs a `name`, of one word without dots");
        }
        if out.iter().any(|p| p.name == name) {
            r.problem(&section, format!("there are two parameters `{name}`"));
        }
        if keys.is_empty() {
            r.problem(&section, "a parameter needs `keys`: those of the scenario that it sets");
        }
        match (list, values.is_empty()) {
            (false, true) => r.problem(&section, "a parameter of a grid needs `values`"),
            (true, false) => r.problem(&section, "with [[cell]] tables values stand there"),
            _ => {}
        }
        if let Some(twice) = (1..values.len()).find(|i| values[..*i].contains(&values[*i])) {
            r.problem(
                &format!("{section}.values"),
                format!("`{}` stands here twice", values[twice]),
            );
        }
        let place = place(r.doc, &format!("{section}.keys"));
        out.push(Param { name, keys, values, place });
    }
    if out.is_empty() {
        r.problem("param", "a study needs at least one [[param]]");
    }
    out
}

fn design(r: &mut Reader<'_>, params: &[Param]) -> Design {
    let mut cells = Vec::new();
    for i in 0..r.doc.count("cell") {
        let section = format!("cell.{i}");
        let mut cell = Vec::new();
        for param in params {
            match r.one(&section, &param.name) {
                Some(value) => cell.push(value),
                None => r.problem(&section, format!("this cell has no value for `{}`", param.name)),
            }
        }
        cells.push(cell);
    }
    let design = if cells.is_empty() { Design::Grid } else { Design::List(cells) };
    let count = design.count(params);
    if count > CELLS_MAX {
        r.problem("param", format!("{count} cells; there may be {CELLS_MAX}"));
    }
    design
}

fn columns(r: &mut Reader<'_>, registry: &Registry) -> Vec<Column> {
    let mut written: Vec<(usize, usize, String)> = Vec::new();
    for name in r.doc.children("measures") {
        let place = r.doc.get(&format!("measures.{name}")).map(|item| item.place.clone());
        let mut numbers = place.iter().flat_map(|p| p.rsplit(':')).map(|n| n.parse().unwrap_or(0));
        let (column, line) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        written.push((line, column, name));
    }
    written.sort();
    let mut out = Vec::new();
    for (_, _, name) in written {
        let key = format!("measures.{name}");
        let Some(text) = r.one("measures", &name) else { continue };
        match Column::parse(&name, &text) {
            Err(why) => r.problem(&key, why),
            Ok(column) if !registry.measures.iter().any(|m| m.0 == column.word) => {
                let known: Vec<&str> = registry.measures.iter().map(|m| m.0).collect();
                let hint = nearest(&column.word, known);
                let hint = hint.map_or(String::new(), |m| format!("; did you mean `{m}`?"));
                r.problem(&key, format!("no measure `{}`{hint}", column.word));
                // Who names the column is not wrong besides.
                out.push(column);
            }
            Ok(column) => out.push(column),
        }
    }
    if out.is_empty() && r.problems.is_empty() {
        r.problem("measures", "a study needs [measures]: NAME = \"MEASURE\"");
    }
    out
}

fn constraints(r: &mut Reader<'_>, columns: &[Column]) -> Vec<Constraint> {
    let mut out = Vec::new();
    for i in 0..r.doc.count("constraint") {
        let section = format!("constraint.{i}");
        let Some(text) = r.one(&section, "mean") else {
            r.problem(&section, "a constraint needs `mean = \"NAME <= VALUE\"`");
            continue;
        };
        let key = format!("{section}.mean");
        let signs = [("<=", Compare::AtMost), (">=", Compare::AtLeast), ("==", Compare::Equal)];
        let parts = signs.into_iter().find_map(|(s, c)| Some((text.split_once(s)?, c)));
        let Some(((name, value), compare)) = parts else {
            r.problem(&key, format!("`{text}` is no constraint; write \"NAME <= VALUE\""));
            continue;
        };
        let Some((bound, unit)) = number(value.trim()) else {
            let value = value.trim();
            r.problem(&key, format!("`{value}` is neither a number nor a time nor a size"));
            continue;
        };
        if let Some(column) = column(r, &key, name.trim(), columns) {
            if unit.is_some() && columns[column].per.is_some() {
                let name = name.trim();
                r.problem(&key, format!("{name} is a rate, whose bound is a plain number"));
            }
            out.push(Constraint { text, column, compare, bound, unit });
        }
    }
    out
}

/// A bound in the unit that is printed, times in ms and sizes in bytes, and what it was written in.
fn number(text: &str) -> Option<(f64, Option<Unit>)> {
    if let Ok(time) = parse_duration(text) {
        return Some((host::unit::nanos(time) as f64 / 1e6, Some(Unit::Time)));
    }
    if let Ok(size) = parse_size(text) {
        return Some((size.0 as f64, Some(Unit::Bytes)));
    }
    let plain = text.parse::<f64>().ok().filter(|n| n.is_finite());
    plain.map(|n| (n, None))
}

fn recommend(
    r: &mut Reader<'_>,
    params: &[Param],
    columns: &[Column],
    design: &Design,
) -> Option<Recommend> {
    let head: RecommendHead = r.settings("recommend", "");
    let by = r.many("recommend", "by");
    let by = by.iter().filter_map(|name| param(r, "recommend.by", name, params)).collect();
    let count = r.doc.count("recommend.against");
    let sections: Vec<String> = match count {
        0 => vec!["recommend.against".to_string()],
        _ => (0..count).map(|i| format!("recommend.against.{i}")).collect(),
    };
    let cells = design.cells(params, &[]);
    let mut against = Vec::new();
    for section in sections.iter().filter(|s| r.doc.has_table(s)) {
        let row: Vec<Option<String>> = params.iter().map(|p| r.one(section, &p.name)).collect();
        let like = |cell: &Vec<String>| {
            row.iter().zip(cell).all(|(want, value)| want.as_ref().is_none_or(|w| w == value))
        };
        if !cells.iter().any(like) {
            r.problem(section, "no cell of this study has these values");
        }
        against.push(row);
    }
    if !r.doc.has_table("recommend") {
        return None;
    }
    let place = |r: &mut Reader<'_>, name: &str, text: &Text| {
        let key = format!("recommend.{name}");
        if text.0.is_empty() { None } else { column(r, &key, &text.0, columns) }
    };
    let (price, gain) = (place(r, "price", &head.price), place(r, "gain", &head.gain));
    if head.minimise.0.is_empty() {
        r.problem("recommend", "what is to be least is missing: `minimise = NAME`");
    }
    let minimise = place(r, "minimise", &head.minimise)?;
    Some(Recommend { by, minimise, against, price, gain })
}

fn map(r: &mut Reader<'_>, params: &[Param], columns: &[Column]) -> Option<Map> {
    let head: MapHead = r.settings("map", "");
    if !r.doc.has_table("map") {
        return None;
    }
    let x = param(r, "map.x", &head.x.0, params)?;
    let y = param(r, "map.y", &head.y.0, params)?;
    if x == y {
        r.problem("map.y", "x and y are the same parameter");
    }
    let column = column(r, "map.measure", &head.measure.0, columns)?;
    Some(Map { x, y, column, log: head.scale.0 == "log" })
}
