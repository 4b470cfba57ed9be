//! The nodes fall into two halves that reach each other only through the selected hosts (`on`): these
//! talk to everybody, the others only to their own half and to them. A partial partition, which a
//! protocol that forwards nothing sees as two overlapping clusters: with one bridge of five nodes each
//! half forms a majority with it, and both may elect.
//!
//! Who belongs to which half is drawn, by the line of the scenario. Clients reach everybody. Cuts nest,
//! and the end heals what it cut. An effect is a frame or request that vanished.
//!
//! Left out: bridges that forward. Source: Jepsen's `bridge`; Alfatafta et al., "Toward a generic fault
//! tolerance technique for partial network partitioning" (OSDI 2020).

use std::sync::Arc;

use kernel::fault::{Control, Fault};
use kernel::registry::{NoParams, Word, fault};

struct NetworkBridge;

/// The word `network_bridge`.
pub fn word() -> Word<Arc<dyn Fault>> {
    let about = "The other nodes fall into two halves that reach each other only through the selected \
                 hosts, for `lasts`.";
    fault("network_bridge", about, |_: NoParams| NetworkBridge)
}

/// The two halves of the nodes beside the bridge; the same at the beginning and at the end.
fn halves(control: &Control<'_>, bridge: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut rest: Vec<usize> = (0..control.nodes()).filter(|h| !bridge.contains(h)).collect();
    crate::shuffle(&mut rest, &mut control.choice("network_bridge"));
    let mut other = rest.split_off(rest.len() / 2);
    rest.sort_unstable();
    other.sort_unstable();
    (rest, other)
}

/// Both directions of each link between the halves.
fn links(control: &Control<'_>, bridge: &[usize]) -> Vec<(usize, usize)> {
    let (one, other) = halves(control, bridge);
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b)));
    pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

impl Fault for NetworkBridge {
    fn begin(&self, control: &mut Control<'_>, hosts: &[usize]) -> String {
        for (from, to) in links(control, hosts) {
            control.cut(from, to);
        }
        let (one, other) = halves(control, hosts);
        let names = |hosts: &[usize]| crate::names(control, hosts);
        format!("{} - {} - {}", names(&one), names(hosts), names(&other))
    }

    fn end(&self, control: &mut Control<'_>, hosts: &[usize]) {
        for (from, to) in links(control, hosts) {
            control.heal(from, to);
        }
    }
}
