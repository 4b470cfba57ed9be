//! Which hosts there are: what a node is told at boot besides its configuration.
//! Addresses are the arm's: host names in simulation, socket addresses in reality.
//! Left out: which of them vote; consensus changes that, and says so in its own log.

use crate::Addr;

/// One member of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Counted from 1.
    pub id: u64,
    /// Name of its host (`n3`).
    pub name: String,
    /// Where it listens for its peers.
    pub peer_addr: Addr,
    /// Where it listens for clients.
    pub client_addr: Addr,
}

/// The members of a cluster, and which of them this host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// This host's id; 0 for a host that is no member, such as a client.
    pub me: u64,
    /// All members, in the order of their ids.
    pub all: Vec<Member>,
}

impl Members {
    /// The member of that id.
    pub fn get(&self, id: u64) -> Option<&Member> {
        self.all.iter().find(|m| m.id == id)
    }
}
