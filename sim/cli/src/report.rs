//! One run for people: the verdict, the claim in English, when and who, what was done to the cluster, the
//! few lines that matter, what was measured, and how to get it again. The cure's numbers stand beside the
//! illness's. Rendering is pure, so goldens are what people see; only the digest is masked in them.

use kernel::check::Measure;
use kernel::outcome::{Class, Outcome, Verdict, Violation};
use kernel::plan::Fired;
use kernel::registry::Registry;
use kernel::run::{TAX_MAX_PPM, TAX_WARN_PPM, show};
use kernel::scenario::{Scenario, Symptom};

use crate::args::{Changes, quoted};
use crate::idle;
use crate::story;
use crate::table::{row, table, wrapped};
use crate::terminal::{Paint, grouped, legible, seconds};

/// Where the verdict begins in the first line.
const VERDICT_AT: usize = 82;

/// A run and what is needed to talk about it.
pub struct Page<'a> {
    /// The scenario as it was asked for: a name or a path.
    pub asked: &'a str,
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The vocabulary.
    pub registry: &'a Registry,
    /// What was changed.
    pub changes: &'a Changes,
    /// What came out.
    pub outcome: &'a Outcome,
    /// What came out of the cure.
    pub cure: Option<&'a Outcome>,
    /// Colours.
    pub paint: Paint,
    /// Goldens leave the digest out.
    pub digest: Digest,
    /// Whether the whole trace follows the page.
    pub traced: bool,
}

/// Whether the digest is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// Its first digits.
    Shown,
    /// Nothing that changes with every change of code.
    Masked,
}

