//! Three processes on loopback, or as many as a test asks for, with addresses and folders of their own,
//! that end with the test whatever happens to it. Everything waits by looking again until a deadline, never
//! for a fixed time.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs::File;
use std::net::TcpStream;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use host::real::Machine;
use host::{Addr, Member, Members};
use rustix::process::{Pid, Signal, kill_process};
use store::client::{Client, Found, Outcome, Status};
use tokio_real::runtime::Runtime;

/// How long anything may take before the test gives up; far more than it takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// For a machine of two cores on which other things run.
const CALM: &str = "heartbeat = \"100ms\"\nelection_timeout = \"500ms..1s\"\n";

/// One cluster at a time: they would take each other's cores and disk.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks again until there is something, and gives up loudly.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The program with these arguments, run to its end.
pub fn real(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavetank-node"));
    command.args(arguments).env_remove("WAVETANK_LOG").stdin(Stdio::null()).output().unwrap()
}

/// The value that an operation of a client puts: long enough to fill log segments, and its own.
pub fn value(client: u64, op: u64) -> Bytes {
    format!("{client}/{op};").repeat(1 + (op as usize * 37) % 200).into()
}

/// How a node's log says that it leads.
const LEADS: &str = ": leader, term ";

/// The term and the leader that a line of a node's log tells of, if it does.
fn reign(id: u64, line: &str) -> Option<(u64, u64)> {
    let number = |before: &str| -> Option<u64> {
        let rest = line.split_once(before)?.1;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let leader = if line.contains(LEADS) { id } else { number(": follows n")? };
    Some((number(", term ")?, leader))
}

pub struct Cluster {
    pub dir: PathBuf,
    pub members: Members,
    nodes: Vec<Option<Child>>,
    pub runtime: Runtime,
    outside: Machine,
    _alone: MutexGuard<'static, ()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().flatten() {
            let _ = node.kill();
            let _ = node.wait();
        }
        if std::thread::panicking() {
            for id in self.ids() {
                let log = self.log(id);
                let from = log.char_indices().rev().nth(3000).map_or(0, |(at, _)| at);
                eprintln!("-- n{id}\n{}", &log[from..]);
            }
        } else {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

impl Cluster {
    /// Three nodes that have elected a leader. `net` is this test's part of the loopback network.
    pub fn start(name: &str, net: u8, settings: &str) -> Cluster {
        Cluster::start_of(3, name, net, settings)
    }

    /// So many nodes, of which a majority follows the same leader.
    pub fn start_of(count: u64, name: &str, net: u8, settings: &str) -> Cluster {
        let mut cluster = Cluster::prepare(count, name, net, settings);
        cluster.ids().for_each(|id| cluster.boot(id));
        cluster.leader();
        cluster
    }

    fn ids(&self) -> std::ops::RangeInclusive<u64> {
        1..=self.members.all.len() as u64
    }

    fn prepare(count: u64, name: &str, net: u8, settings: &str) -> Cluster {
        let _alone = alone();
        let pid = std::process::id();
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{pid}"));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let addr = |port: u64| Addr(format!("127.{net}.{}.{}:{port}", pid >> 8 & 0xff, pid & 0xff));
        let member = |id: u64| Member {
            id,
            name: format!("n{id}"),
            peer_addr: addr(7000 + id),
            client_addr: addr(8000 + id),
        };
        let members = Members { me: 0, all: (1..=count).map(member).collect() };
        let table = |m: &Member| {
            let (peer, client) = (&m.peer_addr, &m.client_addr);
            format!("[[member]]\nid = {}\npeer = \"{peer}\"\nclient = \"{client}\"\n", m.id)
        };
        let tables: String = members.all.iter().map(table).collect();
        std::fs::write(dir.join("cluster.toml"), format!("{tables}[config]\n{CALM}{settings}"))
            .unwrap();
        let outside = Machine::diskless("outside").start().unwrap();
        let runtime = Runtime::new().unwrap();
        let nodes = (0..count).map(|_| None).collect();
        Cluster { dir, members, nodes, runtime, outside, _alone }
    }

    pub fn config(&self) -> String {
        self.dir.join("cluster.toml").display().to_string()
    }

    pub fn folder(&self, id: u64) -> PathBuf {
        self.dir.join(format!("n{id}"))
    }

    /// What a node has said since the test began.
    pub fn log(&self, id: u64) -> String {
        std::fs::read_to_string(self.dir.join(format!("n{id}.log"))).unwrap_or_default()
    }

    /// Every line in which a node tells of elections, in any boot of the test so far.
    pub fn elections(&self) -> Vec<String> {
        let logs: Vec<String> = self.ids().map(|id| self.log(id)).collect();
        let lines = logs.iter().flat_map(|log| log.lines());
        let tells = |line: &&str| line.contains(", term ") || line.contains("no leader for ");
        lines.filter(tells).map(str::to_string).collect()
    }

    /// The highest term of which any node has told who leads, and that leader; (0, 0) before the first.
    pub fn reign(&self) -> (u64, u64) {
        let known = self.ids().map(|id| self.log(id).lines().filter_map(|l| reign(id, l)).max());
        known.flatten().max().unwrap_or((0, 0))
    }

    /// Whether a node's last word on elections is that it leads, and nobody tells of a later leader.
    pub fn leads(&self, id: u64) -> bool {
        let log = self.log(id);
        let last = log.lines().rfind(|line| line.contains(", term "));
        let last = last.filter(|line| line.contains(LEADS)).and_then(|line| reign(id, line));
        last.is_some_and(|last| last == self.reign())
    }

    pub fn boot(&mut self, id: u64) {
        let log = self.dir.join(format!("n{id}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_wavetank-node"))
            .args(["store", "--config", &self.config(), "--me", &id.to_string()])
            .args(["--data", &self.folder(id).display().to_string()])
            .env("WAVETANK_LOG", "wavetank=info,warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let before = self.nodes[id as usize - 1].replace(child);
        assert!(before.is_none(), "n{id} runs already");
    }

    pub fn pid(&self, id: u64) -> u32 {
        self.nodes[id as usize - 1].as_ref().expect("it runs").id()
    }

    /// `kill -9`: nothing is flushed, nothing is said.
    pub fn kill(&mut self, id: u64) {
        let mut node = self.nodes[id as usize - 1].take().expect("it runs");
        node.kill().unwrap();
        node.wait().unwrap();
    }

    /// SIGTERM, and what it came to.
    pub fn stop(&mut self, id: u64) -> ExitStatus {
        let pid = Pid::from_raw(self.pid(id) as i32).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.ended(id)
    }

    /// Waits until a node has ended by itself.
    pub fn ended(&mut self, id: u64) -> ExitStatus {
        let mut node = self.nodes[id as usize - 1].take().expect("it runs");
        let status = until("the end of a process", || node.try_wait().unwrap());
        drop(node);
        status
    }

    /// Stops those that run, in order.
    pub fn stop_all(&mut self) {
        for id in self.ids().filter(|id| self.nodes[*id as usize - 1].is_some()).collect::<Vec<_>>()
        {
            let status = self.stop(id);
            assert_eq!(status.code(), Some(0), "n{id}: {status}");
        }
    }

    pub fn client(&self, id: u64) -> Client {
        Client::new(self.outside.host(), self.members.clone(), id)
    }

    /// Puts that all must succeed.
    pub fn put_all(&self, client: &mut Client, ops: Range<u64>) {
        for op in ops {
            let (key, value) = (format!("{}/{op:08}", client.id()), value(client.id(), op));
            let put = self.runtime.block_on(client.put(key.as_bytes(), op, value, PATIENCE));
            assert!(matches!(put, Outcome::Ok { .. }), "{key}: {put:?}");
        }
    }

    /// Gets that must all find what a client put.
    pub fn expect_all(&self, of: u64, ops: Range<u64>) {
        let mut client = self.client(0);
        for op in ops {
            let key = format!("{of}/{op:08}");
            match self.runtime.block_on(client.get(key.as_bytes(), PATIENCE)) {
                Found::Value { value: found, .. } => assert_eq!(found, value(of, op), "{key}"),
                other => panic!("{key}: {other:?}"),
            }
        }
    }

    /// What each node says of itself.
    pub fn statuses(&self) -> Vec<Option<Status>> {
        let mut client = self.client(0);
        let mut status = |id| self.runtime.block_on(client.status(id, Duration::from_secs(2)));
        self.ids().map(&mut status).collect()
    }

    /// The node that leads, by its own word and that of a majority.
    pub fn leader(&self) -> u64 {
        until("a leader", || {
            let statuses = self.statuses();
            let says = |id: u64| statuses.iter().flatten().filter(|s| s.leader == id).count();
            let leads = |id: &u64| statuses[*id as usize - 1].is_some_and(|s| s.leader == *id);
            self.ids().filter(leads).find(|id| says(*id) >= 2)
        })
    }

    /// All of them, once they hold the same.
    pub fn agreed(&self) -> Status {
        until("agreement of three nodes", || {
            let statuses = self.statuses();
            let first = statuses[0]?;
            (first.leader > 0 && statuses.iter().all(|s| *s == Some(first))).then_some(first)
        })
    }

    /// A connection to one of a node's two ports, without any client behind it.
    pub fn raw(addr: &Addr) -> std::io::Result<TcpStream> {
        let raw = TcpStream::connect(&addr.0)?;
        raw.set_read_timeout(Some(Duration::from_secs(2)))?;
        raw.set_write_timeout(Some(Duration::from_secs(2)))?;
        Ok(raw)
    }
}
