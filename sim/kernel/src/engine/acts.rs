//! The plan at work: a line that is due finds its hosts, acts through its fault, and is written down as it
//! was fired; later it ends.
//! What it draws is keyed by the scenario's line, so that no other line can shift it.

use super::{Engine, PlanLine, Stage};
use crate::Time;
use crate::event::KernelEvent;
use crate::fault::Control;
use crate::model::files::Survivor;
use crate::plan::{Fired, Selector, When};
use crate::world::{Due, World};

impl Engine {
    /// A line of the plan acts. It is recorded for when it was due, so that its replay is due then too.
    pub(super) fn fire(&mut self, at: Time, line: usize, there: Option<usize>) {
        if !matches!(self.stage, Stage::Load { .. }) {
            return;
        }
        let shared = self.shared.clone();
        let mut world = shared.world();
        let history = shared.history();
        let (plan, fault) = &self.setup.lines[line];
        let mut control = Control::new(&mut world, line, key(plan), BEGIN);
        let (hosts, mut fired) = match plan {
            PlanLine::Exact(fired) => {
                control.replay = Some(fired.survivors.clone());
                let names = &control.world.names;
                let hosts = fired.hosts.iter().filter_map(|n| names.get(n).copied()).collect();
                let at = if fired.when.is_some() { at } else { fired.at };
                (hosts, Fired { survivors: Vec::new(), at, ..fired.clone() })
            }
            PlanLine::Drawn(drawn) => {
                let hosts = select(&mut control, &history, &drawn.on, there);
                let (kind, params) = (drawn.kind.clone(), drawn.params.clone());
                let names = hosts.iter().map(|h| control.name(*h)).collect();
                let trigger = match (&drawn.when, there) {
                    (When::Event { .. }, Some(host)) => {
                        format!("{} (on {})", drawn.when.show(), control.name(host))
                    }
                    _ => drawn.when.show(),
                };
                let (lasts, origin, survivors) = (drawn.lasts, drawn.origin, Vec::new());
                let (hit, when) = (names, None);
                let fired =
                    Fired { kind, params, hosts: hit, at, trigger, lasts, survivors, origin, when };
                (hosts, fired)
            }
        };
        drop(history);
        if hosts.is_empty() {
            // It found nobody; the artifact keeps it all the same, for the engine woke for it.
            self.report.fired.push((line, fired));
            return;
        }
        let text = fault.begin(&mut control, &hosts);
        let (survivors, agains) = (control.survivors, control.agains);
        fired.survivors = named(&world, survivors);
        if fired.lasts > 0 {
            let at = fired.at + fired.lasts;
            world.schedule(at, Due::FaultEnd { line });
        }
        for (after, number) in agains {
            world.schedule(at + after, Due::FaultAgain { line, number });
        }
        // The plan's act stands before what it did.
        let kind = fired.kind.clone();
        world.outbox.insert(0, (hosts[0], KernelEvent::Fault { kind, text }));
        self.report.fired.push((line, fired));
        self.active.push((line, hosts));
    }

    /// A line of the plan acts again, if it still lasts.
    pub(super) fn again(&mut self, at: Time, line: usize, number: u64) {
        let Some((_, hosts)) = self.active.iter().find(|(l, _)| *l == line) else { return };
        let mut world = self.shared.world();
        let (plan, fault) = &self.setup.lines[line];
        world.note("again", key(plan), number);
        let mut control = Control::new(&mut world, line, key(plan), AGAIN + number);
        if let PlanLine::Exact(fired) = plan {
            control.replay = Some(fired.survivors.clone());
        }
        fault.again(&mut control, hosts, number);
        let (survivors, agains) = (control.survivors, control.agains);
        let survivors = named(&world, survivors);
        for (after, number) in agains {
            world.schedule(at + after, Due::FaultAgain { line, number });
        }
        if let Some((_, fired)) = self.report.fired.iter_mut().find(|(l, _)| *l == line) {
            fired.survivors.extend(survivors);
        }
    }

    /// A line of the plan ends.
    pub(super) fn end_line(&mut self, line: usize) {
        let Some(i) = self.active.iter().position(|(l, _)| *l == line) else { return };
        let (_, hosts) = self.active.remove(i);
        let mut world = self.shared.world();
        let mut control = Control::new(&mut world, line, key(&self.setup.lines[line].0), END);
        self.setup.lines[line].1.end(&mut control, &hosts);
    }
}

/// Steps of a line, by which its draws are keyed as well; acts in between have numbers of their own.
const BEGIN: u64 = 0;
const END: u64 = 1;
const AGAIN: u64 = 2;

/// What power losses left, by the names of the hosts.
fn named(world: &World, survivors: Vec<(usize, Vec<Survivor>)>) -> Vec<(String, Vec<Survivor>)> {
    let name = |(host, list): (usize, _)| (world.hosts[host].name.clone(), list);
    survivors.into_iter().map(name).collect()
}

/// What a line's draws are keyed by: its place in the scenario, and not what else was drawn.
fn key(plan: &PlanLine) -> u64 {
    let (spec, n) = match plan {
        PlanLine::Drawn(drawn) => drawn.origin,
        PlanLine::Exact(fired) => fired.origin,
    };
    spec << 32 | n
}

/// Resolves a selector against the moment.
fn select(
    control: &mut Control<'_>,
    history: &crate::history::History,
    on: &Selector,
    there: Option<usize>,
) -> Vec<usize> {
    let nodes = control.nodes();
    let live: Vec<usize> = (0..nodes).filter(|h| control.world.hosts[*h].live).collect();
    let says = |h: &usize, word: &str| history.roles[*h].is_some_and(|r| r.word == word);
    let leader =
        live.iter().copied().filter(|h| says(h, "leader")).max_by_key(|h| history.role_since[*h]);
    let draw = |control: &mut Control<'_>, mut from: Vec<usize>, count: usize| {
        let mut out = Vec::new();
        while out.len() < count && !from.is_empty() {
            let i = control.rng.below(from.len() as u64) as usize;
            out.push(from.remove(i));
        }
        out.sort_unstable();
        out
    };
    match on {
        Selector::Leader => leader.into_iter().collect(),
        Selector::Follower => {
            let followers = live.into_iter().filter(|h| Some(*h) != leader).collect();
            draw(control, followers, 1)
        }
        Selector::One => draw(control, live, 1),
        Selector::Minority => draw(control, (0..nodes).collect(), (nodes - 1) / 2),
        Selector::Majority => draw(control, (0..nodes).collect(), nodes / 2 + 1),
        Selector::Each => live,
        Selector::There => there.into_iter().filter(|h| *h < nodes).collect(),
        Selector::Named(names) => {
            names.iter().filter_map(|n| control.world.names.get(n).copied()).collect()
        }
    }
}
