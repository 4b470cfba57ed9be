//! The engine: madsim's main future. It handles what is due, moves the run through its phases, lets the
//! plan act, and sleeps until the next event.
//!
//! Phases: boot, load (with the plan's faults), heal, settle, blackout (only with `acked_durable`), judge.
//! While faults are on nothing bad may happen; once everything is healed, something good must happen within
//! `settle`, and if it does not, the verdict says what is awaited and by whom.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use host::{Host, Members};

use crate::Time;
use crate::arm::SimArm;
use crate::check::{Standing, View};
use crate::event::KernelEvent;
use crate::fault::{Control, Fault};
use crate::history::Trigger;
use crate::outcome::{Class, Violation};
use crate::plan::{Drawn, Fired, Selector, When};
use crate::registry::{Boot, Claim};
use crate::task::{contained, spawn};
use crate::workload::{Client, Load};
use crate::world::{Due, Shared, World};

/// How often the claims that must come about are asked whether they have.
const ASK_EVERY_NS: Time = 50_000_000;
/// How long all hosts stay dark in the blackout.
const DARK_NS: Time = 500_000_000;
/// Engine events between two looks at the bytes that the run holds.
const MEMORY_STRIDE: u64 = 256;

/// A line of the plan as the engine works with it.
pub(crate) enum PlanLine {
    Drawn(Drawn),
    Exact(Fired),
}

/// What the engine is told before it starts.
pub(crate) struct Setup {
    pub boot: Boot,
    pub loads: Vec<(Arc<dyn Load>, u64)>,
    pub lines: Vec<(PlanLine, Arc<dyn Fault>)>,
    pub boot_ns: Time,
    pub duration_ns: Time,
    pub settle_ns: Time,
    pub blackout: bool,
    pub skipped: Arc<Vec<(u64, u64)>>,
}

/// What only the engine knows at the end.
#[derive(Default)]
pub(crate) struct Report {
    pub fired: Vec<(usize, Fired)>,
    pub class: Option<Class>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Boot,
    Load { until: Time },
    Settle { from: Time, until: Time },
    Dark { until: Time },
    Return { until: Time },
    ReadBack { until: Time },
    Over,
}

pub(crate) struct Engine {
    shared: Arc<Shared>,
    setup: Setup,
    stage: Stage,
    active: Vec<(usize, Vec<usize>)>,
    client_tasks: Vec<u64>,
    report: Report,
    handled: u64,
    idle_since: Option<(Time, u64)>,
}

impl Engine {
    pub fn new(shared: Arc<Shared>, setup: Setup) -> Engine {
        {
            let mut world = shared.world();
            for host in 0..world.nodes {
                world.boot(host);
            }
            let at = setup.boot_ns;
            world.schedule(at, Due::Phase);
            // A phase event at the very start arms the engine once it has a waker.
            world.schedule(0, Due::Phase);
        }
        Engine {
            shared,
            setup,
            stage: Stage::Boot,
            active: Vec::new(),
            client_tasks: Vec::new(),
            report: Report::default(),
            handled: 0,
            idle_since: None,
        }
    }

    fn handle(&mut self, at: Time, due: Due) {
        let mut world = self.shared.world();
        let w = &mut *world;
        match due {
            Due::Complete(ticket) => w.complete_due(ticket),
            Due::DialTimeout(ticket) => w.dial_timeout(ticket),
            Due::Syn { ticket, from, to, port, style, attempt } => {
                w.on_syn((ticket, from, to, port), style, attempt)
            }
            Due::SynAck { ticket, end, attempt } => w.on_syn_ack(ticket, end, attempt),
            Due::Refused(ticket) => w.refused(ticket),
            Due::Arrive { end, item } => w.arrive(end, item),
            Due::Retry { end } => w.retry(end),
            Due::Reset { end } => w.reset(end),
            Due::Cpu(host) => w.pump_cpu(host),
            Due::Device(device) => w.pump_device(device),
            Due::Writeback(host) => w.writeback(host),
            Due::Boot { host } => {
                drop(world);
                self.boot(host);
            }
            Due::Exited { host, boot, error } => w.exited(host, boot, error),
            Due::Panicked { host, boot, text } => w.panicked(host, boot, text),
            Due::Fire { line, there } => {
                drop(world);
                self.fire(at, line, there);
            }
            Due::FaultEnd { line } => {
                drop(world);
                self.end_line(line);
            }
            Due::Phase => {
                drop(world);
                self.step();
            }
        }
    }

