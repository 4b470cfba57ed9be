//! One real node on loopback: every command does what it says, a forgotten session is replaced, and
//! clients that break the rules cost their connection and nothing else. What needs several nodes is
//! in `real_three.rs` and in the simulator.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use host::real::Machine;
use host::settings::Settings;
use host::{Addr, Member, Members};
use store::client::{Client, Found, Item, Listing, Outcome};
use tokio::sync::oneshot;

const WITHIN: Duration = Duration::from_secs(20);

/// A node, a machine for its clients, and where both are.
struct Bench {
    node: Machine,
    ended: oneshot::Receiver<std::io::Result<()>>,
    outside: Machine,
    members: Members,
    dir: PathBuf,
}

impl Bench {
    fn new(name: &str, settings: &[(&str, &str)]) -> Bench {
        let dir = std::env::temp_dir().join(format!("wavetank-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let mut config = store::Config::default();
        settings.iter().for_each(|(key, value)| config.set(key, value).unwrap());
        let free = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [peer_addr, client_addr] =
            free.each_ref().map(|at| Addr(at.local_addr().unwrap().to_string()));
        drop(free);
        let me = Member { id: 1, name: "n1".into(), peer_addr, client_addr };
        let members = Members { me: 1, all: vec![me] };
        let node = Machine::builder("n1", dir.join("n1")).start().unwrap();
        let outside = Machine::builder("client", dir.join("client")).start().unwrap();
        let (tx, ended) = oneshot::channel();
        let run = store::run(node.host(), config, members.clone());
        node.host().thread("main").spawn("store", async move {
            let _ = tx.send(run.await);
        });
        Bench { node, ended, outside, members, dir }
    }

    fn client(&self, id: u64) -> Client {
        Client::new(self.outside.host(), self.members.clone(), id)
    }

    /// A connection past the client library.
    fn raw(&self) -> TcpStream {
        let conn = TcpStream::connect(&self.members.all[0].client_addr.0).unwrap();
        conn.set_read_timeout(Some(WITHIN)).unwrap();
        conn
    }

    fn end(self) {
        self.node.stop();
        self.ended.blocking_recv().unwrap().unwrap();
        assert_eq!(self.node.panics(), Vec::<String>::new());
        self.node.shutdown();
        self.outside.shutdown();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn version(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Ok { version } => version,
        other => panic!("{other:?}"),
    }
}

/// Whether the other side has ended the connection, orderly or not.
fn is_over(conn: &mut TcpStream) -> bool {
    match conn.read(&mut [0; 64]) {
        Ok(n) => n == 0,
        Err(why) => why.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn every_command_does_what_it_says() {
    let bench = Bench::new("commands", &[("max_range", "1KB")]);
    let mut client = bench.client(7);
    block_on(async {
        let value = |fill: u8| Bytes::from(vec![fill; 400]);
        for (op, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
            version(client.put(key.as_bytes(), op as u64, value(op as u8), WITHIN).await);
        }
        let found = client.get(b"b", WITHIN).await;
        let Found::Value { version: b, client: 7, op: 1, value: read } = found else {
            panic!("{found:?}")
        };
        assert_eq!(read, value(1));
        let wrong = client.compare_and_set(b"b", 4, b + 1, value(4), WITHIN).await;
        assert_eq!(wrong, Outcome::Mismatch { version: b });
        let newer = version(client.compare_and_set(b"b", 5, b, value(5), WITHIN).await);
        assert!(newer > b);
        let fresh = version(client.compare_and_set(b"e", 6, 0, value(6), WITHIN).await);
        assert!(version(client.delete(b"e", 7, WITHIN).await) > fresh);
        assert_eq!(client.get(b"e", WITHIN).await, Found::Missing);

        let keys = |listing: Listing| match listing {
            Listing::Items { items, more } => {
                let name = |item: Item| String::from_utf8(item.key.to_vec()).unwrap();
                (items.into_iter().map(name).collect::<String>(), more)
            }
            Listing::Fail(why) => panic!("{why}"),
        };
        // Two items of 400 bytes fit into the bound of a kilobyte.
        assert_eq!(keys(client.range(b"", b"", 100, WITHIN).await), ("ab".into(), true));
        assert_eq!(keys(client.range(b"c", b"", 100, WITHIN).await), ("cd".into(), false));
        assert_eq!(keys(client.range(b"a", b"b", 100, WITHIN).await), ("a".into(), false));
        assert_eq!(keys(client.range(b"a", b"z", 1, WITHIN).await), ("a".into(), true));
        assert_eq!(keys(client.range(b"z", b"a", 1, WITHIN).await), (String::new(), false));

        assert_eq!(client.transfer(1, WITHIN).await, Outcome::Ok { version: 0 }, "it leads");
        let refused = |outcome: Outcome, why: &str| {
            assert!(matches!(outcome, Outcome::Fail(said) if said.contains(why)), "{outcome:?}");
        };
        refused(client.transfer(9, WITHIN).await, "no such member");
        let long = client.put(b"a", 8, vec![0; 3_000_000].into(), WITHIN).await;
        refused(long, "max_value");
    });
    drop(client);
    bench.end();
}

#[test]
fn a_session_that_made_room_is_replaced() {
    let bench = Bench::new("sessions", &[("max_sessions", "1")]);
    let (mut one, mut other) = (bench.client(1), bench.client(2));
    block_on(async {
        for op in 0..5 {
            version(one.put(b"one", op, Bytes::new(), WITHIN).await);
            version(other.put(b"other", op, Bytes::new(), WITHIN).await);
        }
    });
    drop((one, other));
    bench.end();
}

#[test]
fn garbage_costs_the_connection_only() {
    let bench = Bench::new("garbage", &[]);
    let mut client = bench.client(1);
    block_on(async { version(client.put(b"k", 1, Bytes::new(), WITHIN).await) });
    // A frame that is no request, and lengths of which the greatest is beyond any frame.
    for head in [[9_u8, 0, 0, 0], [0; 4], [0xff; 4], [0, 0, 0, 9]] {
        let mut conn = bench.raw();
        let mut bytes = head.to_vec();
        bytes.extend_from_slice(&[0xee; 9]);
        conn.write_all(&bytes).unwrap();
        // The node may have ended it already.
        let _ = conn.shutdown(std::net::Shutdown::Write);
        assert!(is_over(&mut conn), "{head:?}");
    }
    block_on(async {
        let found = client.get(b"k", WITHIN).await;
        assert!(matches!(found, Found::Value { op: 1, .. }), "{found:?}");
    });
    drop(client);
    bench.end();
}

#[test]
fn connections_are_bounded_in_number_and_silence() {
    let settings = [("max_clients", "2"), ("idle_timeout", "300ms")];
    let bench = Bench::new("bounds", &settings);
    // Who serves is there.
    let mut client = bench.client(1);
    block_on(async { version(client.put(b"k", 1, Bytes::new(), WITHIN).await) });
    drop(client);
    let mut crowd: Vec<TcpStream> = (0..20).map(|_| bench.raw()).collect();
    // Most are closed at once, those that were let in when they have been silent for too long.
    assert!(crowd.iter_mut().all(is_over));
    let mut client = bench.client(2);
    block_on(async { version(client.put(b"k", 2, Bytes::new(), WITHIN).await) });
    bench.end();
}

#[test]
fn a_stop_ends_connections_after_their_replies() {
    let bench = Bench::new("stop", &[]);
    let mut client = bench.client(1);
    block_on(async { version(client.put(b"k", 1, Bytes::new(), WITHIN).await) });
    let mut silent = bench.raw();
    let members = bench.members.clone();
    bench.end();
    assert!(is_over(&mut silent));
    assert!(TcpStream::connect(&members.all[0].client_addr.0).is_err(), "nobody listens");
    drop(client);
}
