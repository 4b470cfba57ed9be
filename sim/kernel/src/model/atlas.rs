//! The atlas: which hosts a run may do lasting harm to, so that an alarm is never a legitimate loss.
//!
//! A cluster survives the damage of fewer copies than it has, and of no more. There are two budgets,
//! counted in hosts. `damages`: hosts whose durable bytes may be destroyed in a way that checksums
//! notice; a node may refuse to serve from such a disk, so by default they are a minority.
//! `forgets`: hosts that may lose durable bytes without a trace: lost and misdirected writes, synced
//! names that vanish, syncs that lied, wiped and restored disks. Its default is 0, because plain
//! Raft does not survive a single voter that forgets: it votes twice, or acknowledges an entry that
//! is then on no majority. A scenario that wants such a host says so, and knows what it asks for.
//!
//! Hosts are admitted first come first served, when the fault acts; one that was admitted stays so.
//! Whoever is refused is spared: nothing happens to it and nothing is counted.
//! Source: TigerBeetle's ClusterFaultAtlas, which reckons by block; here a whole host is one unit,
//! for a node may keep one promise in several files.

use std::collections::BTreeSet;

/// The budgets, and who has drawn on them.
#[derive(Clone, Debug, Default)]
pub struct Atlas {
    damages: usize,
    forgets: usize,
    damaged: BTreeSet<usize>,
    forgot: BTreeSet<usize>,
}

impl Atlas {
    /// With so many hosts to be harmed in each way at most.
    pub fn new(damages: usize, forgets: usize) -> Atlas {
        Atlas { damages, forgets, ..Atlas::default() }
    }

    /// The largest number of hosts that is no majority's hindrance.
    pub fn minority(nodes: usize) -> usize {
        nodes.saturating_sub(1) / 2
    }

    /// Whether durable bytes of this host may be destroyed noticeably; from now on they may.
    pub fn admits_damage(&mut self, host: usize) -> bool {
        admit(&mut self.damaged, self.damages, host)
    }

    /// Whether this host may forget durable bytes; from now on it may.
    pub fn admits_forgetting(&mut self, host: usize) -> bool {
        admit(&mut self.forgot, self.forgets, host)
    }
}

fn admit(admitted: &mut BTreeSet<usize>, budget: usize, host: usize) -> bool {
    if !admitted.contains(&host) && admitted.len() >= budget {
        return false;
    }
    admitted.insert(host);
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_minority_leaves_a_majority() {
        for nodes in 1..20 {
            let left = nodes - Atlas::minority(nodes);
            assert!(2 * left > nodes, "{nodes}");
            assert!(2 * (left - 1) <= nodes, "{nodes}: one more could be spared");
        }
    }

    proptest! {
        #[test]
        fn a_budget_is_never_exceeded_and_nobody_loses_a_place(
            damages in 0usize..4, forgets in 0usize..4,
            asks in prop::collection::vec((any::<bool>(), 0usize..7), 0..60),
        ) {
            let mut atlas = Atlas::new(damages, forgets);
            let mut admitted = [BTreeSet::new(), BTreeSet::new()];
            for (forgetting, host) in asks {
                let asked = if forgetting {
                    atlas.admits_forgetting(host)
                } else {
                    atlas.admits_damage(host)
                };
                let (mine, budget) =
                    (&mut admitted[usize::from(forgetting)], [damages, forgets][usize::from(forgetting)]);
                prop_assert!(asked || !mine.contains(&host), "admitted once, admitted for good");
                prop_assert!(asked || mine.len() == budget, "refused although there was room");
                if asked {
                    mine.insert(host);
                }
                prop_assert!(mine.len() <= budget);
            }
        }
    }
}