    /// Records what the kernel did, and buries what died.
    fn flush(&mut self) {
        let (facts, dead) = {
            let mut world = self.shared.world();
            (std::mem::take(&mut world.outbox), std::mem::take(&mut world.graveyard))
        };
        for (host, fact) in facts {
            self.shared.emit(host, &fact);
        }
        for future in dead {
            // A node's Drop may panic; its boot is over anyway.
            let _ = contained(|| drop(future));
        }
    }

    fn boot(&mut self, host: usize) {
        let (boot, name, members) = {
            let mut world = self.shared.world();
            let machine = &mut world.hosts[host];
            if machine.live || !machine.powered || machine.downs > 0 {
                return;
            }
            machine.boot += 1;
            machine.live = true;
            let (boot, name) = (machine.boot, machine.name.clone());
            let me = if host < world.nodes { host as u64 + 1 } else { 0 };
            (boot, name, Members { me, ..world.members.clone() })
        };
        self.shared.emit(host, &KernelEvent::Booted { boot });
        let arm = SimArm::new(self.shared.clone(), host, boot, name);
        let node = (self.setup.boot)(Host::new(Arc::new(arm)), members);
        let shared = self.shared.clone();
        let root = async move {
            let error = node.await.err().map(|e| e.to_string());
            let mut world = shared.world();
            let now = world.now();
            world.schedule(now, Due::Exited { host, boot, error });
        };
        self.spawn_root(host, Box::pin(root));
    }

    fn spawn_root(&mut self, host: usize, root: host::arm::BoxFuture) -> u64 {
        let mut world = self.shared.world();
        let thread = world.thread(host, "main");
        spawn(&self.shared, &mut world, host, thread, "main", root)
    }

