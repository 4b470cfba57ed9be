//! The search for an order: Wing and Gong's algorithm with Lowe's linked list of calls and returns and his
//! memory of what was tried, which is the set of operations done and the state they led to.
//!
//! At each node the operations that were called before the first return left may come next. Some need no
//! choice: a read that finds what is there comes at once, for it changes nothing. Of operations with the
//! same effect only the one that has to return first is tried. A value is not left while somebody must still
//! find it and nobody can make it again. If nobody could use the value that is left, nor the new one once
//! its readers are done, no other choice can do better, so none is tried; where all written values are
//! distinct this decides without a search. A value that grows must stay a beginning of what the next reads
//! found. An operation of unknown outcome has no return: it may come at any later time, or never.
//!
//! A value is shunned by a compare-and-set that must not find it. Then a write that nobody reads may be
//! needed to end another value, so choices are not dropped for it until the last such operation is done.
//!
//! The budget counts looks at the list, so it is the same on every machine. Sources: Wing and Gong, Testing
//! and Verifying Concurrent Objects (1993); Lowe, Testing for Linearizability (2017); Gibbons and Korach,
//! Testing Shared Memories (1997).

mod growth;

use crate::datum::{Shape, State, mix};
use crate::plan::{Kind, Plan};
use crate::tried::Tried;
use crate::ways::Way;

/// What a node costs beside looks at the list; it bounds the memory of what was tried.
const NODE: u64 = 16;

/// The list begins and ends here.
const HEAD: u32 = 0;

struct Frame {
    /// Tasks done before the node's own.
    before: usize,
    /// Tasks done once those that need no choice are, too.
    after: usize,
    state: State,
    class: u32,
    /// Which candidates are left to try.
    next: usize,
    end: usize,
    first: usize,
    /// Where the candidates of the node begin.
    begin: usize,
}

enum Step {
    Done,
    Dead,
    Node,
}

pub(crate) struct Search<'a> {
    plan: &'a Plan,
    next: Vec<u32>,
    prev: Vec<u32>,
    /// Per entry: its task, and whether it is a call.
    entries: Vec<(u32, bool)>,
    call: Vec<u32>,
    ret: Vec<u32>,
    done: Vec<bool>,
    trail: Vec<u32>,
    bits: u128,
    need: Vec<u32>,
    want: Vec<u32>,
    make: Vec<u32>,
    shun: Vec<u32>,
    /// Tasks left that shun a value.
    shy: usize,
    way: Way,
    /// Per path: writes left that make a beginning of it.
    bases: Vec<u32>,
    /// Per path: reads left that found it.
    readers: Vec<u32>,
    /// Per effect: tasks left that have it.
    supply: Vec<u32>,
    /// Room to work in: the lengths of a value that can be reached.
    lengths: Vec<bool>,
    /// Tasks left that must be done and whose answer can be wrong.
    bound: usize,
    /// Reads and compare-and-sets left.
    looks: usize,
    /// No read before this one is left.
    first_read: usize,
    candidates: Vec<u32>,
    /// Per effect: the node that saw it last, and which candidate it was there.
    seen_effect: Vec<(u64, usize)>,
    node: u64,
    /// Looks at the list that are not yet paid for.
    cost: u64,
    tried: Tried,
    /// Everything that returned before this position can be explained.
    pub(crate) reached: i64,
}

