//! The system under test: a primary takes puts, ships its log to one backup, and acknowledges a put once
//! both have synced it. A backup that hears nothing takes over in a view of its own: n1 leads the odd views,
//! n2 the even ones, and the higher view wins when they meet.
//!
//! It cannot tell a dead peer from one that it does not reach, and with `alone = "yes"` it does not care:
//! either side of a cut goes on by itself, and both acknowledge. That is split brain, and `one_primary`
//! finds it. With `alone = "no"` a put needs both disks, so two primaries can believe in themselves and
//! neither acknowledges: safe, and nothing is acknowledged while either node is away. To be available as
//! well takes three nodes and a majority.
//!
//! Left out: a log that is ever cut, values that are more than a number, and one put at a time is all it
//! does. Everything goes through `host`, so this file would run on sockets and disks as it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use host::settings::Word;
use host::{
    Addr, Chunks, Class, Conn, Event, Facts, File, Host, Listener, Members, Mono, OpenMode,
    Receiver, Role, Sender, Style, Weight,
};
use tokio::sync::Mutex;

host::settings! {
    /// How the pair is kept together.
    pub struct Config {
        /// The primary ships, or says that there is nothing to ship, so often.
        heartbeat: Duration = "20ms", "1ms..1h";
        /// n1 takes over after hearing nothing for so long, n2 after twice that.
        takeover: Duration = "200ms", "1ms..1h";
        /// Whether a primary that does not reach its backup acknowledges puts by itself.
        alone: Word = "yes", "yes|no";
    }
}

impl Config {
    /// Refuses what cannot work.
    pub fn validate(&self) -> Result<(), String> {
        match self.heartbeat * 4 <= self.takeover {
            true => Ok(()),
            false => Err("takeover must be at least four heartbeats".into()),
        }
    }
}

/// The first word of a message.
pub mod verb {
    /// `[SHIP, view, first, (view, key, value)..]` -> `[view, length of the log]`.
    pub const SHIP: u64 = 1;
    /// `[PUT, key, value]` -> `[DONE, version]`, `[UNKNOWN]` or `[ELSEWHERE]`.
    pub const PUT: u64 = 2;
    /// `[GET, key]` -> `[DONE, version, value]`, `[MISSING]` or `[ELSEWHERE]`.
    pub const GET: u64 = 3;
    /// It is so.
    pub const DONE: u64 = 4;
    /// It may be so.
    pub const UNKNOWN: u64 = 5;
    /// Not here and not now: ask the other node.
    pub const ELSEWHERE: u64 = 6;
    /// There is no such key.
    pub const MISSING: u64 = 7;
}

/// What the checks and the story are told.
#[derive(Debug)]
pub enum PairEvent {
    /// It leads this view.
    Primary { view: u64 },
    /// It follows this view.
    Backup { view: u64 },
    /// It promised a put to a client.
    Acked { view: u64, index: u64 },
}

impl PairEvent {
    /// What triggers can wait for.
    pub const WORDS: &'static [&'static str] = &["took_over", "backs_up", "put_acked"];
}

impl Event for PairEvent {
    fn source(&self) -> &'static str {
        "pair"
    }
    fn word(&self) -> &'static str {
        match self {
            PairEvent::Primary { .. } => "took_over",
            PairEvent::Backup { .. } => "backs_up",
            PairEvent::Acked { .. } => "put_acked",
        }
    }
    fn text(&self) -> String {
        match self {
            PairEvent::Primary { view } => format!("primary, view {view}"),
            PairEvent::Backup { view } => format!("backup, view {view}"),
            PairEvent::Acked { view, index } => format!("acknowledges {index}, view {view}"),
        }
    }
    fn facts(&self, facts: &mut Facts<'_>) {
        match self {
            PairEvent::Primary { view } | PairEvent::Backup { view } => facts.num(*view),
            PairEvent::Acked { view, index } => facts.num(*view).num(*index),
        };
    }
    fn weight(&self) -> Weight {
        match self {
            PairEvent::Acked { .. } => Weight::Detail,
            _ => Weight::Story,
        }
    }
    fn role(&self) -> Option<Role> {
        match self {
            PairEvent::Primary { .. } => Some(Role { word: "leader", mark: 'L' }),
            PairEvent::Backup { .. } => Some(Role { word: "follower", mark: '.' }),
            PairEvent::Acked { .. } => None,
        }
    }
}

const LOG: Class = Class("log");
const PEER: Class = Class("ship");
const CLIENT: Class = Class("client");
/// view, key, value and their sum: a torn record does not add up.
const RECORD: u64 = 32;
/// The key of the entry with which a view begins.
const BEGINS: u64 = u64::MAX;

/// (view, key, value).
type Entry = [u64; 3];

struct State {
    file: File,
    /// What is in the file, synced.
    log: Vec<Entry>,
    /// The highest view heard of.
    view: u64,
    primary: bool,
    /// When the primary was last heard.
    heard: Mono,
    link: Option<(Sender, Receiver)>,
    /// How much of the log the backup has synced; `None` while it is silent.
    shipped: Option<u64>,
}