    /// A line of the plan acts. It is recorded for when it was due, so that its replay is due then too.
    fn fire(&mut self, at: Time, line: usize, there: Option<usize>) {
        if !matches!(self.stage, Stage::Load { .. }) {
            return;
        }
        let shared = self.shared.clone();
        let mut world = shared.world();
        let history = shared.history();
        let (plan, fault) = &self.setup.lines[line];
        let rng = world.draws.stream("fire", line as u64, 0);
        let mut control =
            Control { world: &mut world, line, rng, replay: None, survivors: Vec::new() };
        let (hosts, mut fired) = match plan {
            PlanLine::Exact(fired) => {
                control.replay = Some(fired.survivors.iter().map(|(_, s)| s.clone()).collect());
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
                let lasts = drawn.lasts;
                (hosts, Fired { kind, params, hosts: names, at, trigger, lasts, survivors: vec![] })
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
    fn end_line(&mut self, line: usize) {
        let Some(i) = self.active.iter().position(|(l, _)| *l == line) else { return };
        let (_, hosts) = self.active.remove(i);
        let mut world = self.shared.world();
        let rng = world.draws.stream("fire", line as u64, 1);
        let mut control =
            Control { world: &mut world, line, rng, replay: None, survivors: Vec::new() };
        self.setup.lines[line].1.end(&mut control, &hosts);
    }

    fn enter(&mut self, stage: Stage, name: &'static str) {
        self.stage = stage;
        self.shared.emit(0, &KernelEvent::Phase { name });
    }

    /// Moves the run on, if it is time.
    fn step(&mut self) {
        let (now, stop, clients_left) = {
            let world = self.shared.world();
            (world.now(), world.stop, world.clients_left)
        };
        if stop {
            self.stage = Stage::Over;
            return;
        }
        match self.stage {
            Stage::Boot if now >= self.setup.boot_ns => self.start_load(now),
            Stage::Load { until } if clients_left == 0 || now >= until => self.heal(now),
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
            let mut history = self.shared.history();
            history.armed = true;
            world.schedule(until, Due::Phase);
            for (line, (plan, _)) in self.setup.lines.iter().enumerate() {
                match plan {
                    PlanLine::Exact(fired) => {
                        world.schedule(fired.at.max(now), Due::Fire { line, there: None });
                    }
                    PlanLine::Drawn(drawn) => match &drawn.when {
                        When::At(after) => {
                            world.schedule(now + after, Due::Fire { line, there: None });
                        }
                        When::Event { word, nth, after } => {
                            let (word, left, after) = (word.clone(), *nth, *after);
                            history.triggers.push(Trigger { line, word, left, after });
                        }
                    },
                }
            }
        }
        self.start_clients(|load, client| load.load(client));
    }

    fn start_clients(
        &mut self,
        act: impl Fn(Arc<dyn Load>, Client) -> crate::workload::ClientFuture,
    ) {
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
                skipped: self.setup.skipped.clone(),
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

    /// Ends the load and every fault, and starts what is down.
    fn heal(&mut self, now: Time) {
        {
            let mut world = self.shared.world();
            for task in &self.client_tasks {
                world.cancel_task(*task);
            }
            world.clients_left = 0;
            world.drop_plan();
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
        let until = now + self.setup.settle_ns;
        self.enter(Stage::Settle { from: now, until }, "heal");
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
        self.shared.history().close_measures(&self.shared.world());
        if self.report.class.is_some() || !self.setup.blackout {
            self.stage = Stage::Over;
            return;
        }
        self.enter(Stage::Dark { until: now + DARK_NS }, "blackout");
        let mut world = self.shared.world();
        let mut rng = world.draws.stream("blackout", 0, 0);
        for host in 0..world.nodes {
            world.power_loss(host, &mut rng, None);
        }
        world.schedule(now + DARK_NS, Due::Phase);
    }

    /// Something good did not happen in time.
    fn liveness(&mut self, check: String, text: String) {
        self.report.class.get_or_insert(Class::Liveness);
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
            (0..world.nodes).all(|h| world.hosts[h].live)
        };
        if now < until && !(up && self.awaited().is_empty()) {
            self.shared.world().schedule(now + ASK_EVERY_NS, Due::Phase);
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

    /// Looks for runs that will never end by themselves.
    fn look_for_trouble(&mut self) {
        let shared = self.shared.clone();
        let mut world = shared.world();
        let (now, polls) = (world.now(), world.polls);
        let mut trouble = None;
        if let Some(text) = world.livelock.take() {
            trouble = Some((Class::Livelock, text));
        } else if let Some(text) = world.panic.take() {
            trouble = Some((Class::Panic, text));
        } else if polls > world.polls_max {
            trouble = Some((Class::Time, format!("more than {} polls", world.polls_max)));
        } else if self.handled.is_multiple_of(MEMORY_STRIDE) && world.bytes_held() > world.bytes_max
        {
            let text = format!(
                "the run holds {} bytes; it may hold {}",
                world.bytes_held(),
                world.bytes_max
            );
            trouble = Some((Class::Memory, text));
        } else if world.nothing_to_come() && self.active.is_empty() && world.clients_left > 0 {
            match self.idle_since {
                Some((since, before)) if before == polls && now > since => {
                    let waiters = world.waiters().join("; ");
                    trouble = Some((Class::Deadlock, format!("nothing is to come: {waiters}")));
                }
                Some((_, before)) if before == polls => {}
                _ => {
                    self.idle_since = Some((now, polls));
                    world.schedule(now + 1_000_000, Due::Phase);
                }
            }
        } else {
            self.idle_since = None;
        }
        drop(world);
        if let Some((class, text)) = trouble {
            self.report.class = Some(class);
            let violation =
                Violation { check: "kernel".into(), at_ns: now, hosts: Vec::new(), text };
            self.shared.history().violations.push(violation);
            self.stage = Stage::Over;
        }
    }
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

impl Future for Engine {
    type Output = Report;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Report> {
        loop {
            let due = self.shared.world().pop_due(cx.waker());
            let idle = due.is_none();
            if let Some((at, due)) = due {
                self.handled += 1;
                self.handle(at, due);
            }
            self.flush();
            self.look_for_trouble();
            if self.stage == Stage::Over {
                return Poll::Ready(std::mem::take(&mut self.report));
            }
            if idle && self.shared.world().outbox.is_empty() {
                return Poll::Pending;
            }
        }
    }
}

impl World {
    fn exited(&mut self, host: usize, boot: u32, error: Option<String>) {
        if self.hosts[host].boot != boot || !self.hosts[host].live {
            return;
        }
        self.crash(host);
        self.outbox.pop();
        self.hosts[host].error.clone_from(&error);
        self.outbox.push((host, KernelEvent::Exited { error }));
    }

    fn panicked(&mut self, host: usize, boot: u32, text: String) {
        if self.hosts[host].boot != boot || !self.hosts[host].live {
            return;
        }
        self.crash(host);
        self.outbox.pop();
        if !self.tolerates_panics {
            self.panic = Some(format!("{}: {text}", self.hosts[host].name));
        }
        self.outbox.push((host, KernelEvent::Panicked { text }));
    }
}
