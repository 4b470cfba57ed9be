//! Claims: rows of a document that a scenario stands for. A row says what the document prints, which measure
//! of ours is that figure, and on what our figure rests: it is `predicted`, or one of its constants was
//! `fitted` to it, or it rests on a `charged` cost, or it is an `input`, or the system's own source says
//! otherwise (`contradicted`), which is a finding and no failure.
//!
//! Reading a scenario resolves the words of its rows; what no scenario can see alone (rows that occur twice,
//! constants fitted on rows that do not exist, siblings that differ in more than the document varies) is
//! `audit`'s. Rows change nothing of a run and are not among the values in force. Source: section 7 of the
//! design and the documents themselves; sentences of a document are not copied here, figures are.

pub mod accept;
pub mod audit;
pub mod figure;
pub mod layout;

use host::settings::nearest;

use crate::doc::Reader;
use crate::registry::Registry;

use figure::Printed;

/// Seeds of a scenario with claims, unless it says otherwise.
const SEEDS: u64 = 200;
/// More than this is a slip of the pen.
const SEEDS_MAX: u64 = 100_000;

/// On what our figure rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// None of its constants was taken from this row.
    Predicted,
    /// A constant of its profile was.
    Fitted,
    /// It rests on a charged cost.
    Charged,
    /// It was put in.
    Input,
    /// The system's own source says otherwise.
    Contradicted,
}

impl Role {
    /// Words and their meaning.
    pub const WORDS: [(&'static str, &'static str); 5] = [
        ("predicted", "No constant of its profile was taken from this row."),
        ("fitted", "A constant of its profile names this row in `fitted_on`; not a prediction."),
        ("charged", "It rests on the price of a kind of work, which a profile charges."),
        ("input", "It was put in: a setting of the scenario, not something that came out."),
        (
            "contradicted",
            "The system's own source, or its document elsewhere, says otherwise; the note says where.",
        ),
    ];
    const ALL: [Role; 5] =
        [Role::Predicted, Role::Fitted, Role::Charged, Role::Input, Role::Contradicted];

    /// As a scenario writes it.
    pub fn word(self) -> &'static str {
        Role::WORDS[self as usize].0
    }
}

/// Where a document has its figure from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// It was measured.
    Measured,
    /// It was foretold.
    Predicted,
    /// It was calculated from others.
    Derived,
}

impl Provenance {
    /// Words and their meaning; `predicted` is a role too.
    pub const WORDS: [(&'static str, &'static str); 3] = [
        ("measured", "The document measured its figure."),
        ("predicted", "The document foretells its figure."),
        ("derived", "The document calculated its figure from others."),
    ];
    const ALL: [Provenance; 3] = [Provenance::Measured, Provenance::Predicted, Provenance::Derived];

    /// As a scenario writes it.
    pub fn word(self) -> &'static str {
        Provenance::WORDS[self as usize].0
    }
}

/// What stands against the document's figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// A measure of the scenario's runs, and what the document prints.
    Measure(String, Printed),
    /// Measures whose medians shall be in the document's order; each of another scenario, or of this one.
    Order(Vec<(Option<String>, String)>, Printed),
    /// The value of a key in force.
    Setting(String),
}

/// A row of a document.
#[derive(Clone, Debug)]
pub struct Row {
    /// The document's word.
    pub document: String,
    /// The row's name, the only one of its document.
    pub row: String,
    /// One line.
    pub claim: String,
    /// What the document prints.
    pub value: String,
    /// What stands against it.
    pub simulated: Simulated,
    /// On what ours rests.
    pub role: Role,
    /// Where the document has its own from.
    pub provenance: Provenance,
    /// Where the source says otherwise, or why we miss; may be empty.
    pub note: String,
    /// `file:line:column`.
    pub place: String,
}

impl Row {
    /// As `fitted_on` names it.
    pub fn name(&self) -> String {
        format!("{}: {}", self.document, self.row)
    }
}

/// What a scenario claims.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// Each row is judged under seeds 0 up to this.
    pub seeds: u64,
    /// The rows.
    pub rows: Vec<Row>,
    /// The keys in which siblings may differ from this scenario.
    pub varies: Vec<String>,
    /// The scenario of which this one is a sibling.
    pub sibling_of: Option<String>,
}

impl Claims {
    /// Reads the keys `claim_seeds`, `varies`, `sibling_of` and the tables `[[claim]]`. Comes last, for rows
    /// name keys that are in force.
    pub fn read(r: &mut Reader<'_>, registry: &Registry) -> Claims {
        let in_force = r.effective.len();
        let known: Vec<String> = r.effective.iter().map(|e| e.key.clone()).collect();
        let seeds = r.one("", "claim_seeds").map_or(Ok(SEEDS), |text| {
            let seeds = text.parse().ok().filter(|n| (1..=SEEDS_MAX).contains(n));
            seeds.ok_or(format!("`{text}` is not a number of seeds (allowed: 1 to {SEEDS_MAX})"))
        });
        let seeds = seeds.unwrap_or_else(|why| {
            r.problem("claim_seeds", why);
            SEEDS
        });
        let varies = r.many("", "varies");
        for key in varies.iter().filter(|key| !known.contains(key)) {
            r.problem("varies", unknown("key in force", key, known.iter().map(String::as_str)));
        }
        let sibling_of = r.one("", "sibling_of");
        let mut rows: Vec<Row> = Vec::new();
        for i in 0..r.doc.count("claim") {
            let Some(row) = read_row(r, registry, &format!("claim.{i}"), &known) else { continue };
            match rows.iter().any(|other| other.name() == row.name()) {
                true => r.problem(&format!("claim.{i}.row"), "this row stands here twice"),
                false => rows.push(row),
            }
        }
        r.effective.truncate(in_force);
        Claims { seeds, rows, varies, sibling_of }
    }
}

