//! A TOML file as a flat list of dotted keys, each of which remembers where it came from.
//!
//! Scenario, profile, plan and node files are read through this: `--set`, `show`, and errors with file, line,
//! column, key and nearest key all fall out of the one list. Files are bounded in size and depth before
//! anything is built from them, and nothing in them can name another file or the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::settings::{Field, Settings, nearest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest input file in bytes.
pub const FILE_MAX: usize = 1 << 20;
const DEPTH_MAX: usize = 32;

/// What is wrong with an input, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `file:line:column`, or `--set`.
    pub place: String,
    /// The dotted key; empty for a syntax error.
    pub key: String,
    /// What is wrong and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return write!(f, "{}: {}", self.place, self.text);
        }
        write!(f, "{}: {}: {}", self.place, self.key, self.text)
    }
}

/// A value before it has a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string, number or boolean, as text.
    One(String),
    /// A list of such.
    Many(Vec<String>),
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Item {
    /// The value.
    pub value: Value,
    /// `file:line:column` of the value, or `--set`.
    pub place: String,
}

/// A file as dotted keys.
#[derive(Clone, Debug, Default)]
pub struct Doc {
    items: BTreeMap<String, Item>,
    tables: BTreeMap<String, String>,
}

impl Doc {
    /// Parses a file; all keys get `prefix` in front.
    pub fn parse(file: &str, text: &str, prefix: &str) -> Result<Doc, Vec<Problem>> {
        let problem =
            |place: String, text: String| vec![Problem { place, key: String::new(), text }];
        if text.len() > FILE_MAX {
            let size = format!("{} bytes; a file may have {FILE_MAX}", text.len());
            return Err(problem(file.to_string(), size));
        }
        // The parser recurses on brackets, so depth is bounded before it sees the text.
        if let Some(at) = too_deep(text) {
            return Err(problem(place(file, text, at), format!("nested deeper than {DEPTH_MAX}")));
        }
        let table = DeTable::parse(text).map_err(|e| {
            let at = e.span().map_or(0, |s| s.start);
            problem(place(file, text, at), e.message().to_string())
        })?;
        let mut walk = Walk { file, text, doc: Doc::default(), problems: Vec::new() };
        walk.table(prefix, table.get_ref(), 0);
        if walk.problems.is_empty() { Ok(walk.doc) } else { Err(walk.problems) }
    }

    /// Takes over all keys of another document.
    pub fn merge(&mut self, other: Doc) {
        self.items.extend(other.items);
        self.tables.extend(other.tables);
    }

    /// Sets a key from the command line. A list is written `a,b`.
    pub fn set(&mut self, key: &str, text: &str) {
        let many = matches!(self.items.get(key), Some(Item { value: Value::Many(_), .. }));
        let value = if many {
            Value::Many(text.split(',').map(|s| s.trim().to_string()).collect())
        } else {
            Value::One(text.to_string())
        };
        self.items.insert(key.to_string(), Item { value, place: "--set".to_string() });
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Item> {
        self.items.get(key)
    }

    /// Whether a table or a key below it was written.
    pub fn has_table(&self, path: &str) -> bool {
        self.tables.contains_key(path)
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.items.keys().map(String::as_str)
    }

    /// The names directly below `path`, in order.
    pub fn children(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}.");
        let below = self.items.keys().chain(self.tables.keys());
        let names: BTreeSet<&str> = below
            .filter_map(|k| k.strip_prefix(&prefix))
            .filter_map(|rest| rest.split('.').next())
            .collect();
        names.into_iter().map(str::to_string).collect()
    }

    /// How many `[[path]]` tables there are.
    pub fn count(&self, path: &str) -> usize {
        (0..).take_while(|i| self.tables.contains_key(&format!("{path}.{i}"))).count()
    }

    fn place_of(&self, key: &str) -> String {
        let mut path = key;
        loop {
            if let Some(item) = self.items.get(path) {
                return item.place.clone();
            }
            if let Some(place) = self.tables.get(path) {
                return place.clone();
            }
            match path.rsplit_once('.') {
                Some((up, _)) => path = up,
                None => return self.tables.get("").cloned().unwrap_or_default(),
            }
        }
    }
}

/// The offset at which brackets outside of strings and comments nest too deep.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut in_string: Option<&str> = None;
    let mut i = 0;
    let bytes = text.as_bytes();
    while i < bytes.len() {
        let rest = &text.as_bytes()[i..];
        if let Some(end) = in_string {
            if end.starts_with('"') && bytes[i] == b'\\' {
                i += 2;
                continue;
            }
            if rest.starts_with(end.as_bytes()) || (end.len() == 1 && bytes[i] == b'\n') {
                i += end.len();
                in_string = None;
                continue;
            }
            i += 1;
            continue;
        }
        match bytes[i] {
            b'"' | b'\'' => {
                let quote = if bytes[i] == b'"' { ("\"\"\"", "\"") } else { ("'''", "'") };
                let mark = if rest.starts_with(quote.0.as_bytes()) { quote.0 } else { quote.1 };
                in_string = Some(mark);
                i += mark.len();
                continue;
            }
            b'#' => {
                while i < bytes.len() && bytes[i] != b'\n' {
                    i += 1;
                }
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Some(i);
        }
        i += 1;
    }
    None
}

