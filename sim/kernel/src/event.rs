//! What the kernel itself records: the life of hosts and links, the phases, and what clients asked for and
//! were told. Checks see these beside the nodes' own events.
//! Triggers may wait for any of their words.

use host::{Event, Facts, Role, Weight};

use crate::Time;

/// A fact about the machinery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum KernelEvent {
    /// A phase of the run began.
    Phase { name: &'static str },
    /// The host's node was started.
    Booted { boot: u32 },
    /// The process died; the page cache lives.
    Crashed { tasks: u64 },
    /// The host lost power: `lost` of `unsynced` bytes are gone.
    PowerLost { unsynced: u64, lost: u64 },
    /// A graceful stop was asked for.
    StopAsked,
    /// The node's main function returned.
    Exited { error: Option<String> },
    /// A task of the node panicked.
    Panicked { text: String },
    /// The process no longer runs, and will go on later.
    Paused,
    /// It runs again.
    Resumed { ns: Time },
    /// A collection is over for which every thread of the process stood still: `garbage` bytes are free and
    /// `live` are left. One that is not full took the young generation only.
    Collected { full: bool, live: u64, garbage: u64, ns: Time },
    /// The process was ended because it would have held so many bytes.
    OutOfMemory { held: u64 },
    /// Frames from this host to `to` no longer arrive.
    LinkCut { to: usize, to_name: String },
    /// They arrive again.
    LinkHealed { to: usize, to_name: String },
    /// Nothing that is sent to `to` on the connections there are arrives any more.
    LinkForgot { to: usize, to_name: String },
    /// It arrives again.
    LinkRemembers { to: usize, to_name: String },
    /// The host's device makes no progress.
    DiskStalled,
    /// It works again.
    DiskGoesOn { ns: Time },
    /// Harm to the host's disk came out, in so many ranges of files; `damaged` ones checksums notice.
    DiskHarmed { ranges: u64, damaged: bool },
    /// A fault of the plan acted.
    Fault { kind: String, text: String },
    /// A fault of this kind no longer acts on this host; said where nothing else shows it.
    FaultOver { kind: &'static str },
}

impl KernelEvent {
    /// The words that a trigger can wait for.
    pub const WORDS: &'static [&'static str] = &[
        "booted",
        "crashed",
        "power_lost",
        "stop_asked",
        "exited",
        "panicked",
        "paused",
        "resumed",
        "collected",
        "out_of_memory",
        "link_cut",
        "link_healed",
        "link_forgot",
        "link_remembers",
        "disk_stalled",
        "disk_goes_on",
        "disk_harmed",
        "fault",
        "fault_over",
    ];
}

