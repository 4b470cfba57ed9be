//! The phases of a run, and what moves it from one to the next. Boot, load, recovery, settle, dark, return,
//! read back: each has a time after which it ends, and a condition on which it ends early. The last three
//! exist only where something was promised to outlive a blackout.

use std::sync::Arc;

use host::Host;

use super::{ASK_EVERY_NS, DARK_NS, Engine, PlanLine, Stage};
use crate::Time;
use crate::arm::SimArm;
use crate::check::{Standing, View};
use crate::event::KernelEvent;
use crate::history::{History, Trigger};
use crate::outcome::{Class, Violation};
use crate::plan::When;
use crate::registry::Claim;
use crate::workload::{Client, ClientFuture, Load};
use crate::world::{Due, Moment, World};

/// A branch takes one more than its number, up to this, from what the executor draws from, so that tasks
/// interleave otherwise in each.
const SHUFFLES: u64 = 61;

impl Engine {
    pub(super) fn enter(&mut self, stage: Stage, name: &'static str) {
        (self.stage, self.phase) = (stage, name);
        self.shared.emit(0, &KernelEvent::Phase { name });
    }

    /// Moves the run on, if it is time.
    pub(super) fn step(&mut self) {
        let (now, stop, clients_left) = {
            let world = self.shared.world();
            (world.now(), world.stop, world.clients_left)
        };
        if stop || self.setup.until.is_some_and(|until| now >= until) {
            self.stage = Stage::Over;
            return;
        }
        match self.stage {
            Stage::Boot if now >= self.setup.boot_ns => self.start_load(now),
            Stage::Load { until } if clients_left == 0 || now >= until => self.heal(now),
            Stage::Recovery { until } if clients_left == 0 || now >= until => {
                self.enter_settle(now, "settle");
            }
            Stage::Settle { from, until } => self.settle(now, from, until),
            Stage::Dark { until } if now >= until => self.power_on(now),
            Stage::Return { until } => self.wait_for_return(now, until),
            Stage::ReadBack { until } if clients_left == 0 || now >= until => {
                self.finish_read_back(clients_left);
            }
            _ => {}
        }
    }

    fn start_load(&mut self, now: Time) {
        let until = now + self.setup.duration_ns;
        self.enter(Stage::Load { until }, "load");
        {
            let mut world = self.shared.world();
            world.instants.load_began = Some(now);
            let mut history = self.shared.history();
            history.armed = true;
            world.schedule(until, Due::Phase);
            self.load_from = now;
            self.arm(&mut world, &mut history, now);
        }
        self.start_clients(|load, client| load.load(client));
    }

    /// Puts the lines of the plan that are in force into the future. What a branch's line would have done
    /// before the branch began is not done.
    fn arm(&self, world: &mut World, history: &mut History, now: Time) {
        for line in self.armed.clone() {
            let (when, at) = match &self.setup.lines[line].0 {
                PlanLine::Exact(fired) => (fired.when.as_ref(), fired.at.max(now)),
                PlanLine::Drawn(drawn) => (Some(&drawn.when), now),
            };
            match when {
                Some(When::Event { word, on, nth, after }) => {
                    let (word, left, after) = (word.clone(), *nth, *after);
                    let on = on.as_ref().and_then(|n| world.names.get(n).copied());
                    let trigger = Trigger { line, word, on, left, after };
                    match Moment::WORDS.contains(&trigger.word.as_str()) {
                        true => world.moments.listen(trigger),
                        false => history.triggers.push(trigger),
                    }
                }
                Some(When::At(after)) => {
                    let at = self.load_from + after;
                    if at >= now {
                        world.schedule(at, Due::Fire { line, there: None });
                    }
                }
                None => world.schedule(at, Due::Fire { line, there: None }),
            }
        }
    }

    /// The run leaves its seed's draws. Lines that have not acted are forgotten, unless the plan is an
    /// artifact, and the branch's own take their place.
    pub(super) fn fork(&mut self) {
        let Some(branch) = self.setup.fork else { return };
        let shared = self.shared.clone();
        let mut world = shared.world();
        let mut history = shared.history();
        world.draws = world.draws.branch(branch.number);
        for _ in 0..=branch.number % SHUFFLES {
            madsim::rand::random::<u64>();
        }
        let lines = self.setup.lines.len();
        if self.setup.fork_from == lines && self.is_artifact() {
            return;
        }
        world.drop_fires();
        history.triggers.clear();
        world.moments.clear();
        self.armed = self.setup.fork_from..lines;
        if matches!(self.stage, Stage::Load { .. }) {
            let now = world.now();
            self.arm(&mut world, &mut history, now);
        }
    }

    fn is_artifact(&self) -> bool {
        self.setup.lines.iter().any(|(line, _)| matches!(line, PlanLine::Exact(_)))
    }

    fn start_clients(&mut self, act: impl Fn(Arc<dyn Load>, Client) -> ClientFuture) {
        let (nodes, members) = {
            let mut world = self.shared.world();
            world.clients_left = self.setup.loads.len();
            (world.nodes, world.members.clone())
        };
        self.client_tasks.clear();
        for number in 0..self.setup.loads.len() {
            let host = nodes + number;
            let name = self.shared.world().hosts[host].name.clone();
            let arm = SimArm::new(self.shared.clone(), host, 1, name);
            let (load, first) = self.setup.loads[number].clone();
            let client = Client {
                host: Host::new(Arc::new(arm)),
                number: number as u64,
                index: number as u64 - first,
                members: members.clone(),
                mask: self.setup.mask.clone(),
                shared: self.shared.clone(),
                at: host,
            };
            let work = act(load, client);
            let shared = self.shared.clone();
            let root = async move {
                work.await;
                let mut world = shared.world();
                world.clients_left -= 1;
                if world.clients_left == 0 {
                    let now = world.now();
                    world.schedule(now, Due::Phase);
                }
            };
            let task = self.spawn_root(host, Box::pin(root));
            self.client_tasks.push(task);
        }
    }

