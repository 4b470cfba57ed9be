//! A part made ready for the search: values as states, each operation with what it needs of the value, what
//! it could use, and what it makes. Failed operations and reads that say nothing are gone.
//!
//! Four tables drive the pruning. `needs`, `wants`, `shuns` and `makes` count, for each value, the operations
//! left that must find it, that could use it, whose answer depends on not finding it, and that bring it
//! about; they are exact while nothing is appended.
//! For values that grow there are the beginnings of what reads found, and the positions that appends were
//! told. Operations with the same `effect` differ in nothing but the time they have.

use std::collections::BTreeMap;

use crate::datum::{Datum, Shape, State, mix};
use crate::history::{Action, Op, Part, Status};

/// What an operation does to a state.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Read(State),
    Write(State),
    Append { item: Datum, state: State, at: Option<u64> },
    Cas { old: State, new: State, done: Option<bool> },
}

/// One operation to be put in order.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub kind: Kind,
    /// Whether it surely took effect; otherwise it may be left out.
    pub required: bool,
    pub call: i64,
    /// `i64::MAX` if it may take effect at any later time.
    pub ret: i64,
    /// Its index among the operations of the part.
    pub source: usize,
    /// Its share in the hash of a set of operations.
    pub bits: u128,
    pub effect: u32,
    pub needs: Option<u32>,
    pub wants: Option<u32>,
    pub makes: Option<u32>,
    /// The value that a compare-and-set must not find, or leaves alone only if it does not find it.
    pub shuns: Option<u32>,
    /// Whether its answer can be wrong.
    pub bound: bool,
    /// For a write or compare-and-set of a value that grows: the paths of which it makes a beginning.
    pub begins: Vec<u32>,
    /// For a write or append to a value that is also written: the paths that may contain what it brings.
    pub used: Vec<u32>,
    /// For a read of a value that grows: its path.
    pub path: u32,
}

/// What a read found of a value that grows.
pub(crate) struct Path {
    pub state: State,
    pub begins: Vec<u128>,
    /// Where a value that is also written can come from: from this length by that effect to that length.
    pub steps: Vec<(u32, u32, u32)>,
    /// Which tasks write a beginning of it, and how long that is.
    pub starts: Vec<(u32, u32)>,
}

impl Path {
    /// Whether appending may lead from `state` to what was found.
    pub(crate) fn continues(&self, state: State) -> bool {
        let (shape, found) = (state.shape, self.state);
        state == found
            || match found.shape {
                Shape::Text | Shape::List if shape == Shape::Absent => true,
                Shape::List if shape == Shape::Scalar => true,
                Shape::List if shape == Shape::Text && state.len > 0 => true,
                Shape::Text | Shape::List => {
                    let begin = self.begins.get(state.len as usize);
                    shape == found.shape && begin == Some(&state.hash)
                }
                _ => false,
            }
    }
}

/// A part made ready.
pub(crate) struct Plan {
    pub tasks: Vec<Task>,
    pub init: State,
    pub init_class: u32,
    pub classes: usize,
    pub effects: usize,
    /// Whether anything is appended.
    pub grows: bool,
    /// Whether what is absent grows into a list even by a string.
    pub lists: bool,
    /// Whether no answer depends on a value being different from another.
    pub plain: bool,
    /// Whether `begins` is known.
    pub bases: bool,
    /// Whether a value that grows is also written, and `used` is known.
    pub mixed: bool,
    pub paths: Vec<Path>,
    /// Tasks that are reads, by their return.
    pub reads: Vec<u32>,
    /// How many appends were told each position.
    pub positions: BTreeMap<u64, u32>,
}

/// Pairs of reads and writes up to which it is worth knowing which write begins which read.
const PAIRS: usize = 4_000_000;

impl Plan {
    pub(crate) fn of(part: &Part) -> Plan {
        let grows = part.ops.iter().any(appends);
        let mut plan = Plan {
            tasks: Vec::new(),
            init: State::of(&part.init),
            init_class: 0,
            classes: 0,
            effects: 0,
            grows,
            lists: grows && in_lists(part),
            plain: true,
            bases: true,
            mixed: false,
            paths: Vec::new(),
            reads: Vec::new(),
            positions: BTreeMap::new(),
        };
        for (source, op) in part.ops.iter().enumerate() {
            plan.tasks.extend(task(source, op));
        }
        plan.number();
        plan.drop_unwanted();
        if grows {
            plan.trace(part);
        }
        plan
    }

    /// A plan of the same part in which no answer depends on a value being different from another:
    /// compare-and-sets that did not match are gone, and those without an answer need not be done. It asks
    /// for less, so what it cannot explain nobody can.
    pub(crate) fn relaxed(part: &Part) -> Plan {
        let mut part = part.clone();
        for op in &mut part.ops {
            match (&op.action, op.end()) {
                (Action::Cas(_, _, Some(false)), Some(_)) => op.status = Status::Fail,
                (Action::Cas(_, _, None), Some(_)) => op.status = Status::Unknown,
                _ => {}
            }
        }
        Plan::of(&part)
    }

