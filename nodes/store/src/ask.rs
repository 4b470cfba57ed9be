//! How a client gets an answer out of a cluster: one connection, to the node that it believes
//! leads; redirections followed, the next node tried after an error, pauses that grow and vary so
//! that a crowd does not come back at once. A request is sent again until somebody gives a definite
//! answer or time is over; whether that is harmless is the business of whoever asks.
//!
//! `Manners` say otherwise where somebody wants that: another time for each attempt, no pauses, a
//! copy of every request. Nobody reads what comes back to a copy, so a copy that left counts as an
//! attempt that got lost: it may do what the first was refused.

use std::io;
use std::time::Duration;

use host::{Class, Host, Members, Mono, Receiver, Sender, Style};

use crate::wire::{Reply, Request, decode_reply, encode_request};

const CLIENT: Class = Class("client");
/// How long a connection may take before another node is tried.
const DIAL: Duration = Duration::from_millis(500);
/// The first pause; it doubles until `PAUSE_MAX`, and is drawn between half and three halves.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(160);
/// The least time that a node has for its answer before another is asked; else it has a quarter of
/// the whole.
const TRY: Duration = Duration::from_millis(500);

/// The pause of a client that makes none: its own work between two attempts.
const NO_PAUSE: Duration = Duration::from_millis(2);

/// What a client does between two attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pauses {
    /// It waits, longer from time to time.
    #[default]
    Growing,
    /// It asks again at once.
    None,
}

/// A request that is sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twice {
    /// How long after the first.
    pub after: Duration,
    /// Whether to another node.
    pub elsewhere: bool,
}

/// How a client goes about getting an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// How long an attempt may take; else a quarter of the whole time, and half a second at least.
    pub each: Option<Duration>,
    /// What it does between attempts.
    pub pauses: Pauses,
    /// Whether each request is sent twice.
    pub twice: Option<Twice>,
    /// Whether it is given up with the first answer that is none, redirections apart, and with the
    /// first attempt that brings none; an attempt then has the whole time.
    pub once: bool,
}

/// Says how to go about the next attempt.
pub(crate) type Ways = Box<dyn Fn() -> Manners + Send + Sync>;

/// How long there is for an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    until: Mono,
    /// For one node's answer.
    each: Duration,
}

/// Why one attempt brought no reply.
enum Missed {
    /// The request did not leave.
    Unsent(io::Error),
    /// It left.
    Sent(io::Error),
}

/// Whether something that left in an attempt may still be done, whatever the attempt was told. A copy
/// left with the first, and nobody hears what it is told.
fn leaves_open(attempt: &Result<Reply, Missed>, twice: bool) -> bool {
    match attempt {
        Ok(Reply::Lost) | Err(Missed::Sent(_)) => true,
        Ok(_) => twice,
        Err(Missed::Unsent(_)) => false,
    }
}

/// What came of asking.
pub(crate) struct Asked {
    /// The definite answer: neither a redirection nor "busy" nor "lost".
    pub(crate) reply: Option<Reply>,
    /// Whether an attempt left, or a copy of one, to which nobody gave a definite answer.
    pub(crate) lost: bool,
    /// How far asking came.
    pub(crate) met: Met,
}

/// Whom a client without an answer has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// Not one node has said a word.
    Nobody,
    /// Nodes that know no leader, or one who does not answer.
    Nodes,
    /// A node that follows somebody whom the client does not know.
    Strangers,
}

/// The way to the cluster.
pub(crate) struct Asker {
    host: Host,
    pub(crate) members: Members,
    id: u64,
    /// Position in `members.all` of the node to ask.
    target: usize,
    link: Option<(Sender, Receiver)>,
    requests: u64,
    /// Attempts in a row that brought nothing.
    vain: u32,
    pub(crate) ways: Option<Ways>,
    manners: Manners,
}

impl Asker {
    pub(crate) fn new(host: Host, members: Members, id: u64) -> Asker {
        assert!(!members.all.is_empty(), "a client needs somebody to ask");
        let target = (id % members.all.len() as u64) as usize;
        let (ways, manners) = (None, Manners::default());
        Asker { host, members, id, target, link: None, requests: 0, vain: 0, ways, manners }
    }

    pub(crate) fn patience(&self, within: Duration) -> Patience {
        Patience { until: self.host.clock().now() + within, each: TRY.max(within / 4) }
    }

    /// Asks until there is a definite answer or time is over.
    pub(crate) async fn ask(&mut self, request: &Request, patience: Patience) -> Asked {
        let (mut lost, mut met) = (false, Met::Nobody);
        while !self.left(patience).is_zero() {
            let attempt = self.attempt(request, patience).await;
            if attempt.is_ok() {
                met = Met::Nodes;
            }
            lost |= leaves_open(&attempt, self.manners.twice.is_some());
            match attempt {
                Ok(Reply::Redirect { leader: 0 } | Reply::Busy | Reply::Lost) | Err(_)
                    if self.manners.once =>
                {
                    // Whoever is asked next time, it is another one.
                    self.link = None;
                    self.target = (self.target + 1) % self.members.all.len();
                    break;
                }
                Ok(Reply::Redirect { leader }) => {
                    if leader > 0 && self.members.get(leader).is_none() {
                        met = Met::Strangers;
                    }
                    self.turn_to(leader, patience).await;
                }
                Ok(Reply::Busy) => self.pause(patience).await,
                Ok(Reply::Lost) | Err(_) => self.turn_to(0, patience).await,
                Ok(reply) => {
                    self.vain = 0;
                    return Asked { reply: Some(reply), lost, met };
                }
            }
        }
        Asked { reply: None, lost, met }
    }