    /// Ends every fault and starts what is down; the load ends too, unless it is to go on for a while.
    fn heal(&mut self, now: Time) {
        let goes_on = self.setup.recovery_ns > 0;
        if !goes_on {
            self.end_load(now);
        }
        {
            let mut world = self.shared.world();
            world.drop_plan();
            world.instants.healed = Some(now);
            self.shared.history().armed = false;
        }
        let lines: Vec<usize> = self.active.iter().map(|(line, _)| *line).collect();
        for line in lines {
            self.end_line(line);
        }
        {
            let mut world = self.shared.world();
            for host in 0..world.nodes {
                world.resume(host);
                world.boot(host);
            }
        }
        if !goes_on {
            return self.enter_settle(now, "heal");
        }
        let until = now + self.setup.recovery_ns;
        self.enter(Stage::Recovery { until }, "heal");
        let mut world = self.shared.world();
        world.schedule(until, Due::Phase);
        // Clients that are done already have nothing to go on with.
        world.schedule(now, Due::Phase);
    }

    /// Clients ask for no more.
    fn end_load(&mut self, now: Time) {
        let mut world = self.shared.world();
        for task in &self.client_tasks {
            world.cancel_task(*task);
        }
        world.clients_left = 0;
        world.instants.load_ended = Some(now);
    }

    /// Neither load nor faults from here on.
    fn enter_settle(&mut self, now: Time, name: &'static str) {
        if self.setup.recovery_ns > 0 {
            self.end_load(now);
        }
        let until = now + self.setup.settle_ns;
        self.enter(Stage::Settle { from: now, until }, name);
        self.shared.world().schedule(now + ASK_EVERY_NS, Due::Phase);
    }

    /// The first claim that has not come about: its word and what it awaits.
    fn awaited(&self) -> Vec<(String, String)> {
        let world = self.shared.world();
        let history = self.shared.history();
        let view = View { world: &world, roles: &history.roles };
        let eventually = history.watches.iter().filter(|w| w.claim == Claim::Eventually);
        eventually
            .filter_map(|w| match w.check.standing(&view) {
                Standing::Holds => None,
                Standing::Awaits(what) => Some((w.word.clone(), what)),
            })
            .collect()
    }

    fn settle(&mut self, now: Time, from: Time, until: Time) {
        if now < from + ASK_EVERY_NS {
            return;
        }
        let awaited = self.awaited();
        if !awaited.is_empty() && now < until {
            self.shared.world().schedule(now + ASK_EVERY_NS, Due::Phase);
            return;
        }
        for (check, what) in awaited {
            self.liveness(check, what);
        }
        {
            let world = self.shared.world();
            self.shared.history().close_measures(&world);
        }
        if self.report.class.is_some() || !self.setup.blackout {
            self.stage = Stage::Over;
            return;
        }
        self.enter(Stage::Dark { until: now + DARK_NS }, "blackout");
        let mut world = self.shared.world();
        for host in 0..world.nodes {
            let mut rng = world.draws.stream("blackout", world.identity(host), 0);
            world.power_loss(host, &mut rng, None);
        }
        world.schedule(now + DARK_NS, Due::Phase);
    }

    /// Something good did not happen in time.
    fn liveness(&mut self, check: String, text: String) {
        let watch =
            self.shared.history().watches.iter().find(|w| w.word == check).map(|w| w.expected);
        match watch {
            // Nobody asks for it: it was muted.
            None => return,
            Some(true) => {}
            Some(false) => {
                self.report.class.get_or_insert(Class::Liveness);
            }
        }
        let at_ns = self.shared.world().now();
        let violation = Violation { check, at_ns, hosts: Vec::new(), text };
        self.shared.history().violations.push(violation);
    }

    fn power_on(&mut self, now: Time) {
        let until = now + self.setup.settle_ns;
        self.stage = Stage::Return { until };
        let mut world = self.shared.world();
        for host in 0..world.nodes {
            world.boot(host);
        }
        world.schedule(now + ASK_EVERY_NS, Due::Phase);
    }

    fn wait_for_return(&mut self, now: Time, until: Time) {
        let up = {
            let world = self.shared.world();
            world.hosts[..world.nodes].iter().all(|h| h.live || h.refused)
        };
        if now < until && !(up && self.awaited().is_empty()) {
            self.shared.world().schedule(now + ASK_EVERY_NS, Due::Phase);
            return;
        }
        for (check, what) in self.awaited() {
            self.liveness(check, format!("after the blackout: {what}"));
        }
        if self.report.class.is_some() {
            self.stage = Stage::Over;
            return;
        }
        let until = now + self.setup.settle_ns.max(self.setup.duration_ns);
        self.enter(Stage::ReadBack { until }, "read_back_begins");
        self.shared.world().schedule(until, Due::Phase);
        self.start_clients(|load, client| load.read_back(client));
    }

    fn finish_read_back(&mut self, clients_left: usize) {
        if clients_left > 0 {
            let text = format!("{clients_left} clients have not read back what they were promised");
            self.liveness("acked_durable".into(), text);
        }
        self.stage = Stage::Over;
    }
}