fn place(file: &str, text: &str, at: usize) -> String {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("{file}:{line}:{column}")
}

struct Walk<'a> {
    file: &'a str,
    text: &'a str,
    doc: Doc,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>, at: usize) {
        let here = place(self.file, self.text, at);
        self.doc.tables.insert(path.to_string(), here);
        for (key, value) in table.iter() {
            let name = key.get_ref();
            let dotted = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            self.value(&dotted, value, key.span().start);
        }
    }

    fn value(&mut self, path: &str, value: &Spanned<DeValue<'_>>, key_at: usize) {
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Table(table) => self.table(path, table, key_at),
            DeValue::Array(array) if array.iter().any(|v| v.get_ref().is_table()) => {
                for (i, element) in array.iter().enumerate() {
                    self.value(&format!("{path}.{i}"), element, element.span().start);
                }
            }
            DeValue::Array(array) => {
                let mut many = Vec::new();
                for element in array.iter() {
                    match scalar(element.get_ref()) {
                        Some(text) => many.push(text),
                        None => self.refuse(path, element.span().start, element.get_ref()),
                    }
                }
                self.put(path, Value::Many(many), at);
            }
            other => match scalar(other) {
                Some(text) => self.put(path, Value::One(text), at),
                None => self.refuse(path, at, other),
            },
        }
    }

    fn put(&mut self, path: &str, value: Value, at: usize) {
        let place = place(self.file, self.text, at);
        self.doc.items.insert(path.to_string(), Item { value, place });
    }

    fn refuse(&mut self, path: &str, at: usize, value: &DeValue<'_>) {
        self.problems.push(Problem {
            place: place(self.file, self.text, at),
            key: path.to_string(),
            text: format!("a {} has no meaning here", value.type_str()),
        });
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(s) => Some(s.to_string()),
        DeValue::Integer(n) if n.radix() == 10 => Some(n.as_str().to_string()),
        DeValue::Float(n) => Some(n.as_str().to_string()),
        DeValue::Boolean(b) => Some(b.to_string()),
        _ => None,
    }
}

/// A value in force, as `show` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The dotted key.
    pub key: String,
    /// The value as text.
    pub value: String,
    /// `file:line:column`, `--set` or `default`.
    pub origin: String,
}

/// Reads a document section by section; what nobody asked for is an unknown key.
pub struct Reader<'a> {
    /// The document.
    pub doc: &'a Doc,
    expected: BTreeMap<String, Vec<String>>,
    taken: BTreeSet<String>,
    /// Everything that was wrong so far.
    pub problems: Vec<Problem>,
    /// Everything that is in force so far.
    pub effective: Vec<Effective>,
}

