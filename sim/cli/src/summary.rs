//! A sweep for people, as nextest ends: one line to paste per failure, what was reached now and then, what
//! the faults did, what was measured, and for a clean sweep the failure rate that it excludes. Measures that
//! count something also say in how many seeds it was seen: the share of seeds with a needless election.

use std::path::Path;

use kernel::outcome::{Verdict, exit};
use kernel::scenario::{Scenario, Symptom};

use crate::args::{Changes, quoted};
use crate::seeds::Seeds;
use crate::table::{row, table};
use crate::tally::{Failed, Spread, Tally, quantity};
use crate::terminal::{Paint, grouped};

/// A sweep and what is needed to talk about it.
pub struct Summary<'a> {
    /// The scenario as it was asked for: a name or a path.
    pub asked: &'a str,
    /// How the program is started.
    pub program: &'a str,
    /// The scenario.
    pub scenario: &'a Scenario,
    /// What was changed.
    pub changes: &'a Changes,
    /// The seeds that were asked for.
    pub seeds: Seeds,
    /// What became of kept plans, told.
    pub kept: String,
    /// What they came to.
    pub tally: &'a Tally,
    /// What is to be told before them, a line each.
    pub notes: &'a [String],
    /// The sweep's exit code.
    pub code: i32,
}

impl Summary<'_> {
    /// The summary of a sweep that took so long and is kept there.
    pub fn render(&self, seconds: f64, kept: &Path) -> String {
        let paint = Paint::stdout();
        let verdict = match self.code {
            exit::OK if self.scenario.shows.is_some() => paint.good("SHOWN"),
            exit::OK => paint.good("PASS"),
            exit::NOT_SHOWN if self.tally.share_reached(self.scenario) == Some(false) => {
                paint.bad("NOT SHOWN")
            }
            exit::LIMIT if self.tally.too_few(self.scenario) => paint.bad("OUT OF TIME"),
            exit::INTERRUPTED => paint.warn("INTERRUPTED"),
            _ => paint.bad("FAIL"),
        };
        let (name, seeds) = (&self.scenario.name, &self.seeds);
        let (done, all) = (grouped(self.tally.seeds), grouped(seeds.count()));
        let typed = self.changes.typed();
        format!(
            "{name}   seeds {seeds}  {typed}  {done} of {all} in {seconds:.1} s   {verdict}\n\n\
             {}{}  results    {}\n\n",
            self.kept,
            self.body(paint),
            kept.display()
        )
    }

    /// All but the first and the last line: nothing in it depends on the wall clock.
    pub fn body(&self, paint: Paint) -> String {
        let notes: String = self.notes.iter().map(|note| format!("  {note}\n")).collect();
        let (failures, sometimes) = (self.failures(paint), self.sometimes(paint));
        let parts = [notes, failures, sometimes, self.faults(paint), self.measures()];
        let mut text: String =
            parts.into_iter().filter(|p| !p.is_empty()).map(|p| format!("{p}\n")).collect();
        text.push_str(&self.verdict(paint));
        text
    }

    fn failures(&self, paint: Paint) -> String {
        let again = |f: &Failed| {
            let (program, asked, seed) = (self.program, quoted(self.asked), f.seed);
            let command = if f.what == Verdict::Flaky.word() { "verify" } else { "run" };
            let branch = f.branch.as_ref().map_or(String::new(), |b| format!(" --branch {b}"));
            format!("{program} {command} {asked} --seed {seed}{}{branch}", self.changes.typed())
        };
        let failures = &self.tally.failures;
        let rows = failures.iter().map(|f| row([&f.what, &f.check, &again(f)])).collect();
        let lines = if failures.is_empty() { String::new() } else { table(rows, 0, None) };
        let head = paint.bad("FAIL");
        let mut text = String::new();
        for (line, failed) in lines.lines().zip(failures) {
            text.push_str(&format!("  {head}  {line}\n"));
            if let Some(why) = &failed.text {
                text.push_str(&format!("        {why}\n"));
            }
        }
        let more = self.tally.failed - failures.len() as u64;
        if more > 0 {
            text.push_str(&format!("  and {} more, in the results\n", grouped(more)));
        }
        text
    }

    fn sometimes(&self, paint: Paint) -> String {
        let unreached = self.tally.unreached(self.scenario);
        let told = |(name, r): (&String, &crate::tally::Reached)| {
            let count = match r.count {
                0 if unreached.contains(&name.as_str()) => paint.bad("never: this fails the sweep"),
                0 => "never".to_string(),
                n => format!("{} times, in {} seeds", grouped(n), grouped(r.seeds)),
            };
            row([name, &count])
        };
        let rows: Vec<Vec<String>> = self.tally.sometimes.iter().map(told).collect();
        section("sometimes", None, rows)
    }

    fn faults(&self, paint: Paint) -> String {
        let told = |(kind, acts): (&String, &crate::tally::Acts)| {
            let [drawn, fired, effects] = acts.map(grouped);
            row([kind, &drawn, &fired, &effects])
        };
        let rows: Vec<Vec<String>> = self.tally.faults.iter().map(told).collect();
        let idle =
            self.tally.faults.iter().filter(|(_, [drawn, fired, _])| *drawn > 0 && *fired == 0);
        let idle = idle.map(|(kind, [drawn, ..])| {
            let times = if *drawn == 1 { "once" } else { &format!("{} times", grouped(*drawn)) };
            let text = format!("{kind} was drawn {times} and never fired");
            format!("  {}\n", paint.warn(&text))
        });
        let idle: String = idle.collect();
        section("faults", Some(row(["", "drawn", "fired", "effects"])), rows) + &idle
    }

    /// The scenario's columns, and what else its symptoms are about.
    fn names(&self) -> Vec<&String> {
        let mut names: Vec<&String> = self.scenario.columns.iter().collect();
        for (_, symptom) in self.scenario.shows.iter().flat_map(|s| &s.symptoms) {
            if let Symptom::Measured { name, .. } = symptom
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }

    fn measures(&self) -> String {
        let told = |name: &String| {
            let Spread { p50, max, unit, seeds, seeds_nonzero } = self.tally.measure(name)?;
            let seen = seeds_nonzero.map_or(String::new(), |n| {
                format!("{} of {}", grouped(n as u64), grouped(seeds as u64))
            });
            Some(row([name, &quantity(p50, unit), &quantity(max, unit), &seen]))
        };
        let rows: Vec<Vec<String>> = self.names().into_iter().filter_map(told).collect();
        section("measures", Some(row(["", "p50", "max", "in seeds"])), rows)
    }

    fn verdict(&self, paint: Paint) -> String {
        let t = self.tally;
        let mut text = String::new();
        if t.cut_short {
            let (done, limit) = (grouped(t.seeds), self.scenario.ci.seconds);
            let all = grouped(self.seeds.count());
            let line =
                format!("out of time: ci.seconds = {limit} passed after {done} of {all} seeds");
            let rest = match t.too_few(self.scenario) {
                true => format!(", and ci.seeds asks for {}", grouped(self.scenario.ci.seeds)),
                false => String::new(),
            };
            text.push_str(&format!("  {}\n", paint.bad(&format!("{line}{rest}"))));
        }
        if let Some(shows) = &self.scenario.shows {
            let wanted = host::unit::show_ratio(shows.share);
            let (shown, seeds) = (grouped(t.shown), grouped(t.seeds));
            text.push_str(&format!(
                "  shown by {shown} of {seeds} seeds; wanted: {wanted}{}\n",
                self.unshown()
            ));
        }
        if t.branches.0 > 0 {
            let (all, seeds) = (grouped(t.branches.0), grouped(t.branches.1));
            text.push_str(&format!(
                "  {all} branches from {seeds} seeds; faults and sometimes include branches\n"
            ));
        }
        text.push_str(&self.undecided(paint));
        let (failed, seeds) = (grouped(t.failed), grouped(t.seeds));
        match t.upper_bound() {
            Some(bound) => {
                text.push_str(&format!("  0 of {seeds} failed: rate below {bound:.1e} (95 %)\n"))
            }
            None => text.push_str(&format!("  {failed} of {seeds} failed\n")),
        }
        text
    }

    /// How many seeds a check could not decide, and whether that is too many.
    fn undecided(&self, paint: Paint) -> String {
        let t = self.tally;
        if t.unknown == 0 {
            return String::new();
        }
        let share = t.unknown as f64 * 100.0 / t.seeds as f64;
        let most = host::unit::show_ratio(t.tolerated());
        let seeds: Vec<String> = t.undecided.iter().map(u64::to_string).collect();
        let (unknown, all, named) = (grouped(t.unknown), grouped(t.seeds), seeds.join(", "));
        let more = if t.unknown as usize > seeds.len() { ", ..." } else { "" };
        let text = format!(
            "unknown {unknown} of {all}, {share:.1} %; at most {most} may be; seeds {named}{more}"
        );
        format!("  {}\n", if t.undecided_too_often() { paint.bad(&text) } else { text })
    }

    /// The first seeds that did not show it.
    fn unshown(&self) -> String {
        let seeds: Vec<String> = self.tally.unshown.iter().map(u64::to_string).collect();
        let more = (self.tally.seeds - self.tally.shown) as usize - seeds.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        match seeds.is_empty() {
            true => String::new(),
            false => format!("; not by {}{more}", seeds.join(", ")),
        }
    }
}

fn section(heading: &str, columns: Option<Vec<String>>, rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let (right, columns) = (columns.as_ref().map(|_| 1), columns.into_iter());
    let mut all: Vec<Vec<String>> = columns.chain(rows).collect();
    if right.is_some() {
        all[0][0] = heading.to_string();
        return table(all, 2, right);
    }
    format!("  {heading}\n{}", table(all, 4, None))
}
