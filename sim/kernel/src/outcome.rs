//! What a run came to: one object, the same for people and for machines.
//! Verdict and class are closed lists, and the exit code is a function of them. The JSON object is documented
//! in the README and holds every measure, whatever columns a scenario prints.

use host::Weight;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Time;
use crate::check::Measure;
use crate::digest::Entry;
use crate::plan::{Drawn, Fired, Op, Plan};
use crate::world::Sight;

/// The verdict on one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every claim held.
    Pass,
    /// Some claim did not.
    Fail,
    /// Every claim held and every symptom was there.
    Shown,
    /// Every claim held and some symptom was missing.
    NotShown,
    /// So little happened that nothing was tested.
    Vacuous,
    /// A check could not decide.
    Unknown,
    /// Two runs of the seed differ; only a sweep, which runs some seeds twice, finds this.
    Flaky,
}

impl Verdict {
    /// As JSON names it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Shown => "shown",
            Verdict::NotShown => "not_shown",
            Verdict::Vacuous => "vacuous",
            Verdict::Unknown => "unknown",
            Verdict::Flaky => "flaky",
        }
    }
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Something bad happened.
    Safety,
    /// Something good did not happen in time.
    Liveness,
    /// A node panicked.
    Panic,
    /// Two runs of one seed differ.
    Nondeterminism,
    /// A task wakes itself for ever.
    Livelock,
    /// Everybody waits for somebody.
    Deadlock,
    /// The run holds more bytes than it may.
    Memory,
    /// The run takes more steps, or more wall time, than it may.
    Time,
    /// The process that ran the seed died of it, twice; only a sweep outlives this and tells it.
    Died,
}

impl Class {
    /// All there are.
    pub const ALL: [Class; 8] = [
        Class::Safety,
        Class::Liveness,
        Class::Panic,
        Class::Nondeterminism,
        Class::Livelock,
        Class::Deadlock,
        Class::Memory,
        Class::Time,
    ];

    /// As JSON names it.
    pub fn word(self) -> &'static str {
        match self {
            Class::Safety => "safety",
            Class::Liveness => "liveness",
            Class::Panic => "panic",
            Class::Nondeterminism => "nondeterminism",
            Class::Livelock => "livelock",
            Class::Deadlock => "deadlock",
            Class::Memory => "memory",
            Class::Time => "time",
            Class::Died => "died",
        }
    }
}

/// Exit codes of the program.
pub mod exit {
    /// Pass or shown.
    pub const OK: i32 = 0;
    /// A safety violation.
    pub const SAFETY: i32 = 1;
    /// A liveness violation.
    pub const LIVENESS: i32 = 2;
    /// A node panicked.
    pub const PANIC: i32 = 3;
    /// Two runs of one seed differ.
    pub const NONDETERMINISM: i32 = 4;
    /// Not shown, or a `sometimes` never reached.
    pub const NOT_SHOWN: i32 = 5;
    /// Unknown or vacuous.
    pub const VACUOUS: i32 = 6;
    /// Livelock or deadlock.
    pub const STUCK: i32 = 7;
    /// Memory or time limit, or a worker that died.
    pub const LIMIT: i32 = 8;
    /// Wrong usage.
    pub const USAGE: i32 = 64;
    /// A bad input file.
    pub const DATA: i32 = 65;
    /// Input or output failed.
    pub const IO: i32 = 74;
    /// Interrupted.
    pub const INTERRUPTED: i32 = 130;
}

/// A violated claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The check's word, or `kernel` for the machinery's own verdicts.
    pub check: String,
    /// Virtual time in nanoseconds.
    pub at_ns: Time,
    /// Names of the hosts concerned.
    pub hosts: Vec<String>,
    /// One sentence.
    pub text: String,
}

/// What became of one kind of fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultTally {
    /// Its word.
    pub kind: String,
    /// Lines drawn.
    pub drawn: u64,
    /// Lines that acted.
    pub fired: u64,
    /// What they did: tasks ended, bytes lost, frames held, operations and polls delayed.
    pub effects: u64,
}

/// Whether a symptom was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SymptomSeen {
    /// As the scenario writes it.
    pub symptom: String,
    /// What was measured.
    pub value: String,
    /// Whether it holds.
    pub holds: bool,
}