impl Page<'_> {
    /// The whole page.
    pub fn render(&self) -> String {
        let mut parts = vec![self.head()];
        if let Some(violation) = self.deciding() {
            parts.push(self.violation(violation));
        }
        parts.extend(self.symptoms());
        parts.extend(self.plan());
        parts.extend(self.story(story::LINES_MAX).map(|story| story + &self.untold()));
        parts.extend(self.measures());
        parts.push(self.foot());
        parts.join("\n")
    }

    /// How the page begins: the verdict, and the claim that decided it.
    pub fn opening(&self) -> String {
        let violation = self.deciding().map(|v| self.violation(v));
        std::iter::once(self.head()).chain(violation).collect::<Vec<_>>().join("\n")
    }

    fn head(&self) -> String {
        let o = self.outcome;
        let left = format!("{}   seed {}  {}", o.scenario, o.seed, self.changes.typed());
        let left = left.trim_end();
        let verdict = verdict(o, self.paint);
        let title = &self.scenario.head.title.0;
        let mut head = format!("{left:<VERDICT_AT$}  {verdict}\n\n  {title}\n");
        if o.verdict == Verdict::Vacuous {
            let acks = o.measure("acks").map_or(0, |m| m.value);
            let wanted = self.scenario.min_acks;
            head.push_str(&format!(
                "\n  vacuous: {acks} operations were acknowledged; min_acks asks for {wanted}\n"
            ));
        }
        if o.verdict == Verdict::Unknown {
            o.undecided.iter().for_each(|why| head.push_str(&format!("\n  unknown: {why}\n")));
        }
        head
    }

    /// The violation that decides: the first that is not a symptom.
    fn deciding(&self) -> Option<&Violation> {
        self.outcome.class?;
        let expected = |check: &str| {
            let symptoms = self.scenario.shows.iter().flat_map(|s| &s.symptoms);
            symptoms.into_iter().any(|(_, s)| *s == Symptom::Violates(check.to_string()))
        };
        self.outcome.violations.iter().find(|v| !expected(&v.check))
    }

    fn violation(&self, v: &Violation) -> String {
        let word = v.check.split('(').next().unwrap_or_default();
        let claim = match self.registry.check(word) {
            Some(check) => format!("  {}: {}\n", self.paint.bold(&v.check), check.about),
            None => String::new(),
        };
        let text = format!("violated at {}: {}", seconds(v.at_ns), v.text);
        let others = self.outcome.violations.iter().filter(|o| o.check != v.check);
        let others: Vec<&str> = others.map(|o| o.check.as_str()).collect();
        let also = match others.as_slice() {
            [] => String::new(),
            many => format!("  also violated: {}\n", many.join(", ")),
        };
        format!("{claim}{}{also}", wrapped(&text, 2, 100))
    }

    fn symptoms(&self) -> Option<String> {
        let seen = &self.outcome.shown;
        let mut rows = Vec::new();
        for s in seen {
            let holds = if s.holds { self.paint.warn("there") } else { self.paint.dim("missing") };
            rows.push(row([&s.symptom, &s.value, &holds]));
        }
        (!rows.is_empty()).then(|| format!("  symptoms\n{}", table(rows, 4, None)))
    }

    fn plan(&self) -> Option<String> {
        let o = self.outcome;
        let drawn: u64 = o.faults.iter().map(|f| f.drawn).sum();
        if drawn == 0 {
            return None;
        }
        let noun = if drawn == 1 { "fault" } else { "faults" };
        let acted = || o.fired.iter().filter(|f| !f.hosts.is_empty());
        let mut text = format!("  plan   {drawn} {noun} drawn, {} fired\n", acted().count());
        if let Some(idle) = idle::told(o) {
            text.push_str(&format!("    {}\n", self.paint.warn(&idle)));
        }
        let rows: Vec<Vec<String>> = acted().map(fired).collect();
        if !rows.is_empty() {
            text.push_str(&table(rows, 4, None));
        }
        Some(text)
    }

    /// The lines that matter, so many at most; `None` without a trace.
    pub fn story(&self, most: usize) -> Option<String> {
        let trace = &self.outcome.trace;
        (!trace.is_empty()).then(|| story::render(trace, &self.choice(most), self.paint))
    }

    fn choice(&self, most: usize) -> story::Choice {
        let trace = &self.outcome.trace;
        match self.deciding() {
            Some(violation) => story::before(trace, violation, most),
            None if self.scenario.shows.is_some() => story::around_election(trace, most),
            None => story::around_fault(trace, most),
        }
    }

    /// How many lines a trace has that the story leaves out.
    fn untold(&self) -> String {
        let told = self.choice(story::LINES_MAX).lines.len();
        match self.outcome.trace.len() - told {
            left if left > 0 && !self.traced => {
                let line = format!("... {} more lines: --trace short", grouped(left as u64));
                format!("{:2$}{}\n", "", self.paint.dim(&line), story::LEGEND_AT)
            }
            _ => String::new(),
        }
    }

    /// The scenario's columns, then whatever else is not zero.
    fn measures(&self) -> Option<String> {
        let o = self.outcome;
        let first = self.scenario.columns.iter().filter_map(|name| o.measure(name));
        let cured = |name: &str| self.cure.and_then(|c| c.measure(name));
        let zero = |m: &Measure| m.value == 0 && cured(m.name).is_none_or(|c| c.value == 0);
        let named = |m: &Measure| self.scenario.columns.iter().any(|c| c == m.name);
        let rest = o.measures.iter().filter(|m| !named(m) && !zero(m));
        let mut rows = vec![row(["measures", "here"])];
        if let Some(cure) = self.cure {
            rows[0].push(cure.scenario.clone());
        }
        for m in first.chain(rest) {
            let mut cells = row([m.name, &show(m)]);
            if self.cure.is_some() {
                cells.push(cured(m.name).map_or("-".to_string(), show));
            }
            rows.push(cells);
        }
        if let Some(cure) = self.cure {
            rows.push(row(["verdict", &plain(self.outcome), &plain(cure)]));
        }
        (rows.len() > 1).then(|| table(rows, 2, Some(1)))
    }

    fn foot(&self) -> String {
        let o = self.outcome;
        let mut text = String::new();
        let sometimes: Vec<String> =
            o.sometimes.iter().map(|(name, count)| format!("{name} {count}")).collect();
        if !sometimes.is_empty() {
            text.push_str(&format!("  sometimes  {}\n", sometimes.join(", ")));
        }
        let digest = match self.digest {
            Digest::Shown => &o.digest[..12.min(o.digest.len())],
            Digest::Masked => "(masked)",
        };
        text.push_str(&format!(
            "  cost       {} virtual, {} events, {} polls: {} of virtual time; digest {digest}\n",
            seconds(o.virtual_ns),
            grouped(o.events),
            grouped(o.polls),
            percent(o.poll_tax_ppm),
        ));
        text.push_str(&self.tax());
        let (program, asked) = (self.registry.program(), quoted(self.asked));
        let (seed, typed) = (o.seed, self.changes.typed());
        text.push_str(&format!(
            "  again      {program} run {asked} --seed {seed}{typed} --trace full\n"
        ));
        if o.class.is_some() {
            text.push_str(&format!("  smaller    {program} shrink {asked} --seed {seed}{typed}\n"));
        }
        text
    }

    fn tax(&self) -> String {
        let tax = percent(self.outcome.poll_tax_ppm);
        let line = match self.outcome.poll_tax_ppm {
            ppm if ppm > TAX_MAX_PPM => {
                self.paint.bad(&format!("polls took {tax} of virtual time: this is not a claim"))
            }
            ppm if ppm > TAX_WARN_PPM => {
                self.paint.warn(&format!("polls took {tax} of virtual time: times are inflated"))
            }
            _ => return String::new(),
        };
        format!("  warning    {line}\n")
    }
}