    /// Whether some answer cannot be explained whatever the order: nobody makes that value in time, or
    /// two appends were told one position.
    pub(crate) fn hopeless(&self) -> Option<i64> {
        if self.positions.values().any(|told| *told > 1) {
            return Some(i64::MIN);
        }
        if self.grows {
            return None;
        }
        let mut earliest = vec![i64::MAX; self.classes];
        earliest[self.init_class as usize] = i64::MIN;
        for task in &self.tasks {
            if let Some(class) = task.makes {
                let earliest = &mut earliest[class as usize];
                *earliest = task.call.min(*earliest);
            }
        }
        let late = |class: u32, ret: i64| earliest[class as usize] > ret;
        let hopeless = self.tasks.iter().any(|t| t.needs.is_some_and(|class| late(class, t.ret)));
        hopeless.then_some(i64::MIN)
    }

    /// Gives values and effects their numbers.
    fn number(&mut self) {
        let mut classes = BTreeMap::from([(self.init.hash, 0_u32)]);
        let mut effects = BTreeMap::new();
        let mut class = |state: &State| {
            let next = classes.len() as u32;
            Some(*classes.entry(state.hash).or_insert(next))
        };
        for (i, task) in self.tasks.iter_mut().enumerate() {
            task.bits = mix(mix(0x000b_1750, i as u64), 1);
            let (tag, a, b) = match &task.kind {
                Kind::Read(found) => {
                    (task.needs, task.wants) = (class(found), class(found));
                    (0, found.hash, 0)
                }
                Kind::Write(value) => {
                    task.makes = class(value);
                    (1, value.hash, 0)
                }
                Kind::Append { state, at, .. } => {
                    (2, state.hash, at.map_or(0, |at| u128::from(at) + 1))
                }
                Kind::Cas { old, new, done } => {
                    if *done != Some(false) {
                        (task.wants, task.makes) = (class(old), class(new));
                    }
                    if *done == Some(true) {
                        task.needs = class(old);
                    }
                    let open = task.required && done.is_none();
                    if open || *done == Some(false) {
                        task.shuns = class(old);
                    }
                    self.plain &= !open && *done != Some(false);
                    (if open { 4 } else { 3 }, old.hash, new.hash)
                }
            };
            let next = effects.len() as u32;
            task.effect = *effects.entry((tag, a, b)).or_insert(next);
        }
        (self.classes, self.effects) = (classes.len(), effects.len());
    }

    /// Leaves out writes of unknown outcome whose value nobody could have used.
    fn drop_unwanted(&mut self) {
        if self.grows || !self.plain {
            return;
        }
        let mut wanted = vec![false; self.classes];
        for class in self.tasks.iter().filter_map(|t| t.wants) {
            wanted[class as usize] = true;
        }
        let unwanted = |t: &Task| matches!(t.makes, Some(class) if !wanted[class as usize]);
        self.tasks.retain(|t| t.required || !unwanted(t));
    }

    /// What is known of a value that grows.
    fn trace(&mut self, part: &Part) {
        let reads = self.tasks.iter().enumerate().filter(|(_, t)| matches!(t.kind, Kind::Read(_)));
        let mut reads: Vec<u32> = reads.map(|(i, _)| i as u32).collect();
        // The longest first: most others are beginnings of it, and need no path of their own.
        reads.sort_by_key(|i| match self.tasks[*i as usize].kind {
            Kind::Read(found) => std::cmp::Reverse(found.len),
            _ => unreachable!("only reads are here"),
        });
        let mut known: BTreeMap<u128, u32> = BTreeMap::new();
        for i in &reads {
            let task = &mut self.tasks[*i as usize];
            let Kind::Read(state) = task.kind else { continue };
            task.path = *known.entry(state.hash).or_insert_with(|| {
                let Action::Read(Some(found)) = &part.ops[task.source].action else {
                    unreachable!("a read that says something")
                };
                let begins = State::beginnings(found);
                self.paths.push(Path { state, begins, steps: Vec::new(), starts: Vec::new() });
                self.paths.len() as u32 - 1
            });
        }
        reads.sort_by_key(|i| self.tasks[*i as usize].ret);
        self.reads = reads;
        let makers = self.tasks.iter().filter(|t| t.makes.is_some()).count();
        self.bases = makers * self.paths.len() <= PAIRS;
        for task in &mut self.tasks {
            if let Kind::Append { at: Some(at), .. } = task.kind {
                *self.positions.entry(at).or_insert(0) += 1;
            }
            let (Kind::Write(made) | Kind::Cas { new: made, .. }) = task.kind else { continue };
            if self.bases {
                let begins = self.paths.iter().enumerate().filter(|(_, p)| p.continues(made));
                task.begins = begins.map(|(i, _)| i as u32).collect();
            }
        }
        self.mixed = self.bases && makers > 0 && self.positions.is_empty() && self.plain;
        if self.mixed {
            self.uses(part);
        }
    }