impl Event for KernelEvent {
    fn source(&self) -> &'static str {
        match self {
            KernelEvent::Phase { .. } => "phase",
            KernelEvent::Fault { .. } | KernelEvent::FaultOver { .. } => "fault",
            _ => "host",
        }
    }

    fn word(&self) -> &'static str {
        match self {
            KernelEvent::Phase { name } => name,
            KernelEvent::Booted { .. } => "booted",
            KernelEvent::Crashed { .. } => "crashed",
            KernelEvent::PowerLost { .. } => "power_lost",
            KernelEvent::StopAsked => "stop_asked",
            KernelEvent::Exited { .. } => "exited",
            KernelEvent::Panicked { .. } => "panicked",
            KernelEvent::Paused => "paused",
            KernelEvent::Resumed { .. } => "resumed",
            KernelEvent::Collected { .. } => "collected",
            KernelEvent::OutOfMemory { .. } => "out_of_memory",
            KernelEvent::LinkCut { .. } => "link_cut",
            KernelEvent::LinkHealed { .. } => "link_healed",
            KernelEvent::LinkForgot { .. } => "link_forgot",
            KernelEvent::LinkRemembers { .. } => "link_remembers",
            KernelEvent::DiskStalled => "disk_stalled",
            KernelEvent::DiskGoesOn { .. } => "disk_goes_on",
            KernelEvent::DiskHarmed { .. } => "disk_harmed",
            KernelEvent::Fault { .. } => "fault",
            KernelEvent::FaultOver { .. } => "fault_over",
        }
    }

    fn text(&self) -> String {
        match self {
            KernelEvent::Phase { name } => name.to_string(),
            KernelEvent::Booted { boot } => format!("boot {boot}"),
            KernelEvent::Crashed { tasks } => format!("process died, {tasks} tasks with it"),
            KernelEvent::PowerLost { unsynced: 0, .. } => "power lost, nothing was unsynced".into(),
            KernelEvent::PowerLost { unsynced, lost } => {
                format!("power lost, and with it {lost} of {unsynced} unsynced bytes")
            }
            KernelEvent::StopAsked => "asked to stop".into(),
            KernelEvent::Exited { error: None } => "node returned".into(),
            KernelEvent::Exited { error: Some(error) } => format!("node gave up: {error}"),
            KernelEvent::Panicked { text } => format!("panic: {text}"),
            KernelEvent::Paused => "process paused".into(),
            KernelEvent::Resumed { ns } => {
                format!("process resumed after {} ms", host::unit::millis(*ns))
            }
            KernelEvent::Collected { full, live, garbage, ns } => {
                let which = if *full { "" } else { "young " };
                let ms = host::unit::millis(*ns);
                format!("{which}collection took {ms} ms, {garbage} bytes freed, {live} left")
            }
            KernelEvent::OutOfMemory { held } => format!("process ended, it held {held} bytes"),
            KernelEvent::LinkCut { to_name, .. } => format!("no longer reaches {to_name}"),
            KernelEvent::LinkHealed { to_name, .. } => format!("reaches {to_name} again"),
            KernelEvent::LinkForgot { to_name, .. } => {
                format!("no longer reaches {to_name} on the connections there are")
            }
            KernelEvent::LinkRemembers { to_name, .. } => {
                format!("reaches {to_name} on old connections again")
            }
            KernelEvent::DiskStalled => "disk stalls".into(),
            KernelEvent::DiskGoesOn { ns } => {
                format!("disk goes on after {} ms", host::unit::millis(*ns))
            }
            KernelEvent::DiskHarmed { ranges, damaged } => {
                let how = if *damaged { "damage" } else { "loss" };
                format!("{how} of durable bytes comes out, in {ranges} places")
            }
            KernelEvent::Fault { kind, text } => format!("{kind} {text}"),
            KernelEvent::FaultOver { kind } => format!("{kind} is over"),
        }
    }

    fn facts(&self, facts: &mut Facts<'_>) {
        match self {
            KernelEvent::Booted { boot } => facts.num(u64::from(*boot)),
            KernelEvent::Crashed { tasks } => facts.num(*tasks),
            KernelEvent::PowerLost { unsynced, lost } => facts.num(*unsynced).num(*lost),
            KernelEvent::Exited { error } => facts.num(u64::from(error.is_some())),
            KernelEvent::Resumed { ns } | KernelEvent::DiskGoesOn { ns } => facts.num(*ns),
            KernelEvent::Collected { full, live, garbage, ns } => {
                facts.num(u64::from(*full)).num(*live).num(*garbage).num(*ns)
            }
            KernelEvent::OutOfMemory { held } => facts.num(*held),
            KernelEvent::LinkCut { to, .. }
            | KernelEvent::LinkHealed { to, .. }
            | KernelEvent::LinkForgot { to, .. }
            | KernelEvent::LinkRemembers { to, .. } => facts.num(*to as u64),
            KernelEvent::DiskHarmed { ranges, damaged } => {
                facts.num(*ranges).num(u64::from(*damaged))
            }
            KernelEvent::Fault { kind, text } => facts.word(kind).word(text),
            KernelEvent::FaultOver { kind } => facts.word(kind),
            _ => facts,
        };
    }

    fn weight(&self) -> Weight {
        match self {
            KernelEvent::LinkCut { .. }
            | KernelEvent::LinkHealed { .. }
            | KernelEvent::LinkForgot { .. }
            | KernelEvent::LinkRemembers { .. } => Weight::Detail,
            KernelEvent::Booted { boot: 1 } | KernelEvent::Collected { full: false, .. } => {
                Weight::Fine
            }
            _ => Weight::Story,
        }
    }

    fn role(&self) -> Option<Role> {
        match self {
            KernelEvent::Booted { .. } => Some(Role { word: "follower", mark: '.' }),
            KernelEvent::Crashed { .. }
            | KernelEvent::OutOfMemory { .. }
            | KernelEvent::PowerLost { .. }
            | KernelEvent::Exited { .. }
            | KernelEvent::Panicked { .. } => Some(Role { word: "down", mark: '#' }),
            _ => None,
        }
    }
}