impl<'a> Reader<'a> {
    /// Nothing read yet.
    pub fn new(doc: &'a Doc) -> Reader<'a> {
        Reader {
            doc,
            expected: BTreeMap::new(),
            taken: BTreeSet::new(),
            problems: Vec::new(),
            effective: Vec::new(),
        }
    }

    /// Notes a problem at the place of a key.
    pub fn problem(&mut self, key: &str, text: impl Into<String>) {
        let place = self.doc.place_of(key);
        self.problems.push(Problem { place, key: key.to_string(), text: text.into() });
    }

    /// Tells that `name` may stand in `section`.
    pub fn expect(&mut self, section: &str, name: &str) -> String {
        self.expected.entry(section.to_string()).or_default().push(name.to_string());
        let key = if section.is_empty() { name.to_string() } else { format!("{section}.{name}") };
        self.taken.insert(key.clone());
        key
    }

    /// Reads one value, if it was written.
    pub fn one(&mut self, section: &str, name: &str) -> Option<String> {
        let key = self.expect(section, name);
        match self.doc.get(&key).map(|i| i.value.clone()) {
            Some(Value::One(text)) => Some(text),
            Some(Value::Many(_)) => {
                self.problem(&key, "one value is wanted here, not a list");
                None
            }
            None => None,
        }
    }

    /// Reads a list, if it was written.
    pub fn many(&mut self, section: &str, name: &str) -> Vec<String> {
        let key = self.expect(section, name);
        let item = self.doc.get(&key).cloned();
        let list = match &item {
            Some(Item { value: Value::Many(list), .. }) => list.clone(),
            Some(Item { value: Value::One(one), .. }) => vec![one.clone()],
            None => return Vec::new(),
        };
        let origin = item.map_or_else(String::new, |i| i.place);
        self.effective.push(Effective { key, value: list.join(", "), origin });
        list
    }

    /// Reads a settings struct from `section`; `suffix` follows each key (`.value` in profiles).
    pub fn settings<S: Settings>(&mut self, section: &str, suffix: &str) -> S {
        let mut out = S::default();
        let fields = S::fields();
        self.fields(section, suffix, &fields, &mut |name, text| out.set(name, text));
        out
    }

    /// Reads the given fields, handing each written value to `set`.
    pub fn fields(
        &mut self,
        section: &str,
        suffix: &str,
        fields: &[Field],
        set: &mut dyn FnMut(&str, &str) -> Result<(), String>,
    ) {
        for field in fields {
            let key = self.expect(section, field.name);
            let key = format!("{key}{suffix}");
            self.taken.insert(key.clone());
            let Some(item) = self.doc.get(&key).cloned() else {
                if !field.default.is_empty() {
                    let (value, origin) = (field.default.to_string(), "default".to_string());
                    self.effective.push(Effective { key, value, origin });
                }
                continue;
            };
            let text = match &item.value {
                Value::One(text) => text.clone(),
                Value::Many(_) => {
                    self.problem(&key, format!("one {} is wanted here, not a list", field.kind));
                    continue;
                }
            };
            if let Err(why) = set(field.name, &text) {
                let allowed = match field.allowed {
                    "" => String::new(),
                    _ if why.contains("allowed") || field.kind == "word" => String::new(),
                    range => format!(" (allowed: {})", range.replace("..", " to ")),
                };
                self.problem(&key, format!("{why}{allowed}"));
            }
            self.effective.push(Effective { key, value: text, origin: item.place });
        }
    }

    /// Lists a written value among those in force.
    pub fn note(&mut self, key: &str) {
        if let Some(Item { value: Value::One(value), place }) = self.doc.get(key).cloned() {
            self.effective.push(Effective { key: key.to_string(), value, origin: place });
        }
    }

    /// Takes every key below `path` as known.
    pub fn accept_below(&mut self, path: &str) {
        let prefix = format!("{path}.");
        let keys: Vec<String> =
            self.doc.keys().filter(|k| k.starts_with(&prefix)).map(str::to_string).collect();
        self.taken.extend(keys);
        self.expect("", path);
    }

    /// Reports every key that nobody asked for, with the nearest one that somebody did.
    pub fn finish(&mut self) {
        let unknown: Vec<String> =
            self.doc.keys().filter(|k| !self.taken.contains(*k)).map(str::to_string).collect();
        let mut told = BTreeSet::new();
        for key in unknown {
            let (mut section, mut name) = key.rsplit_once('.').unwrap_or(("", &key));
            let mut known = self.known(section);
            // Nothing is known of the section: then it is the section that is misspelt, and one hint will do.
            while known.is_empty() && !section.is_empty() {
                (section, name) = section.rsplit_once('.').unwrap_or(("", section));
                known = self.known(section);
            }
            if !told.insert((section.to_string(), name.to_string())) {
                continue;
            }
            let hint = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("unknown key; did you mean `{near}`?"),
                None if known.is_empty() => "nothing is known by this name".to_string(),
                None => format!("unknown key; known here: {}", known.join(", ")),
            };
            self.problem(&key, hint);
        }
    }

    fn known(&self, section: &str) -> Vec<String> {
        let mut known = self.expected.get(section).cloned().unwrap_or_default();
        let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
        for other in self.expected.keys().filter(|s| !s.is_empty()) {
            if let Some(rest) = other.strip_prefix(&prefix) {
                known.extend(rest.split('.').next().map(str::to_string));
            }
        }
        known.sort();
        known.dedup();
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_flat_and_know_their_place() {
        let doc =
            Doc::parse("a.toml", "x = 1\n[b]\ny = [\"p\", \"q\"]\n[[f]]\nk = \"v\"\n", "").unwrap();
        assert_eq!(doc.get("x").unwrap().place, "a.toml:1:5");
        assert_eq!(doc.get("b.y").unwrap().value, Value::Many(vec!["p".into(), "q".into()]));
        assert_eq!(doc.count("f"), 1);
        assert_eq!(doc.get("f.0.k").unwrap().value, Value::One("v".into()));
    }

    #[test]
    fn a_syntax_error_has_line_and_column() {
        let problems = Doc::parse("a.toml", "x = 1\ny = = 2\n", "").unwrap_err();
        assert!(problems[0].place.starts_with("a.toml:2:"), "{}", problems[0]);
    }

    #[test]
    fn deep_and_large_files_are_refused() {
        let deep = format!("x = {}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(Doc::parse("a.toml", &deep, "").unwrap_err()[0].text.contains("nested"));
        let large = "#".repeat(FILE_MAX + 1);
        assert!(Doc::parse("a.toml", &large, "").unwrap_err()[0].text.contains("bytes"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = Doc::parse("a.toml", &text, "");
        }
    }
}