struct Node {
    host: Host,
    config: Config,
    me: u64,
    peer: Addr,
    state: Mutex<State>,
}

/// Runs a node of the pair; called at every boot, with the same disk.
pub async fn run(host: Host, config: Config, members: Members) -> io::Result<()> {
    let (me, peer) = match &members.all[..] {
        [one, two] if members.me == one.id => (one, two),
        [one, two] if members.me == two.id => (two, one),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "a pair has two hosts")),
    };
    let (file, log) = recover(&host).await?;
    let (view, heard) = (log.last().map_or(0, |e| e[0]), host.clock().now());
    let state = State { file, log, view, primary: false, heard, link: None, shipped: None };
    let peers = host.net().listen(&me.peer_addr).await?;
    let clients = host.net().listen(&me.client_addr).await?;
    let (me, peer, beat) = (me.id, peer.peer_addr.clone(), config.heartbeat);
    let node = Arc::new(Node { host: host.clone(), config, me, peer, state: Mutex::new(state) });
    host.thread("pair").spawn("from_peer", accept(node.clone(), peers));
    host.thread("pair").spawn("from_clients", accept(node.clone(), clients));
    while host.clock().within(beat, host.stopping()).await.is_none() {
        node.tick().await?;
    }
    Ok(())
}

/// Reads the log up to the first record that does not add up, and cuts the rest.
async fn recover(host: &Host) -> io::Result<(File, Vec<Entry>)> {
    let file = host.disk().open("log", OpenMode::CreateIfMissing).await?;
    host.disk().sync_dir().await?;
    let numbers = numbers(&file.read_at(0, file.len().await?).await?);
    let whole =
        numbers.chunks_exact(4).map_while(|r| (r[3] == sum(r)).then_some([r[0], r[1], r[2]]));
    let log: Vec<Entry> = whole.collect();
    file.truncate(log.len() as u64 * RECORD).await?;
    file.sync(LOG).await?;
    Ok((file, log))
}

async fn accept(node: Arc<Node>, listener: Listener) {
    loop {
        match listener.accept().await {
            Ok(conn) => {
                let serving = node.clone();
                node.host.thread("pair").spawn("serve", async move {
                    // A connection that breaks is the other end's to mend.
                    let _ = serving.serve(conn).await;
                });
            }
            Err(_) => node.host.clock().sleep(node.config.heartbeat).await,
        }
    }
}

