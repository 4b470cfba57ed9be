//! The engine: madsim's main future. It handles what is due, moves the run through its phases, lets the
//! plan act, and sleeps until the next event.
//!
//! Phases: boot, load (with the plan's faults), heal, recovery (load without faults), settle, blackout
//! (only with `acked_durable`), judge. While faults are on nothing bad may happen; once everything is
//! healed, something good must happen within `settle`, and if it does not, the verdict says what is awaited
//! and by whom.

mod acts;
mod phases;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use host::{Host, Members};

use crate::Time;
use crate::arm::SimArm;
use crate::branch::Branch;
use crate::event::KernelEvent;
use crate::fault::Fault;
use crate::outcome::{Class, Violation};
use crate::plan::{Drawn, Fired, Mask};
use crate::profile::Profile;
use crate::registry::Boot;
use crate::task::{contained, spawn};
use crate::workload::Load;
use crate::world::{Due, Shared, Sight, World};

/// How often the claims that must come about are asked whether they have.
const ASK_EVERY_NS: Time = 50_000_000;
/// How long all hosts stay dark in the blackout.
const DARK_NS: Time = 500_000_000;
/// How long a supervisor waits before it starts again a node that ended by itself.
const RESTART_NS: Time = 100_000_000;
/// For how long an error that a fault gave to a node accounts for its end.
const EXCUSE_NS: Time = 1_000_000_000;
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
    /// For so long clients go on after the heal.
    pub recovery_ns: Time,
    pub settle_ns: Time,
    pub blackout: bool,
    pub mask: Arc<Mask>,
    pub profile: Profile,
    pub until: Option<Time>,
    /// Where the run leaves its seed's draws; lines from `fork_from` on are armed then and not before.
    pub fork: Option<Branch>,
    pub fork_from: usize,
    /// When somebody wants to see how things stand.
    pub look_at: Option<Time>,
}

/// What only the engine knows at the end.
#[derive(Default)]
pub(crate) struct Report {
    pub fired: Vec<(usize, Fired)>,
    pub class: Option<Class>,
    pub sight: Option<Sight>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Boot,
    Load {
        until: Time,
    },
    /// Healed, and still under load.
    Recovery {
        until: Time,
    },
    Settle {
        from: Time,
        until: Time,
    },
    Dark {
        until: Time,
    },
    Return {
        until: Time,
    },
    ReadBack {
        until: Time,
    },
    Over,
}

pub(crate) struct Engine {
    shared: Arc<Shared>,
    setup: Setup,
    stage: Stage,
    phase: &'static str,
    /// When the load began, and which lines of the plan were armed then.
    load_from: Time,
    armed: std::ops::Range<usize>,
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
            if let Some(branch) = setup.fork {
                world.schedule(branch.at, Due::Fork);
            }
            if let Some(at) = setup.look_at {
                world.schedule(at, Due::Look);
            }
            // A phase event at the very start arms the engine once it has a waker.
            world.schedule(0, Due::Phase);
            if let Some(at) = setup.until {
                world.schedule(at, Due::Phase);
            }
        }
        let armed = 0..setup.fork_from;
        Engine {
            shared,
            setup,
            stage: Stage::Boot,
            phase: "boot",
            load_from: 0,
            armed,
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
            Due::Echo { end, line } => w.echo(end, line),
            Due::Read { end, spell } => w.read(end, spell),
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
            Due::FaultAgain { line, number } => {
                drop(world);
                self.again(at, line, number);
            }
            Due::FaultEnd { line } => {
                drop(world);
                self.end_line(line);
            }
            Due::Collected { host, boot } => w.collected(host, boot),
            Due::CoreBack { host, boot, thread } => w.core_back(host, boot, thread),
            Due::Phase => {
                drop(world);
                self.step();
            }
            Due::Fork => {
                drop(world);
                self.fork();
            }
            Due::Look => {
                let history = self.shared.history();
                let said = history.said.as_ref();
                self.report.sight = Some(w.sight(self.phase, said.unwrap_or(&Default::default())));
                self.stage = Stage::Over;
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
            if machine.live || !machine.powered || !machine.downs.is_empty() || machine.refused {
                return;
            }
            (machine.erred_at, machine.doomed_at, machine.met_harm) = (None, None, false);
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
        let (asked, line) = (self.hosts[host].stopping, self.hosts[host].stopped_by);
        let since = |at: Time| self.now() - at;
        let excused = self.hosts[host].erred_at.map(since).is_some_and(|ns| ns <= EXCUSE_NS);
        let refuses = self.hosts[host].may_refuse();
        self.crash(host);
        self.outbox.pop();
        if let Some(why) = &error {
            self.ended(host, (excused, refuses), &format!(" gave up: {why}"));
        }
        self.outbox.push((host, KernelEvent::Exited { error }));
        if asked {
            self.effects[line] += 1;
            // The fault that asked may have ended while the node still stopped.
            if self.hosts[host].downs.is_empty() {
                self.boot(host);
            }
        }
    }

    fn panicked(&mut self, host: usize, boot: u32, text: String) {
        if self.hosts[host].boot != boot || !self.hosts[host].live {
            return;
        }
        // A task that a fault made panic ends its boot with that.
        let excused = self.hosts[host].doomed_at.is_some();
        self.crash(host);
        self.outbox.pop();
        self.ended(host, (excused, false), &format!(": {text}"));
        self.outbox.push((host, KernelEvent::Panicked { text }));
    }

    /// A node ended by itself and with a complaint. Where an error or a panic that a fault made accounts for
    /// that, its supervisor starts it again. Where it has read what a fault harmed, it refuses to serve, and
    /// stays down; a panic is no way to refuse. Everywhere else it is a failure of the run.
    fn ended(&mut self, host: usize, (excused, refuses): (bool, bool), why: &str) {
        if excused {
            self.nodes_excused += 1;
            let at = self.now() + RESTART_NS;
            self.schedule(at, Due::Boot { host });
        } else if refuses {
            self.nodes_refused += 1;
            self.hosts[host].refused = true;
        } else if !self.tolerates_panics {
            self.panic = Some(format!("{}{why}", self.hosts[host].name));
        }
    }
}