    /// Which paths may contain what is written or appended.
    fn uses(&mut self, part: &Part) {
        let mut founds = vec![&Datum::Absent; self.paths.len()];
        for i in &self.reads {
            let task = &self.tasks[*i as usize];
            if let Action::Read(Some(found)) = &part.ops[task.source].action {
                founds[task.path as usize] = found;
            }
        }
        for (path, found) in self.paths.iter_mut().zip(&founds) {
            path.steps = steps(&self.tasks, found);
        }
        for (i, task) in self.tasks.iter_mut().enumerate() {
            if let Kind::Write(value) = task.kind {
                for path in &task.begins {
                    self.paths[*path as usize].starts.push((i as u32, value.len as u32));
                }
            }
            task.used = match &task.kind {
                Kind::Append { item, .. } => {
                    let holds = |found: &&Datum| match (found, item) {
                        (Datum::Text(text), Datum::Text(item)) => text.contains(item.as_str()),
                        (Datum::List(items), item) => items.contains(item),
                        _ => false,
                    };
                    let used = founds.iter().enumerate().filter(|(_, found)| holds(found));
                    used.map(|(i, _)| i as u32).collect()
                }
                _ => task.begins.clone(),
            };
        }
    }
}

/// The appends that may lead to what was found, from where to where.
fn steps(tasks: &[Task], found: &Datum) -> Vec<(u32, u32, u32)> {
    let items: BTreeMap<u32, &Datum> = tasks
        .iter()
        .filter_map(|task| match &task.kind {
            Kind::Append { item, .. } => Some((task.effect, item)),
            _ => None,
        })
        .collect();
    let end = State::of(found).len as usize;
    let mut from_here = vec![false; end + 1];
    from_here[end] = true;
    let mut steps = Vec::new();
    for to in (1..=end).rev().filter(|_| matches!(found, Datum::Text(_) | Datum::List(_))) {
        if !from_here[to] {
            continue;
        }
        for (effect, item) in &items {
            let len = match (found, item) {
                (Datum::Text(text), Datum::Text(item)) if !item.is_empty() => {
                    text.as_bytes()[..to].ends_with(item.as_bytes()).then_some(item.len())
                }
                (Datum::List(items), item) => (items[to - 1] == **item).then_some(1),
                _ => None,
            };
            if let Some(len) = len {
                from_here[to - len] = true;
                steps.push(((to - len) as u32, *effect, to as u32));
            }
        }
    }
    steps.sort_unstable();
    steps
}

fn appends(op: &Op) -> bool {
    op.status != Status::Fail && matches!(op.action, Action::Append(..))
}

/// Whether lists are in use, so that what is absent is an empty one.
pub(crate) fn in_lists(part: &Part) -> bool {
    let list = |datum: &Datum| matches!(datum, Datum::List(_));
    let ops = part.ops.iter().filter(|op| op.status != Status::Fail);
    list(&part.init)
        || ops.into_iter().any(|op| match &op.action {
            Action::Read(Some(found)) => list(found),
            Action::Write(value) => list(value),
            Action::Append(_, at) => at.is_some(),
            _ => false,
        })
}

/// The task that an operation is, unless it says nothing.
fn task(source: usize, op: &Op) -> Option<Task> {
    let required = op.end().is_some();
    let kind = match (&op.action, op.status) {
        (_, Status::Fail) | (Action::Read(None), _) => return None,
        (Action::Read(Some(found)), _) if required => Kind::Read(State::of(found)),
        (Action::Read(_), _) => return None,
        (Action::Write(value), _) => Kind::Write(State::of(value)),
        (Action::Append(item, at), _) => {
            let (at, state) = (at.filter(|_| required), State::of(item));
            Kind::Append { item: item.clone(), state, at }
        }
        (Action::Cas(old, new, done), _) => {
            let done = done.filter(|_| required);
            Kind::Cas { old: State::of(old), new: State::of(new), done }
        }
    };
    let bound = match kind {
        Kind::Read(_) => true,
        Kind::Write(_) => false,
        Kind::Append { at, .. } => at.is_some(),
        Kind::Cas { done, .. } => done.is_some(),
    };
    Some(Task {
        kind,
        required,
        call: op.call,
        ret: op.end().unwrap_or(i64::MAX),
        source,
        bits: 0,
        effect: 0,
        needs: None,
        wants: None,
        makes: None,
        shuns: None,
        bound,
        begins: Vec::new(),
        used: Vec::new(),
        path: 0,
    })
}