impl Node {
    async fn serve(&self, conn: Conn) -> io::Result<()> {
        let (mut tx, mut rx) = conn.split();
        while let Some(message) = rx.recv().await? {
            let answer = match &numbers(&message)[..] {
                [verb::SHIP, view, first, entries @ ..] => {
                    self.follow(*view, *first, entries).await?
                }
                [verb::PUT, key, value] => self.put(*key, *value).await?,
                [verb::GET, key] => self.get(*key).await,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
            tx.send(CLIENT, frame(&answer)).await?;
        }
        Ok(())
    }

    /// A put: on the own disk, then on the backup's, then acknowledged.
    async fn put(&self, key: u64, value: u64) -> io::Result<Vec<u64>> {
        let mut state = self.state.lock().await;
        let alone = self.config.alone.0 == "yes";
        if !state.primary || (state.shipped.is_none() && !alone) {
            return Ok(vec![verb::ELSEWHERE]);
        }
        let view = state.view;
        self.append(&mut state, &[[view, key, value]]).await?;
        let index = state.log.len() as u64;
        if state.shipped.is_some() {
            self.ship(&mut state).await;
        }
        if state.primary && (state.shipped == Some(index) || (state.shipped.is_none() && alone)) {
            self.host.emit(PairEvent::Acked { view, index });
            return Ok(vec![verb::DONE, index]);
        }
        Ok(vec![verb::UNKNOWN])
    }

    async fn get(&self, key: u64) -> Vec<u64> {
        let state = self.state.lock().await;
        let newest = state.log.iter().rposition(|e| e[1] == key);
        match newest {
            _ if !state.primary => vec![verb::ELSEWHERE],
            Some(at) => vec![verb::DONE, at as u64 + 1, state.log[at][2]],
            None => vec![verb::MISSING],
        }
    }

    /// A heartbeat of the primary; a look at the clock of the backup.
    async fn tick(&self) -> io::Result<()> {
        let mut state = self.state.lock().await;
        let silent = self.host.clock().now().since(state.heard);
        if !state.primary && silent > self.config.takeover * self.me as u32 {
            // n1 leads the odd views, n2 the even ones.
            state.view += if (state.view + 1) % 2 == self.me % 2 { 1 } else { 2 };
            (state.primary, state.link, state.shipped) = (true, None, None);
            let view = state.view;
            self.append(&mut state, &[[view, BEGINS, 0]]).await?;
            self.host.emit(PairEvent::Primary { view });
        }
        if state.primary {
            self.ship(&mut state).await;
        }
        Ok(())
    }

    /// Sends the backup what it lacks, until it has everything or does not answer.
    async fn ship(&self, state: &mut State) {
        loop {
            let first = state.shipped.unwrap_or(0);
            let mut message = vec![verb::SHIP, state.view, first + 1];
            message.extend(state.log[first as usize..].as_flattened());
            let patience = self.config.takeover / 2;
            match self.host.clock().within(patience, self.ask(state, &message)).await {
                Some(Ok((view, _))) if view > state.view => return self.step_down(state, view),
                Some(Ok((_, has))) => state.shipped = Some(has),
                _ => {
                    (state.link, state.shipped) = (None, None);
                    return;
                }
            }
            if state.shipped == Some(state.log.len() as u64) {
                return;
            }
        }
    }

    async fn ask(&self, state: &mut State, message: &[u64]) -> io::Result<(u64, u64)> {
        let (mut tx, mut rx) = match state.link.take() {
            Some(link) => link,
            None => {
                let within = self.config.takeover / 2;
                self.host.net().dial(&self.peer, within, Style::Stream).await?.split()
            }
        };
        tx.send(PEER, frame(message)).await?;
        let answer = rx.recv().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        state.link = Some((tx, rx));
        match numbers(&answer)[..] {
            [view, has] if has <= state.log.len() as u64 => Ok((view, has)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn step_down(&self, state: &mut State, view: u64) {
        if state.primary || view > state.view {
            self.host.emit(PairEvent::Backup { view });
        }
        (state.primary, state.view, state.heard) = (false, view, self.host.clock().now());
    }

    /// The backup's side of a shipment. A log of another view is replaced as a whole.
    async fn follow(&self, view: u64, first: u64, words: &[u64]) -> io::Result<Vec<u64>> {
        let mut state = self.state.lock().await;
        if view < state.view {
            return Ok(vec![state.view, 0]);
        }
        self.step_down(&mut state, view);
        let (entries, _) = words.as_chunks::<3>();
        let has = state.log.len() as u64;
        let same = state.log.last().is_some_and(|e| e[0] == view);
        match first.checked_sub(1) {
            Some(0) if !same => self.replace(&mut state, entries).await?,
            Some(before) if same && before <= has => {
                let known = ((has - before) as usize).min(entries.len());
                self.append(&mut state, &entries[known..]).await?;
            }
            _ => return Ok(vec![view, if same { has } else { 0 }]),
        }
        Ok(vec![view, state.log.len() as u64])
    }

    async fn append(&self, state: &mut State, entries: &[Entry]) -> io::Result<()> {
        if !entries.is_empty() {
            state.file.append(LOG, records(entries)).await?;
            state.file.sync(LOG).await?;
            state.log.extend(entries);
        }
        Ok(())
    }

    /// Another log in place of this one, at once or not at all.
    async fn replace(&self, state: &mut State, entries: &[Entry]) -> io::Result<()> {
        let disk = self.host.disk();
        let file = disk.open("log.new", OpenMode::Fresh).await?;
        file.append(LOG, records(entries)).await?;
        file.sync(LOG).await?;
        disk.rename("log.new", "log").await?;
        disk.sync_dir().await?;
        (state.file, state.log) = (file, entries.to_vec());
        Ok(())
    }
}

fn sum(record: &[u64]) -> u64 {
    record[..3].iter().fold(0x5bd1_e995, |sum, n| (sum ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn records(entries: &[Entry]) -> Chunks {
    let words: Vec<u64> = entries.iter().flat_map(|e| [e[0], e[1], e[2], sum(e)]).collect();
    frame(&words)
}

/// Numbers as bytes.
pub fn frame(words: &[u64]) -> Chunks {
    words.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>().into()
}

/// Bytes as numbers; what is left over is dropped.
pub fn numbers(bytes: &Chunks) -> Vec<u64> {
    let flat = bytes.to_bytes();
    let (words, _) = flat.as_chunks::<8>();
    words.iter().map(|w| u64::from_le_bytes(*w)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_record_does_not_add_up() {
        let whole = numbers(&records(&[[1, BEGINS, 0], [1, 7, 9]]));
        let adds_up = |words: &[u64]| {
            words.chunks_exact(4).map_while(|r| (r[3] == sum(r)).then_some(())).count()
        };
        assert_eq!(adds_up(&whole), 2);
        assert_eq!(adds_up(&whole[..7]), 1, "the end is missing");
        let mut zeroes = whole.clone();
        zeroes[4..].fill(0);
        assert_eq!(adds_up(&zeroes), 1, "the end was never written");
    }

    #[test]
    fn a_takeover_needs_some_heartbeats_of_silence() {
        let mut config = Config::default();
        assert!(config.validate().is_ok());
        config.takeover = config.heartbeat * 3;
        assert!(config.validate().is_err());
    }
}