/// How an operation of a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpEnd {
    /// It was acknowledged.
    Ok,
    /// It surely did not happen.
    Fail,
    /// It may have happened, or may still.
    Unknown,
}

/// What a client asked for, and what it was told. Clients record these, never the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ClientEvent {
    /// A request left. `value` identifies what is written, e.g. by (client, op).
    Invoked { client: u64, op: u64, kind: &'static str, key: String, value: u64 },
    /// An operation under way wants its key to have this version, 0 for missing, or will do nothing.
    Expects { client: u64, op: u64, version: u64 },
    /// Its outcome. `version` is the server's order of writes to this key, 0 if unknown.
    Returned { client: u64, op: u64, end: OpEnd, version: u64, value: u64 },
    /// What an operation under way found at a key: (version, value). A range tells it of each key it covers.
    Read { client: u64, op: u64, key: String, found: Option<(u64, u64)> },
    /// After the blackout: what a key reads as. `None` if it is missing.
    ReadBack { client: u64, key: String, found: Option<(u64, u64)> },
    /// After the blackout: a key could not be read at all.
    ReadBackFailed { client: u64, key: String },
}

impl ClientEvent {
    /// The words that a trigger can wait for.
    pub const WORDS: &'static [&'static str] =
        &["op_invoked", "op_expects", "op_ok", "op_fail", "op_unknown", "op_read"];
}

impl Event for ClientEvent {
    fn source(&self) -> &'static str {
        "client"
    }

    fn word(&self) -> &'static str {
        match self {
            ClientEvent::Invoked { .. } => "op_invoked",
            ClientEvent::Expects { .. } => "op_expects",
            ClientEvent::Returned { end: OpEnd::Ok, .. } => "op_ok",
            ClientEvent::Returned { end: OpEnd::Fail, .. } => "op_fail",
            ClientEvent::Returned { end: OpEnd::Unknown, .. } => "op_unknown",
            ClientEvent::Read { .. } => "op_read",
            ClientEvent::ReadBack { .. } => "read_back",
            ClientEvent::ReadBackFailed { .. } => "read_back_failed",
        }
    }

    fn text(&self) -> String {
        match self {
            ClientEvent::Invoked { op, kind, key, .. } => format!("op {op}: {kind} {key}"),
            ClientEvent::Expects { op, version, .. } => {
                format!("op {op}: expects version {version}")
            }
            ClientEvent::Returned { op, end, version, .. } => match end {
                OpEnd::Ok => format!("op {op}: ok, version {version}"),
                OpEnd::Fail => format!("op {op}: failed"),
                OpEnd::Unknown => format!("op {op}: outcome unknown"),
            },
            ClientEvent::Read { op, key, found: Some((version, _)), .. } => {
                format!("op {op}: {key} has version {version}")
            }
            ClientEvent::Read { op, key, found: None, .. } => format!("op {op}: {key} is missing"),
            ClientEvent::ReadBack { key, found: Some((version, _)), .. } => {
                format!("{key} reads back with version {version}")
            }
            ClientEvent::ReadBack { key, found: None, .. } => format!("{key} is missing"),
            ClientEvent::ReadBackFailed { key, .. } => format!("{key} cannot be read"),
        }
    }

    fn facts(&self, facts: &mut Facts<'_>) {
        match self {
            ClientEvent::Invoked { client, op, kind, key, value } => {
                facts.num(*client).num(*op).word(kind).word(key).num(*value)
            }
            ClientEvent::Expects { client, op, version } => {
                facts.num(*client).num(*op).num(*version)
            }
            ClientEvent::Returned { client, op, end, version, value } => {
                facts.num(*client).num(*op).num(*end as u64).num(*version).num(*value)
            }
            ClientEvent::Read { client, op, key, found } => {
                let (version, value) = found.unwrap_or((0, 0));
                facts.num(*client).num(*op).word(key).num(version).num(value)
            }
            ClientEvent::ReadBack { client, key, found } => {
                let (version, value) = found.unwrap_or((0, 0));
                facts.num(*client).word(key).num(version).num(value)
            }
            ClientEvent::ReadBackFailed { client, key } => facts.num(*client).word(key),
        };
    }

    fn weight(&self) -> Weight {
        match self {
            ClientEvent::ReadBackFailed { .. } => Weight::Story,
            ClientEvent::ReadBack { found: None, .. } => Weight::Story,
            _ => Weight::Fine,
        }
    }
}
