//! The plan at work: a line that is due finds its hosts, acts through its fault, and is written down as it
//! was fired; later it ends.
//! What it draws is keyed by the scenario's line, so that no other line can shift it.

use super::{Engine, PlanLine, Stage};
use crate::Time;
use crate::event::KernelEvent;
use crate::fault::Control;
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
        let mut control = control(&mut world, (line, plan), 0);
        let (hosts, mut fired) = match plan {
            PlanLine::Exact(fired) => {
                control.replay = Some(fired.survivors.clone());
                let names = &control.world.names;
                let hosts = fired.hosts.iter().filter_map(|n| names.get(n).copied()).collect();
                (hosts, Fired { survivors: Vec::new(), ..fired.clone() })
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
                let fired =
                    Fired { kind, params, hosts: names, at, trigger, lasts, survivors, origin };
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
        fired.survivors = control
            .survivors
            .iter()
            .map(|(host, list)| (control.world.hosts[*host].name.clone(), list.clone()))
            .collect();
        if fired.lasts > 0 {
            let at = fired.at + fired.lasts;
            world.schedule(at, Due::FaultEnd { line });
        }
        // The plan's act stands before what it did.
        let kind = fired.kind.clone();
        world.outbox.insert(0, (hosts[0], KernelEvent::Fault { kind, text }));
        self.report.fired.push((line, fired));
        self.active.push((line, hosts));
    }

    /// A line of the plan ends.
    pub(super) fn end_line(&mut self, line: usize) {
        let Some(i) = self.active.iter().position(|(l, _)| *l == line) else { return };
        let (_, hosts) = self.active.remove(i);
        let mut world = self.shared.world();
        let (plan, fault) = &self.setup.lines[line];
        fault.end(&mut control(&mut world, (line, plan), 1), &hosts);
    }

    /// A line that lasts acts once more.
    pub(super) fn act_again(&mut self, line: usize, n: u64) {
        let Some((_, hosts)) = self.active.iter().find(|(l, _)| *l == line) else { return };
        let mut world = self.shared.world();
        let (plan, fault) = &self.setup.lines[line];
        let mut control = control(&mut world, (line, plan), 2 + n);
        let origin = control.origin;
        control.world.note("again", origin, n);
        fault.again(&mut control, hosts, n);
    }
}

/// What a line may do to the world at its `step`: 0 begins, 1 ends, others lie between. The draws of each are
/// keyed by the scenario's line and not by what else was drawn.
fn control<'a>(world: &'a mut World, (line, plan): (usize, &PlanLine), step: u64) -> Control<'a> {
    let (spec, n) = match plan {
        PlanLine::Drawn(drawn) => drawn.origin,
        PlanLine::Exact(fired) => fired.origin,
    };
    let origin = spec << 32 | n;
    let rng = world.draws.stream("fire", origin, step);
    Control { world, line, origin, rng, replay: None, survivors: Vec::new() }
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
            let i = control.rng().below(from.len() as u64) as usize;
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