    /// Asks one node once; an error says why it did not answer.
    pub(crate) async fn ask_node(
        &mut self,
        at: usize,
        request: &Request,
        within: Duration,
    ) -> io::Result<Reply> {
        if at != self.target {
            self.link = None;
            self.target = at;
        }
        let until = self.host.clock().now() + within;
        let attempt = self.attempt(request, Patience { until, each: within }).await;
        attempt.map_err(|(Missed::Unsent(why) | Missed::Sent(why))| why)
    }

    /// Chooses whom to ask next: the leader if one is known, else the next node after a pause. Nodes
    /// that send a client to each other and back are not believed any more: they may have been
    /// removed without hearing of it.
    async fn turn_to(&mut self, leader: u64, patience: Patience) {
        self.link = None;
        let known = self.members.all.iter().position(|m| m.id == leader);
        let believed = (self.vain as usize) < self.members.all.len();
        match known.filter(|at| *at != self.target && believed) {
            Some(at) => {
                self.target = at;
                self.vain += 1;
            }
            None => {
                self.target = (self.target + 1) % self.members.all.len();
                self.pause(patience).await;
            }
        }
    }

    async fn pause(&mut self, patience: Patience) {
        if self.manners.pauses == Pauses::None {
            self.vain += 1;
            let clock = self.host.clock();
            return clock.sleep_until(patience.until.min(clock.now() + NO_PAUSE)).await;
        }
        let usual = (PAUSE * (1 << self.vain.min(3))).min(PAUSE_MAX);
        self.vain += 1;
        let (least, most) = (usual / 2, usual * 3 / 2);
        let mut rng = self.host.rng("client_pause", self.id << 32 | self.requests);
        let ns = rng.between(least.as_nanos() as u64, most.as_nanos() as u64);
        let clock = self.host.clock();
        clock.sleep_until(patience.until.min(clock.now() + Duration::from_nanos(ns))).await;
    }

    fn left(&self, patience: Patience) -> Duration {
        patience.until.since(self.host.clock().now())
    }

    /// One request to the current node, and its reply. A connection whose reply did not come is
    /// given up.
    async fn attempt(&mut self, request: &Request, patience: Patience) -> Result<Reply, Missed> {
        self.requests += 1;
        let id = self.requests;
        self.manners = self.ways.as_ref().map_or(self.manners, |ways| ways());
        self.connect(patience).await.map_err(Missed::Unsent)?;
        let (mut tx, mut rx) = self.link.take().expect("connected above");
        let exchange = async {
            tx.send(CLIENT, encode_request(id, request)).await?;
            loop {
                let frame = rx.recv().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
                let (answered, reply) = decode_reply(&frame).ok_or(io::ErrorKind::InvalidData)?;
                if answered == id {
                    return io::Result::Ok(reply);
                }
            }
        };
        let usual = if self.manners.once { Duration::MAX } else { patience.each };
        let within = self.left(patience).min(self.manners.each.unwrap_or(usual));
        if let Some(twice) = self.manners.twice {
            self.send_copy(twice, id, request);
        }
        match self.host.clock().within(within, exchange).await {
            Some(Ok(reply)) => {
                self.link = Some((tx, rx));
                Ok(reply)
            }
            Some(Err(why)) => Err(Missed::Sent(why)),
            None => {
                tx.abort();
                Err(Missed::Sent(io::Error::new(io::ErrorKind::TimedOut, "no reply in time")))
            }
        }
    }

    /// Sends the request a second time, under the same number, by a task of its own.
    fn send_copy(&self, twice: Twice, id: u64, request: &Request) {
        let nodes = &self.members.all;
        let to = (self.target + usize::from(twice.elsewhere)) % nodes.len();
        let (addr, frame) = (nodes[to].client_addr.clone(), encode_request(id, request));
        let host = self.host.clone();
        let copy = async move {
            let clock = host.clock();
            clock.sleep(twice.after).await;
            let Ok(conn) = host.net().dial(&addr, DIAL, Style::Stream).await else { return };
            let (mut tx, mut rx) = conn.split();
            if tx.send(CLIENT, frame).await.is_ok() {
                // Closed before its answer, it might be reset before it is read.
                let _ = clock.within(TRY, rx.recv()).await;
            }
        };
        drop(self.host.thread("copies").spawn("client_copy", copy));
    }

    async fn connect(&mut self, patience: Patience) -> io::Result<()> {
        if self.link.is_none() {
            let addr = &self.members.all[self.target].client_addr;
            let within = DIAL.min(self.left(patience));
            let conn = self.host.net().dial(addr, within, Style::Stream).await?;
            self.link = Some(conn.split());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_may_be_done_though_the_first_was_refused() {
        let error = || io::Error::from(io::ErrorKind::TimedOut);
        for twice in [false, true] {
            assert!(leaves_open(&Ok(Reply::Lost), twice));
            assert!(leaves_open(&Err(Missed::Sent(error())), twice));
            assert!(!leaves_open(&Err(Missed::Unsent(error())), twice));
            for told in [Reply::Busy, Reply::Redirect { leader: 2 }, Reply::NoSession] {
                assert_eq!(leaves_open(&Ok(told), twice), twice);
            }
        }
    }
}
