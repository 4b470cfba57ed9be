//! Clients that put numbers under a few keys, one after another, and read all keys back after the blackout.
//! They know no primary: each put begins at a node of chance, as behind a load balancer. What was sent and
//! not answered is recorded as unknown and never repeated: a second put would hide whether the first was
//! lost. Left out: reads during the load.

use std::sync::Arc;
use std::time::Duration;

use host::unit::{Span, nanos};
use host::{Class, Mono, Receiver, Sender, Style};
use kernel::event::OpEnd;
use kernel::registry::{Word, workload};
use kernel::workload::{Client, ClientFuture, Load, Workload};

use crate::node::{frame, numbers, verb};

host::settings! {
    /// The parameters of `pair_put`.
    pub struct Params {
        /// How many clients put at the same time.
        clients: u64 = "4", "1..1000";
        /// Puts over all clients.
        count: u64 = "400", "1..1000000";
        /// Keys that they share.
        keys: u64 = "20", "1..1000000";
        /// The pause after each put.
        think: Span = "10ms..30ms", "0ns..1h";
        /// How long a put is tried.
        within: Duration = "2s", "1ms..1h";
    }
}

/// The word `pair_put`.
pub fn word() -> Word<Arc<dyn Workload>> {
    let about = "Clients put numbers under a few keys and read them back after a blackout.";
    workload("pair_put", about, |params: Params| Ok(PairPut { params }))
}

struct PairPut {
    params: Params,
}

impl Workload for PairPut {
    fn clients(&self) -> u64 {
        self.params.clients
    }
    fn start(&self) -> Arc<dyn Load> {
        Arc::new(PairPut { params: self.params.clone() })
    }
}

impl Load for PairPut {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            let mut asker = Asker::new(&client);
            let ops = (client.index..self.params.count).step_by(self.params.clients as usize);
            for op in ops.filter(|op| !client.skips(*op)) {
                let mut rng = client.host.rng("load", op);
                let (key, value) = (rng.below(self.params.keys), client.number << 32 | op);
                asker.target = rng.below(client.members.all.len() as u64) as usize;
                client.invoked(op, "put", &format!("k{key}"), value);
                let until = client.host.clock().now() + self.params.within;
                let (end, version) = match asker.ask(&[verb::PUT, key, value], until).await {
                    Answer::Said(words) if words[..1] == [verb::DONE] => (OpEnd::Ok, words[1]),
                    Answer::Said(_) | Answer::Lost => (OpEnd::Unknown, 0),
                    Answer::Unheard => (OpEnd::Fail, 0),
                };
                client.returned(op, end, version, value);
                let Span { min, max } = self.params.think;
                let pause = rng.between(nanos(min), nanos(max));
                client.host.clock().sleep(Duration::from_nanos(pause)).await;
            }
        })
    }

    fn read_back(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            let mut asker = Asker::new(&client);
            for key in (client.index..self.params.keys).step_by(self.params.clients as usize) {
                let until = client.host.clock().now() + self.params.within * 3;
                let name = format!("k{key}");
                loop {
                    match asker.ask(&[verb::GET, key], until).await {
                        Answer::Said(words) => {
                            let found = (words[0] == verb::DONE).then(|| (words[1], words[2]));
                            client.read_back(&name, found);
                        }
                        Answer::Lost if client.host.clock().now() < until => continue,
                        _ => client.read_back_failed(&name),
                    }
                    break;
                }
            }
        })
    }
}

/// What became of a request.
enum Answer {
    /// The primary's answer.
    Said(Vec<u64>),
    /// It was sent; no answer came.
    Lost,
    /// No primary took it in time.
    Unheard,
}

/// A client's connections, and the node that it asks next.
struct Asker {
    target: usize,
    links: Vec<Option<(Sender, Receiver)>>,
    client: Client,
}

impl Asker {
    fn new(client: &Client) -> Asker {
        let links = client.members.all.iter().map(|_| None).collect();
        Asker { target: 0, links, client: client.clone() }
    }

    async fn ask(&mut self, message: &[u64], until: Mono) -> Answer {
        let clock = self.client.host.clock();
        while clock.now() < until {
            let left = until.since(clock.now());
            if self.links[self.target].is_none() {
                let addr = &self.client.members.all[self.target].client_addr;
                let dial = left.min(Duration::from_millis(100));
                let dialled = self.client.host.net().dial(addr, dial, Style::Stream).await;
                self.links[self.target] = dialled.ok().map(|conn| conn.split());
            }
            if let Some((mut tx, mut rx)) = self.links[self.target].take() {
                let exchange = async {
                    tx.send(Class("client"), frame(message)).await.ok()?;
                    Some(numbers(&rx.recv().await.ok()??))
                };
                match clock.within(left, exchange).await.flatten() {
                    Some(words) => {
                        self.links[self.target] = Some((tx, rx));
                        if !words.is_empty() && words[..] != [verb::ELSEWHERE] {
                            return Answer::Said(words);
                        }
                    }
                    None => {
                        self.turn();
                        return Answer::Lost;
                    }
                }
            }
            self.turn();
            clock.sleep(Duration::from_millis(10)).await;
        }
        Answer::Unheard
    }

    /// The other node next time.
    fn turn(&mut self) {
        self.target = (self.target + 1) % self.client.members.all.len();
    }
}
