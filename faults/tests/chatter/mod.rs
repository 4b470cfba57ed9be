//! A toy node for faults of the network, and what its hosts hear: every host tells every other one where
//! it stands, again and again, over streams that it dials anew now and then or over datagrams.
//! Whatever a host learns of a fault, it learns by what arrives; an answer says no more than that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::{Addr, Chunks, Class, Host, Members, Receiver, Sender, Style};
use kernel::doc::Doc;
use kernel::outcome::{Outcome, Verdict};
use kernel::registry::{NoParams, Registry, node, workload};
use kernel::run::{Options, leak, run};
use kernel::scenario::Scenario;
use kernel::workload::{Client, ClientFuture, Load, Workload};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A load that lasts as long as the scenario.
struct Waits;

impl Workload for Waits {
    fn clients(&self) -> u64 {
        1
    }
    fn start(&self) -> Arc<dyn Load> {
        Arc::new(Waits)
    }
}

impl Load for Waits {
    fn load(self: Arc<Self>, client: Client) -> ClientFuture {
        Box::pin(async move {
            client.invoked(0, "nothing", "k", 0);
            client.returned(0, kernel::event::OpEnd::Ok, 1, 0);
            std::future::pending().await
        })
    }
    fn read_back(self: Arc<Self>, _: Client) -> ClientFuture {
        Box::pin(async {})
    }
}

/// A frame that arrived. Times in microseconds on the hosts' clocks, which no fault here touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub at: u64,
    pub sent: u64,
    pub from: u64,
    pub to: u64,
    /// Which of the sender's connections, and which of those that the receiver accepted.
    pub dialled: u64,
    pub accepted: u64,
    pub number: u64,
    pub whole: bool,
}

impl Heard {
    /// How long it was under way; clocks run apart a little.
    pub fn way(&self) -> u64 {
        self.at.saturating_sub(self.sent)
    }
}

pub type Story = Arc<Mutex<Vec<Heard>>>;

/// The longest that a frame is under way in fair weather (us): the profile's 5 ms, and clocks that differ.
pub const FAIR: u64 = 5_500;

/// How the hosts talk.
#[derive(Clone, Copy)]
pub struct Talk {
    pub style: Style,
    /// Frames after which a connection is closed and another dialled.
    pub frames: u64,
    pub every: Duration,
    /// Whether whoever hears a frame says so, which ends the connection.
    pub answers: bool,
}

pub const STREAM: Talk = Talk {
    style: Style::Stream,
    frames: u64::MAX,
    every: Duration::from_millis(2),
    answers: false,
};
pub const ASKING: Talk = Talk { every: Duration::from_millis(20), answers: true, ..STREAM };
pub const SHORT: Talk = Talk { frames: 10, ..STREAM };
pub const DATAGRAM: Talk = Talk { style: Style::Datagram, ..STREAM };

/// A node that was booted at the start of the run: clocks begin at whole seconds of their own, so the time
/// since then is known.
#[derive(Clone)]
struct Chatter {
    host: Host,
    me: u64,
    talk: Talk,
    origin: u64,
    story: Story,
}

impl Chatter {
    fn micros(&self) -> u64 {
        (self.host.clock().now().0 - self.origin) / 1_000
    }

    /// Tells what it hears on a connection.
    async fn hears(self, from: u64, accepted: u64, mut rx: Receiver, mut tx: Sender) {
        while let Ok(Some(frame)) = rx.recv().await {
            let bytes = frame.to_bytes();
            let n = |at: usize| u64::from_le_bytes(bytes[8 * at..8 * at + 8].try_into().unwrap());
            let whole = bytes[..32] == bytes[32..];
            let (dialled, number, sent) = (n(0), n(1), n(2));
            let (at, to) = (self.micros(), self.me);
            let heard = Heard { at, sent, from, to, dialled, accepted, number, whole };
            self.story.lock().unwrap().push(heard);
            if self.talk.answers {
                let _ = tx.send(Class("even"), frame).await;
            }
        }
    }

    /// Talks to one peer for ever; what it sends is in turn of the classes `even` and `odd`.
    async fn talks(self, peer: String) {
        let clock = self.host.clock();
        for dialled in 0.. {
            clock.sleep(ms(1)).await;
            let at = Addr(format!("{peer}:1"));
            let dial = self.host.net().dial(&at, ms(20), self.talk.style).await;
            let Ok(conn) = dial else { continue };
            let (mut tx, mut rx) = conn.split();
            for number in 0..self.talk.frames {
                let numbers = [dialled, number, self.micros(), 0];
                let mut frame: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
                frame.extend_from_within(..);
                let class = Class(if number % 2 == 0 { "even" } else { "odd" });
                if tx.send(class, Chunks::from(frame)).await.is_err() {
                    break;
                }
                // What comes, if anything does, is an answer or the end.
                if clock.within(self.talk.every, rx.recv()).await.is_some() {
                    break;
                }
            }
        }
    }
}

