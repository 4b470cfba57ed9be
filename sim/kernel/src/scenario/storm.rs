//! `[swarm]` and `[atlas]`: what bounds the storm of a scenario as a whole. Which kinds of faults are off in
//! a seed and about which timeouts outages are drawn; and how many hosts may be harmed for good, so that an
//! alarm is never a legitimate loss.
//! Left out: bounds for single lines, which each `[[fault]]` has itself.

use host::settings::{Text, nearest};
use host::unit::{Ratio, parse_span};

use crate::doc::Reader;
use crate::model::atlas::Atlas;
use crate::plan::Swarm;

host::settings! {
    /// What `[swarm]` may say besides its list.
    pub struct SwarmHead {
        /// The share of seeds in which a kind of fault is off, for each kind.
        kinds_off: Ratio = "0%";
    }
}

host::settings! {
    /// How many hosts may be harmed for good, so that an alarm is never a legitimate loss.
    pub struct AtlasHead {
        /// Hosts whose durable bytes may be destroyed such that checksums notice: a number, or `minority`.
        damages: Text = "minority";
        /// Hosts that may forget durable bytes without a trace.
        forgets: u64 = "0", "0..64";
    }
}

impl AtlasHead {
    pub(super) fn atlas(&self, nodes: u64) -> Result<Atlas, String> {
        let nodes = nodes as usize;
        let damages = match self.damages.0.as_str() {
            "minority" => Atlas::minority(nodes),
            text => text.parse().ok().filter(|n| *n <= nodes).ok_or_else(|| {
                format!("`{text}` is not `minority`, nor a number of hosts from 0 to {nodes}")
            })?,
        };
        if self.forgets > nodes as u64 {
            return Err(format!("forgets = {}: there are {nodes} hosts", self.forgets));
        }
        Ok(Atlas::new(damages, self.forgets as usize))
    }
}

/// `around` names settings whose values, both ends of those that are ranges, are timeouts.
pub(super) fn swarm(r: &mut Reader<'_>) -> Swarm {
    let head: SwarmHead = r.settings("swarm", "");
    let mut around = Vec::new();
    for key in r.many("swarm", "around") {
        let Some(value) = r.effective.iter().find(|e| e.key == key).map(|e| e.value.clone()) else {
            let near = nearest(&key, r.effective.iter().map(|e| e.key.as_str()));
            let hint = near.map_or(String::new(), |k| format!("; did you mean `{k}`?"));
            r.problem("swarm.around", format!("no value `{key}` stands above{hint}"));
            continue;
        };
        match parse_span(&value) {
            Ok(span) => around.extend([host::unit::nanos(span.min), host::unit::nanos(span.max)]),
            Err(why) => r.problem("swarm.around", format!("`{key}`: {why}")),
        }
    }
    around.retain(|timeout| *timeout > 0);
    around.sort_unstable();
    around.dedup();
    Swarm { kinds_off: head.kinds_off, around }
}