/// There is no such word, and which one may be meant.
fn unknown<'a>(what: &str, word: &str, words: impl Iterator<Item = &'a str>) -> String {
    let hint = nearest(word, words).map_or(String::new(), |w| format!("; did you mean `{w}`?"));
    format!("no {what} `{word}`{hint}")
}

fn read_row(r: &mut Reader<'_>, registry: &Registry, at: &str, known: &[String]) -> Option<Row> {
    let before = r.problems.len();
    let mut text = |name: &str| {
        let text = r.one(at, name);
        if text.as_ref().is_none_or(|text| text.trim().is_empty()) {
            r.problem(&format!("{at}.{name}"), format!("a claim needs `{name}`"));
        }
        text.unwrap_or_default()
    };
    let [document, row, claim, value] = ["document", "row", "claim", "value"].map(&mut text);
    let (role, provenance) = (text("role"), text("provenance"));
    let role = word(r, at, "role", &role, &Role::ALL, Role::word);
    let provenance = word(r, at, "provenance", &provenance, &Provenance::ALL, Provenance::word);
    let note = r.one(at, "note").unwrap_or_default();
    let simulated = read_simulated(r, registry, at, &value, known);
    let place = r.doc.get(&format!("{at}.row")).map(|item| item.place.clone());
    let (role, provenance, simulated) = (role?, provenance?, simulated?);
    let put_in = matches!(simulated, Simulated::Setting(_));
    if put_in != (role == Role::Input) {
        r.problem(&format!("{at}.role"), "`input` rows, and no others, name a `setting`");
    }
    if role == Role::Contradicted && note.trim().is_empty() {
        let why = "a contradicted row says in `note` what contradicts it";
        r.problem(&format!("{at}.role"), why);
    }
    let place = place.unwrap_or_default();
    let row = Row { document, row, claim, value, simulated, role, provenance, note, place };
    (r.problems.len() == before).then_some(row)
}

fn word<T: Copy>(
    r: &mut Reader<'_>,
    at: &str,
    name: &str,
    text: &str,
    all: &[T],
    show: impl Fn(T) -> &'static str,
) -> Option<T> {
    let found = all.iter().copied().find(|one| show(*one) == text);
    if found.is_none() && !text.is_empty() {
        let words: Vec<&str> = all.iter().map(|one| show(*one)).collect();
        let hint = match nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", words.join(", ")),
        };
        r.problem(&format!("{at}.{name}"), format!("no {name} `{text}`; {hint}"));
    }
    found
}

/// One of `measure`, `order` and `setting`, and for the first two the document's figures.
fn read_simulated(
    r: &mut Reader<'_>,
    registry: &Registry,
    at: &str,
    value: &str,
    known: &[String],
) -> Option<Simulated> {
    let (measure, setting) = (r.one(at, "measure"), r.one(at, "setting"));
    let order = r.many(at, "order");
    let given = [measure.is_some(), setting.is_some(), !order.is_empty()];
    if given.iter().filter(|given| **given).count() != 1 {
        r.problem(at, "a claim has one of `measure`, `order` and `setting`");
        return None;
    }
    if let Some(key) = setting {
        if !known.contains(&key) {
            let why = unknown("key in force", &key, known.iter().map(String::as_str));
            r.problem(&format!("{at}.setting"), why);
        }
        return Some(Simulated::Setting(key));
    }
    let printed = match Printed::parse(value) {
        Ok(printed) => printed,
        Err(why) => {
            r.problem(&format!("{at}.value"), why);
            return None;
        }
    };
    let measures = || registry.measures.iter().map(|m| m.0);
    let key = format!("{at}.{}", if measure.is_some() { "measure" } else { "order" });
    let mut of = Vec::new();
    for text in measure.iter().chain(&order) {
        let (scenario, name) = match text.split_once('.') {
            Some((scenario, name)) if measure.is_none() => (Some(scenario.to_string()), name),
            _ => (None, text.as_str()),
        };
        if !measures().any(|known| known == name) {
            r.problem(&key, unknown("measure", name, measures()));
        }
        of.push((scenario, name.to_string()));
    }
    match (&printed, measure) {
        (Printed::Order(figures), None) if figures.len() == of.len() => {
            Some(Simulated::Order(of, printed))
        }
        (Printed::Order(figures), None) => {
            let (have, want) = (figures.len(), of.len());
            r.problem(&format!("{at}.value"), format!("{have} figures for {want} measures"));
            None
        }
        (Printed::Order(_), Some(_)) | (_, None) => {
            r.problem(
                &format!("{at}.value"),
                "`A -> B` goes with `order = [..]`, and only with it",
            );
            None
        }
        (_, Some(measure)) => Some(Simulated::Measure(measure, printed)),
    }
}