/// A line of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Virtual time in nanoseconds.
    pub at: Time,
    /// The host's name.
    pub host: String,
    /// The subsystem that speaks.
    pub source: &'static str,
    /// The event's word.
    pub word: &'static str,
    /// What it says.
    pub text: String,
    /// How much it matters.
    pub weight: Weight,
    /// One mark for every node, after the event.
    pub marks: Vec<char>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// The kind of failure, if it is one.
    pub class: Option<Class>,
    /// Violated claims, in order; the first one decides the class.
    pub violations: Vec<Violation>,
    /// What could not be decided, and why.
    pub undecided: Vec<String>,
    /// 128 bits over everything that happened, in hexadecimal.
    pub digest: String,
    /// The digest after every 1,024th entry.
    pub checkpoints: Vec<u128>,
    /// Hash-order canaries at the seed's start and end; equal for one seed unless state leaks in.
    pub canary: (u64, u64),
    /// Virtual time at the end.
    pub virtual_ns: Time,
    /// Virtual time under load; what a study divides counts by.
    pub load_ns: Time,
    /// Digest entries.
    pub events: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// Share of virtual time that polls themselves took, in parts per million.
    pub poll_tax_ppm: u64,
    /// Everything measured.
    pub measures: Vec<Measure>,
    /// `sometimes` checks and how often they were reached.
    pub sometimes: Vec<(String, u64)>,
    /// Kinds of faults and what became of them.
    pub faults: Vec<FaultTally>,
    /// Symptoms and whether they were there.
    pub shown: Vec<SymptomSeen>,
    /// Lines of the plan as drawn.
    pub drawn: Vec<Drawn>,
    /// Lines of the plan as they acted; those that found nobody name no hosts.
    pub fired: Vec<Fired>,
    /// Operations that clients asked for, in order, if the run was to write them down.
    pub asked: Vec<Op>,
    /// Kinds of work that the profile charged.
    pub charged: Vec<&'static str>,
    /// The trace, if one was asked for.
    pub trace: Vec<Line>,
    /// Moments on disks that a trigger can wait for, if the whole trace was asked for: from when a delay
    /// after it counts, the host, the word.
    pub moments: Vec<(Time, String, &'static str)>,
    /// When the `sometimes` that was asked for was first reached.
    pub reached_at: Option<Time>,
    /// The digest's entries that were asked for.
    pub entries: Vec<Entry>,
    /// How things stood at the instant that was asked for.
    pub sight: Option<Sight>,
}

impl Outcome {
    /// The exit code of this run alone.
    pub fn exit_code(&self) -> i32 {
        match (self.verdict, self.class) {
            (Verdict::Pass | Verdict::Shown, _) => exit::OK,
            (Verdict::NotShown, _) => exit::NOT_SHOWN,
            (Verdict::Vacuous | Verdict::Unknown, _) => exit::VACUOUS,
            (Verdict::Flaky, _) => exit::NONDETERMINISM,
            (Verdict::Fail, class) => match class.unwrap_or(Class::Safety) {
                Class::Safety => exit::SAFETY,
                Class::Liveness => exit::LIVENESS,
                Class::Panic => exit::PANIC,
                Class::Nondeterminism => exit::NONDETERMINISM,
                Class::Livelock | Class::Deadlock => exit::STUCK,
                Class::Memory | Class::Time | Class::Died => exit::LIMIT,
            },
        }
    }

    /// Whether a sweep counts it as a failure.
    pub fn failed(&self) -> bool {
        !matches!(self.verdict, Verdict::Pass | Verdict::Shown)
    }

    /// The faults that fired as a plan that replays them.
    pub fn plan(&self) -> Plan {
        let (scenario, seed) = (Some(self.scenario.clone()), Some(self.seed));
        Plan { exact: self.fired.clone(), scenario, seed, ..Plan::default() }
    }

    /// A measure by name.
    pub fn measure(&self, name: &str) -> Option<&Measure> {
        self.measures.iter().find(|m| m.name == name)
    }

    /// The documented JSON object; `cure` is the same of the scenario's cure.
    pub fn json(&self, cure: Option<&Outcome>) -> Value {
        let measures: Map<String, Value> =
            self.measures.iter().map(|m| (m.name.to_string(), json!(m.number()))).collect();
        let units: Map<String, Value> =
            self.measures.iter().map(|m| (m.name.to_string(), json!(m.unit.word()))).collect();
        let sometimes: Vec<Value> =
            self.sometimes.iter().map(|(n, c)| json!({"name": n, "count": c})).collect();
        json!({
            "scenario": self.scenario,
            "seed": self.seed,
            "verdict": self.verdict,
            "class": self.class,
            "violations": self.violations,
            "digest": self.digest,
            "virtual_ns": self.virtual_ns,
            "events": self.events,
            "polls": self.polls,
            "measures": measures,
            "units": units,
            "sometimes": sometimes,
            "faults": self.faults,
            "shown": self.shown,
            "cure": cure.map(|c| c.json(None)),
        })
    }
}