fn percent(ppm: u64) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm / 100 % 100)
}

/// A verdict in capitals.
pub fn capitals(verdict: Verdict) -> String {
    verdict.word().replace('_', " ").to_uppercase()
}

fn plain(outcome: &Outcome) -> String {
    capitals(outcome.verdict)
}

fn verdict(outcome: &Outcome, paint: Paint) -> String {
    let word = capitals(outcome.verdict);
    let class = outcome.class.map(Class::word);
    let text = class.map_or(word.clone(), |class| format!("{word}  {class}"));
    match outcome.verdict {
        Verdict::Pass | Verdict::Shown => paint.good(&text),
        Verdict::NotShown | Verdict::Vacuous | Verdict::Unknown => paint.warn(&text),
        Verdict::Fail | Verdict::Flaky => paint.bad(&text),
    }
}

/// A line of the plan that acted, as cells.
pub fn fired(f: &Fired) -> Vec<String> {
    let params: Vec<String> = f.params.iter().map(|(k, v)| format!("{k} {}", legible(v))).collect();
    let mut last = params.join(", ");
    if f.lasts > 0 {
        let lasts = format!("for {} ms", host::unit::millis(f.lasts));
        last = if last.is_empty() { lasts } else { format!("{lasts}, {last}") };
    }
    let survivors = survivors(f);
    if !survivors.is_empty() {
        last = [last, survivors].join("   ").trim_start().to_string();
    }
    row([&seconds(f.at), &f.kind, &f.hosts.join(","), &f.trigger, &last])
}

/// What power losses left, as far as they took anything.
fn survivors(f: &Fired) -> String {
    let files: Vec<_> = f.survivors.iter().flat_map(|(_, files)| files).collect();
    if files.is_empty() {
        return String::new();
    }
    let lost: Vec<String> = files
        .iter()
        .filter(|s| s.kept_bytes < s.dirty_bytes && !s.path.is_empty())
        .map(|s| format!("{} bytes of {}", s.dirty_bytes - s.kept_bytes, s.path))
        .collect();
    match lost.as_slice() {
        [] => "survivors: all".to_string(),
        [one] => format!("survivors: all but {one}"),
        [one, rest @ ..] => format!("survivors: all but {one} and of {} more", rest.len()),
    }
}