async fn chatters(host: Host, members: Members, talk: Talk, story: Story) -> std::io::Result<()> {
    let now = host.clock().now().0;
    let origin = now - now % 1_000_000_000;
    let chatter = Chatter { host: host.clone(), me: members.me, talk, origin, story };
    let listener = host.net().listen(&Addr(format!("{}:1", host.name()))).await?;
    for member in members.all.iter().filter(|m| m.id != members.me) {
        drop(host.thread("talk").spawn("talk", chatter.clone().talks(member.name.clone())));
    }
    for accepted in 0.. {
        let conn = listener.accept().await?;
        let from = conn.peer()[1..].parse().expect("a node");
        let (tx, rx) = conn.split();
        drop(host.thread("hear").spawn("hear", chatter.clone().hears(from, accepted, rx, tx)));
    }
    Ok(())
}

pub fn registry(talk: Talk) -> (&'static Registry, Story) {
    let story = Story::default();
    let tells = story.clone();
    let run = move |host, _: NoParams, members| chatters(host, members, talk, tells.clone());
    let registry = leak(Registry {
        nodes: vec![node("toy", "Under test.", &[], &[], |_| Ok(()), run)],
        workloads: vec![workload("waits", "Never ends.", |_: NoParams| Ok(Waits))],
        faults: faults::words(),
        ..Registry::default()
    });
    (registry, story)
}

pub fn scenario(registry: &Registry, hosts: u64, faults: &str) -> Arc<Scenario> {
    let text = format!(
        "title = \"t\"\nprofile = \"p\"\nduration = \"1s\"\nsettle = \"200ms\"\n\
         [cluster]\nnode = \"toy\"\nhosts = {hosts}\n[[workload]]\nkind = \"waits\"\n{faults}"
    );
    let mut doc = Doc::parse("toy.toml", &text, "").unwrap();
    let machine = include_str!("../../../sim/profiles/ssd_lan.toml");
    doc.merge(Doc::parse("ssd_lan.toml", machine, "profile").unwrap());
    Arc::new(Scenario::read("toy", &doc, registry).unwrap_or_else(|p| panic!("{p:?}")))
}

/// What was heard under the faults, and the run. A verdict of the machinery is a failure of the test.
pub fn heard(talk: Talk, hosts: u64, faults: &str, seed: u64) -> (Vec<Heard>, Outcome) {
    let (registry, story) = registry(talk);
    let scenario = scenario(registry, hosts, faults);
    let outcome = run(&scenario, registry, &Options::seed(seed)).unwrap();
    assert_eq!(outcome.verdict, Verdict::Pass, "{:?}", outcome.violations);
    let story = std::mem::take(&mut *story.lock().unwrap());
    (story, outcome)
}

pub fn effects(outcome: &Outcome) -> u64 {
    outcome.faults.iter().map(|f| f.effects).sum()
}

/// A fault on n1 from 100 ms to 400 ms of the load.
pub fn fault(kind: &str, rest: &str) -> String {
    format!(
        "[[fault]]\nkind = \"{kind}\"\non = \"n1\"\nwhen = \"100ms\"\nlasts = \"300ms\"\n{rest}\n"
    )
}

/// The moments (us) at which the first fault of the run began, and 300 ms later.
pub fn span(outcome: &Outcome) -> (u64, u64) {
    let begin = outcome.fired[0].at / 1_000;
    // What clocks run apart is left out.
    (begin + 500, begin + 299_500)
}

/// Frames by (from, to, connection, number), and how often each was heard.
pub fn copies(story: &[Heard]) -> BTreeMap<(u64, u64, u64, u64), Vec<Heard>> {
    let mut out = BTreeMap::<_, Vec<Heard>>::new();
    for heard in story {
        out.entry((heard.from, heard.to, heard.dialled, heard.number)).or_default().push(*heard);
    }
    out
}

/// The longest time (us) between two arrivals from one host at another, within the span.
pub fn longest_gap(story: &[Heard], from: u64, to: u64) -> u64 {
    let at: Vec<u64> =
        story.iter().filter(|h| (h.from, h.to) == (from, to)).map(|h| h.at).collect();
    at.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(u64::MAX)
}

pub fn sent_in(
    story: &[Heard],
    (from, to): (u64, u64),
    span: (u64, u64),
) -> impl Iterator<Item = &Heard> {
    let here = move |h: &&Heard| (h.from, h.to) == (from, to) && span.0 < h.sent && h.sent < span.1;
    story.iter().filter(here)
}