impl<'a> Search<'a> {
    pub(crate) fn new(plan: &'a Plan, way: Way) -> Search<'a> {
        let n = plan.tasks.len();
        let mut events: Vec<(i64, bool, u32)> = Vec::with_capacity(2 * n);
        for (i, task) in plan.tasks.iter().enumerate() {
            events.push((task.call, false, i as u32));
            if task.required {
                events.push((task.ret, true, i as u32));
            }
        }
        events.sort_unstable();
        let count = events.len() as u32;
        let mut entries = vec![(u32::MAX, false)];
        let (mut call, mut ret) = (vec![HEAD; n], vec![HEAD; n]);
        for (at, (_, returns, task)) in (1..).zip(&events) {
            entries.push((*task, !returns));
            let place = if *returns { &mut ret } else { &mut call };
            place[*task as usize] = at;
        }
        let mut search = Search {
            plan,
            next: (1..=count).chain([HEAD]).collect(),
            prev: [count].into_iter().chain(0..count).collect(),
            entries,
            call,
            ret,
            done: vec![false; n],
            trail: Vec::with_capacity(n),
            bits: 0,
            need: vec![0; plan.classes],
            want: vec![0; plan.classes],
            make: vec![0; plan.classes],
            shun: vec![0; plan.classes],
            shy: 0,
            way,
            bases: vec![0; plan.paths.len()],
            readers: vec![0; plan.paths.len()],
            supply: vec![0; plan.effects],
            lengths: Vec::new(),
            bound: 0,
            looks: 0,
            first_read: 0,
            candidates: Vec::new(),
            seen_effect: vec![(0, 0); plan.effects + 1],
            node: 0,
            cost: 0,
            tried: Tried::default(),
            reached: i64::MIN,
        };
        (0..n).for_each(|task| search.count(task, 1));
        search
    }

    /// Takes a task into the tables, or out of them.
    fn count(&mut self, task: usize, by: i32) {
        let task = &self.plan.tasks[task];
        let add = |n: &mut u32| *n = n.wrapping_add_signed(by);
        task.needs.iter().for_each(|c| add(&mut self.need[*c as usize]));
        task.wants.iter().for_each(|c| add(&mut self.want[*c as usize]));
        task.makes.iter().for_each(|c| add(&mut self.make[*c as usize]));
        if let Some(c) = task.shuns {
            add(&mut self.shun[c as usize]);
            self.shy = self.shy.wrapping_add_signed(by as isize);
        }
        task.begins.iter().for_each(|p| add(&mut self.bases[*p as usize]));
        if self.plan.grows && matches!(task.kind, Kind::Read(_)) {
            add(&mut self.readers[task.path as usize]);
        }
        add(&mut self.supply[task.effect as usize]);
        let one = by as isize;
        if task.bound {
            self.bound = self.bound.wrapping_add_signed(one);
        }
        if matches!(task.kind, Kind::Read(_) | Kind::Cas { .. }) {
            self.looks = self.looks.wrapping_add_signed(one);
        }
    }

    fn unlink(&mut self, entry: u32) {
        let (prev, next) = (self.prev[entry as usize], self.next[entry as usize]);
        self.next[prev as usize] = next;
        self.prev[next as usize] = prev;
    }

    fn relink(&mut self, entry: u32) {
        let (prev, next) = (self.prev[entry as usize], self.next[entry as usize]);
        self.next[prev as usize] = entry;
        self.prev[next as usize] = entry;
    }

    /// The task comes next.
    fn lift(&mut self, task: u32) {
        let i = task as usize;
        self.unlink(self.call[i]);
        if self.ret[i] != HEAD {
            self.unlink(self.ret[i]);
        }
        self.done[i] = true;
        self.bits ^= self.plan.tasks[i].bits;
        self.trail.push(task);
        self.count(i, -1);
    }

    /// Takes back all tasks but the first `len`.
    fn undo(&mut self, len: usize) {
        while self.trail.len() > len {
            let task = self.trail.pop().expect("longer than len");
            let i = task as usize;
            if self.ret[i] != HEAD {
                self.relink(self.ret[i]);
            }
            self.relink(self.call[i]);
            self.done[i] = false;
            self.bits ^= self.plan.tasks[i].bits;
            self.count(i, 1);
        }
    }

    /// Whether there is an order; `None` if the budget does not suffice to tell.
    pub(crate) fn run(&mut self, budget: &mut u64) -> Option<bool> {
        let mut frames = Vec::new();
        match self.enter(&mut frames, 0, (self.plan.init, self.plan.init_class), budget)? {
            Step::Done => return Some(true),
            Step::Dead => return Some(false),
            Step::Node => {}
        }
        loop {
            let Some(frame) = frames.last_mut() else { return Some(false) };
            self.first_read = frame.first;
            if frame.next == frame.end {
                self.undo(frame.before);
                self.candidates.truncate(frame.begin);
                frames.pop();
                continue;
            }
            let task = self.candidates[frame.next];
            frame.next += 1;
            let (after, state, class) = (frame.after, frame.state, frame.class);
            self.undo(after);
            let then = self.applied(task, state, class);
            self.lift(task);
            if let Step::Done = self.enter(&mut frames, after, then, budget)? {
                return Some(true);
            }
        }
    }

    /// What a task leads to; it is one of the candidates.
    fn applied(&self, task: u32, state: State, class: u32) -> (State, u32) {
        let task = &self.plan.tasks[task as usize];
        let made = task.makes.unwrap_or(class);
        match &task.kind {
            Kind::Write(value) => (*value, made),
            Kind::Append { item, state: own, .. } => {
                (state.with(item, *own, self.plan.lists), class)
            }
            Kind::Cas { old, new, done } if *old == state && *done != Some(false) => (*new, made),
            Kind::Cas { .. } | Kind::Read(_) => (state, class),
        }
    }

    /// Does what needs no choice, and finds what may come next.
    fn enter(
        &mut self,
        frames: &mut Vec<Frame>,
        before: usize,
        (state, class): (State, u32),
        budget: &mut u64,
    ) -> Option<Step> {
        let first_return = self.settle(state);
        *budget = budget.checked_sub(NODE + std::mem::take(&mut self.cost))?;
        self.reached = self.reached.max(first_return);
        if self.bound == 0 {
            return Some(Step::Done);
        }
        let wanted = self.wanted(state, class);
        // Where a value is shunned, a write that nobody reads may still be needed to end it later.
        if !wanted && (self.plan.grows || self.shy == 0 || self.way == Way::Bold) {
            self.commit(frames);
        }
        if self.plan.grows && !self.continues(state) {
            return Some(Step::Dead);
        }
        if !self.tried.add(self.bits ^ self.key(state, wanted)) {
            return Some(Step::Dead);
        }
        let begin = self.candidates.len();
        self.choose(state, class);
        if self.candidates.len() == begin {
            return Some(Step::Dead);
        }
        let tasks = &self.plan.tasks;
        let mut candidates = std::mem::take(&mut self.candidates);
        if self.way == Way::Keen {
            let pending = self.pending();
            self.cost += (pending.len() * (candidates.len() - begin)) as u64;
            candidates[begin..].sort_by_cached_key(|t| {
                let then = self.applied(*t, state, class).0;
                (self.rank(&pending, then), tasks[*t as usize].ret, *t)
            });
        } else {
            candidates[begin..].sort_by_key(|t| (tasks[*t as usize].ret, *t));
        }
        self.candidates = candidates;
        let (after, end, first) = (self.trail.len(), self.candidates.len(), self.first_read);
        frames.push(Frame { before, after, state, class, next: begin, end, first, begin });
        Some(Step::Node)
    }

    /// The state as what was tried remembers it. Those that nobody wants are alike; if nobody looks any
    /// more, only the length counts.
    fn key(&self, state: State, wanted: bool) -> u128 {
        match wanted {
            false => 0,
            true if self.plan.grows && self.looks == 0 => mix(0, state.len),
            true => mix(mix(state.hash, state.len), 7),
        }
    }

    /// Whether anybody left could use this value, or one that grows from it. In doubt it is wanted.
    fn wanted(&mut self, state: State, class: u32) -> bool {
        if !self.plan.grows {
            return !self.idle(class);
        }
        if !self.plan.mixed {
            return true;
        }
        self.cost += 1 + self.plan.paths.len() as u64 / 2;
        let paths = self.plan.paths.iter().zip(&self.readers);
        paths.into_iter().any(|(path, readers)| *readers > 0 && path.continues(state))
    }

    /// Whether nobody left can tell this value from others like it.
    fn idle(&self, class: u32) -> bool {
        self.want[class as usize] == 0 && self.shun[class as usize] == 0
    }

    /// Whether nobody left could use what this task brought.
    fn spent(&self, task: u32) -> bool {
        let task = &self.plan.tasks[task as usize];
        match self.plan.grows {
            false => task.makes.is_none_or(|made| self.want[made as usize] == 0),
            true => task.used.iter().all(|path| self.readers[*path as usize] == 0),
        }
    }

    /// Nobody wants the present value. If nobody wants that of a node above any more either, nor anything
    /// that was brought since, then all that came since can come first in every order that works,
    /// so the other choices of that node and of those below it can do no better.
    fn commit(&mut self, frames: &mut [Frame]) {
        let mut top = self.trail.len();
        for i in (0..frames.len()).rev() {
            let Frame { after, state, class, .. } = frames[i];
            if !self.trail[after..top].iter().all(|task| self.spent(*task)) {
                return;
            }
            top = after;
            self.cost += 1;
            if !self.wanted(state, class) {
                let open = |frame: &Frame| frame.next < frame.end;
                let above = frames[..i].last().is_some_and(open);
                frames[i..].iter_mut().for_each(|frame| frame.next = frame.end);
                if !above {
                    return;
                }
            }
        }
    }

    /// Does all tasks that change nothing and may come now. The position of the first return left.
    fn settle(&mut self, state: State) -> i64 {
        loop {
            let (mut entry, before) = (self.next[HEAD as usize], self.trail.len());
            while entry != HEAD {
                let (task, calls) = self.entries[entry as usize];
                if !calls {
                    break;
                }
                let fits = match &self.plan.tasks[task as usize].kind {
                    Kind::Read(found) => *found == state,
                    Kind::Cas { old, new, done: Some(true) } => *old == state && *new == state,
                    Kind::Cas { old, done: Some(false), .. } => *old != state,
                    _ => false,
                };
                self.cost += 1;
                // A lifted entry still knows who came after it.
                if fits {
                    self.lift(task);
                }
                entry = self.next[entry as usize];
            }
            if self.trail.len() == before {
                let (task, _) = self.entries[entry as usize];
                return self.plan.tasks.get(task as usize).map_or(i64::MAX, |t| t.ret);
            }
        }
    }

    /// Notes what may come next.
    fn choose(&mut self, state: State, class: u32) {
        self.node += 1;
        let mut entry = self.next[HEAD as usize];
        let mut spare = false;
        while entry != HEAD {
            let (task, calls) = self.entries[entry as usize];
            if !calls {
                break;
            }
            self.cost += 1;
            entry = self.next[entry as usize];
            if !self.may_come(task, state, class) {
                continue;
            }
            let t = &self.plan.tasks[task as usize];
            // Where nobody looks any more, appends without an answer are all alike.
            let first = self.looks == 0 && !t.required;
            if first && matches!(t.kind, Kind::Append { .. }) && std::mem::replace(&mut spare, true)
            {
                continue;
            }
            // Values that nobody tells apart are one.
            let blank = !self.plan.grows
                && matches!(t.kind, Kind::Write(_))
                && t.makes.is_some_and(|made| self.idle(made));
            let effect = if blank { self.plan.effects } else { t.effect as usize };
            let seen = &mut self.seen_effect[effect];
            if seen.0 != self.node {
                *seen = (self.node, self.candidates.len());
                self.candidates.push(task);
            } else if t.ret < self.plan.tasks[self.candidates[seen.1] as usize].ret {
                self.candidates[seen.1] = task;
            }
        }
    }

    fn may_come(&self, task: u32, state: State, class: u32) -> bool {
        let t = &self.plan.tasks[task as usize];
        let leaves = match &t.kind {
            Kind::Read(_) => return false,
            Kind::Write(value) => *value != state,
            Kind::Append { at, .. } => {
                let told = match self.plan.positions.get(&state.len) {
                    Some(_) if *at == Some(state.len) => true,
                    Some(_) => at.is_none() && !self.awaited(state.len),
                    None => at.is_none(),
                };
                return told && (state.shape != Shape::Scalar || at.is_none());
            }
            Kind::Cas { old, done: Some(true), .. } if *old != state => return false,
            Kind::Cas { done: Some(false), .. } => return false,
            Kind::Cas { old, new, .. } => *old == state && *new != state,
        };
        if !leaves {
            return t.required;
        }
        if self.plan.grows {
            return true;
        }
        let useless = !t.required
            && self.shun[class as usize] == 0
            && t.makes.is_some_and(|made| self.want[made as usize] == 0);
        let class = class as usize;
        let own = |of: Option<u32>| u32::from(of == Some(class as u32));
        let needed = self.need[class] - own(t.needs);
        let made = self.make[class] - own(t.makes);
        !useless && (needed == 0 || made > 0)
    }

    /// Whether an append that is left was told this position.
    fn awaited(&self, position: u64) -> bool {
        let told =
            |kind: &Kind| matches!(kind, Kind::Append { at: Some(at), .. } if *at == position);
        let tasks = self.plan.tasks.iter().zip(&self.done);
        tasks.into_iter().any(|(t, done)| !done && told(&t.kind))
    }

    /// Everything in an order that works, once no answer left can be wrong.
    pub(crate) fn order(&self) -> Vec<usize> {
        let tasks = &self.plan.tasks;
        let left = tasks.iter().zip(&self.done).filter(|(t, done)| t.required && !*done);
        let mut left: Vec<(i64, usize)> = left.map(|(t, _)| (t.call, t.source)).collect();
        left.sort_unstable();
        let done = self.trail.iter().map(|t| tasks[*t as usize].source);
        done.chain(left.into_iter().map(|(_, source)| source)).collect()
    }
}
