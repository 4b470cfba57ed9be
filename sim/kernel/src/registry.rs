//! The vocabulary: every node, workload, fault and check by its word. The kernel knows none of them; the
//! program's table of contents hands them in, and a user's own node is one more line there.
//! Each word brings its parameters, so parsing, `explain` and `show` need no second list.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use host::settings::{Field, Settings};
use host::{Host, Members};

use crate::check::Check;
use crate::event::{ClientEvent, KernelEvent};
use crate::fault::Fault;
use crate::workload::Workload;
use crate::world::Moment;

/// Values as written, by key. Which keys there may be, the word's fields say.
pub type Params = BTreeMap<String, String>;

/// A boxed boot of a node.
pub type NodeFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
/// Boots a node on a host.
pub type Boot = Arc<dyn Fn(Host, Members) -> NodeFuture + Send + Sync>;

type Made<T> = Result<T, (String, String)>;
type Maker<T> = Box<dyn Fn(&Params) -> Made<T> + Send + Sync>;

/// A word with parameters, and how to make the thing it names.
pub struct Word<T> {
    /// The word.
    pub word: &'static str,
    /// What it is, in a sentence or two.
    pub about: &'static str,
    /// Its parameters.
    pub fields: Vec<Field>,
    /// Events it records, by word; nodes only.
    pub events: &'static [&'static [&'static str]],
    /// Deliberate defects it carries (word, what is wrong); nodes only.
    pub plants: &'static [(&'static str, &'static str)],
    make: Maker<T>,
}

impl<T> Word<T> {
    /// Makes the thing. The error names the parameter (empty: all of them together) and says why.
    pub fn make(&self, params: &Params) -> Made<T> {
        (self.make)(params)
    }
}

fn read<S: Settings>(params: &Params) -> Made<S> {
    let mut settings = S::default();
    for (key, text) in params {
        settings.set(key, text).map_err(|why| (key.clone(), why))?;
    }
    Ok(settings)
}

/// A node: production code that runs on a host.
pub fn node<C, F, R>(
    word: &'static str,
    about: &'static str,
    plants: &'static [(&'static str, &'static str)],
    events: &'static [&'static [&'static str]],
    validate: fn(&C) -> Result<(), String>,
    run: R,
) -> Word<Boot>
where
    C: Settings,
    F: Future<Output = io::Result<()>> + Send + 'static,
    R: Fn(Host, C, Members) -> F + Clone + Send + Sync + 'static,
{
    let make = move |params: &Params| {
        let config: C = read(params)?;
        validate(&config).map_err(|why| (String::new(), why))?;
        let run = run.clone();
        let boot: Boot =
            Arc::new(move |host, members| Box::pin(run(host, config.clone(), members)));
        Ok(boot)
    };
    Word { word, about, fields: C::fields(), plants, events, make: Box::new(make) }
}

/// A workload.
pub fn workload<C, W>(
    word: &'static str,
    about: &'static str,
    make: fn(C) -> Result<W, String>,
) -> Word<Arc<dyn Workload>>
where
    C: Settings,
    W: Workload + 'static,
{
    let make = move |params: &Params| {
        let made = make(read(params)?).map_err(|why| (String::new(), why))?;
        Ok(Arc::new(made) as Arc<dyn Workload>)
    };
    Word { word, about, fields: C::fields(), plants: &[], events: &[], make: Box::new(make) }
}

/// A fault.
pub fn fault<C, F>(
    word: &'static str,
    about: &'static str,
    make: fn(C) -> F,
) -> Word<Arc<dyn Fault>>
where
    C: Settings,
    F: Fault + 'static,
{
    let make = move |params: &Params| Ok(Arc::new(make(read::<C>(params)?)) as Arc<dyn Fault>);
    Word { word, about, fields: C::fields(), plants: &[], events: &[], make: Box::new(make) }
}

host::settings! {
    /// The parameters of a fault that has none.
    pub struct NoParams {}
}

/// What kind of claim a check makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Must hold at every moment.
    Always,
    /// Must come about after everything is healed.
    Eventually,
    /// Should be seen now and then in a sweep.
    Sometimes,
    /// Claims nothing; measures, in every run.
    Measures,
}

impl Claim {
    /// As a scenario names the list.
    pub fn word(self) -> &'static str {
        match self {
            Claim::Always => "always",
            Claim::Eventually => "eventually",
            Claim::Sometimes => "sometimes",
            Claim::Measures => "measures",
        }
    }
}

/// Makes a check from the text in parentheses, if there was one.
pub type MakeCheck = fn(Option<&str>) -> Result<Box<dyn Check>, String>;

/// A check by its word.
pub struct CheckWord {
    /// The word.
    pub word: &'static str,
    /// The claim in English.
    pub about: &'static str,
    /// Its kind.
    pub claim: Claim,
    /// Makes one, from the text in parentheses if there was one.
    pub make: MakeCheck,
}

/// A file that was compiled in: (name without ending, text).
pub type Builtin = (&'static str, &'static str);

/// Everything that has a name.
#[derive(Default)]
pub struct Registry {
    /// Systems under test.
    pub nodes: Vec<Word<Boot>>,
    /// Loads.
    pub workloads: Vec<Word<Arc<dyn Workload>>>,
    /// Causes.
    pub faults: Vec<Word<Arc<dyn Fault>>>,
    /// Claims.
    pub checks: Vec<CheckWord>,
    /// Scenarios that were compiled in.
    pub scenarios: Vec<Builtin>,
    /// Studies that were compiled in.
    pub studies: Vec<Builtin>,
    /// Profiles that were compiled in.
    pub profiles: Vec<Builtin>,
    /// Layouts of documents that were compiled in.
    pub documents: Vec<Builtin>,
    /// What is measured: (name, meaning).
    pub measures: Vec<(&'static str, &'static str)>,
    /// The folder that has `scenarios/`, `studies/` and `profiles/`, below the project's; empty: `sim`.
    pub home: &'static str,
    /// How the program is started from the project's folder; empty: `cargo tank`.
    pub program: &'static str,
}

impl Registry {
    /// The folder that has `scenarios/` and `profiles/`, below the project's.
    pub fn home(&self) -> &'static str {
        if self.home.is_empty() { "sim" } else { self.home }
    }

    /// How the program is started from the project's folder, as printed commands begin.
    pub fn program(&self) -> &'static str {
        if self.program.is_empty() { "cargo tank" } else { self.program }
    }

    /// The node of that word.
    pub fn node(&self, word: &str) -> Option<&Word<Boot>> {
        self.nodes.iter().find(|w| w.word == word)
    }

    /// Every event that a trigger can wait for.
    pub fn event_words(&self) -> Vec<&'static str> {
        let nodes = self.nodes.iter().flat_map(|n| n.events.concat());
        let kernel =
            KernelEvent::WORDS.iter().chain(Moment::WORDS).chain(ClientEvent::WORDS).copied();
        nodes.chain(kernel).collect()
    }

    /// The workload of that word.
    pub fn workload(&self, word: &str) -> Option<&Word<Arc<dyn Workload>>> {
        self.workloads.iter().find(|w| w.word == word)
    }

    /// The fault of that word.
    pub fn fault(&self, word: &str) -> Option<&Word<Arc<dyn Fault>>> {
        self.faults.iter().find(|w| w.word == word)
    }

    /// The check of that word.
    pub fn check(&self, word: &str) -> Option<&CheckWord> {
        self.checks.iter().find(|w| w.word == word)
    }
}
