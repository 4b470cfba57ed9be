//! The conformance suite on the real arm, and what only the real arm promises: names that stay in
//! their folder, frames bounded before they are read, one machine per folder, panics on record.

mod bench;

use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bench::Reboots;
use host::conformance::CASES;
use host::real::Machine;
use host::{Addr, Chunks, Class, Host, OpenMode, Style};

#[test]
fn the_real_arm_keeps_every_promise() {
    let broken: Vec<String> = CASES
        .iter()
        .filter_map(|case| {
            let start = Instant::now();
            let outcome = bench::run(case, Arc::new(|arm| arm), Reboots::Real);
            println!("{:8.0?}  {}", start.elapsed(), case.name);
            outcome.err().map(|why| format!("{}: {why}", case.name))
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A folder that goes away with its test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A machine on an empty folder, and the folder.
fn machine(name: &str) -> (Machine, Folder) {
    let root = std::env::temp_dir().join(format!("wavetank-real-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    let machine = Machine::builder(name, root.clone()).max_frame(1 << 20).start().unwrap();
    (machine, Folder(root))
}

/// Runs a future on the machine's thread `main` and waits for what it says.
fn on<T: Send + 'static>(host: &Host, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (tx, rx) = mpsc::channel();
    host.thread("main").spawn("test", async move {
        let _ = tx.send(work.await);
    });
    rx.recv_timeout(Duration::from_secs(20)).ok()
}

#[test]
fn names_stay_in_their_folder() {
    let (machine, root) = machine("names");
    let host = machine.host();
    let disk = host.disk();
    let kinds = on(&host, async move {
        let mut kinds = Vec::new();
        for name in ["", "/etc/passwd", "../up", "a/../../up", "a//b", "./a", "a/", "a\0b"] {
            kinds.push(
                disk.open(name, OpenMode::CreateIfMissing).await.map(drop).unwrap_err().kind(),
            );
            kinds.push(disk.rename("x", name).await.unwrap_err().kind());
        }
        kinds
    });
    let kinds = kinds.unwrap();
    assert!(kinds.iter().all(|kind| *kind == ErrorKind::InvalidInput), "{kinds:?}");
    machine.shutdown();
    assert_eq!(std::fs::read_dir(&root.0).unwrap().count(), 0);
}

#[test]
fn a_folder_belongs_to_one_machine_and_syncs_are_counted() {
    let (machine, root) = machine("owner");
    let second = Machine::builder("second", root.0.clone()).start();
    assert_eq!(second.err().map(|why| why.kind()), Some(ErrorKind::ResourceBusy));
    let host = machine.host();
    let disk = host.disk();
    on(&host, async move {
        let file = disk.open("a/b/c", OpenMode::Fresh).await.unwrap();
        file.append(Class("wal"), Chunks::from(vec![1; 10])).await.unwrap();
        file.sync(Class("wal")).await.unwrap();
        disk.sync_dir().await.unwrap();
        disk.sync_dir().await.unwrap();
    })
    .unwrap();
    // One file, and the folders `.`, `a`, `a/b`, once.
    assert_eq!(machine.syncs(), 4);
    machine.shutdown();
    Machine::builder("third", root.0.clone()).start().expect("the folder is free again").shutdown();
}

#[test]
fn an_oversize_frame_breaks_the_connection() {
    let (machine, _root) = machine("oversize");
    let host = machine.host();
    let addr = Addr(format!("127.99.{}.7:7700", std::process::id() & 0xff));
    let listener = on(&host, {
        let (net, addr) = (host.net(), addr.clone());
        async move { net.listen(&addr).await.unwrap() }
    })
    .unwrap();
    let mut raw = std::net::TcpStream::connect(&addr.0).unwrap();
    raw.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    raw.write_all(&[2, 0, 0, 0, b'o', b'k']).unwrap();
    raw.write_all(&u32::MAX.to_le_bytes()).unwrap();
    let (first, second) = on(&host, async move {
        let (_tx, mut rx) = listener.accept().await.unwrap().split();
        let first = rx.recv().await.unwrap().unwrap();
        (first, rx.recv().await.unwrap_err().kind())
    })
    .unwrap();
    assert_eq!(&first.to_bytes()[..], b"ok");
    assert_eq!(second, ErrorKind::InvalidData);
    let after = raw.read(&mut [0; 16]);
    assert!(matches!(after, Ok(0) | Err(_)), "{after:?}");
}

#[test]
fn a_panic_is_recorded_and_asks_for_a_stop() {
    let (machine, _root) = machine("panic");
    let host = machine.host();
    let stopped = host.clone();
    drop(host.thread("side").spawn("doomed", async { panic!("on purpose") }));
    assert!(on(&host, async move { stopped.stopping().await }).is_some());
    assert_eq!(machine.panics(), ["doomed: on purpose"]);
}

#[test]
fn those_who_wait_for_an_ended_machine_are_told() {
    let (ended, _ended_root) = machine("ended");
    let (living, _living_root) = machine("living");
    let (net, clock) = (ended.host().net(), ended.host().clock());
    let addr = Addr(format!("127.98.{}.7:7700", std::process::id() & 0xff));
    let (tx, rx) = mpsc::channel();
    let waiting = tx.clone();
    living.host().thread("main").spawn("waits", async move {
        let listener = net.listen(&addr).await.unwrap();
        waiting.send(None).unwrap();
        let outcome = listener.accept().await.map(drop);
        waiting.send(Some(outcome.is_err())).unwrap();
        clock.sleep(Duration::from_secs(3600)).await;
        let dialled = net.dial(&addr, Duration::from_secs(60), Style::Stream).await;
        waiting.send(Some(dialled.is_err())).unwrap();
    });
    assert_eq!(rx.recv_timeout(Duration::from_secs(20)), Ok(None));
    ended.shutdown();
    assert_eq!(rx.recv_timeout(Duration::from_secs(20)), Ok(Some(true)));
    assert_eq!(rx.recv_timeout(Duration::from_secs(20)), Ok(Some(true)));
}

#[test]
fn a_blocked_thread_does_not_outlive_its_machine() {
    struct Told(mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (machine, _root) = machine("blocked");
    let (thread, (tx, rx)) = (machine.host().thread("main"), mpsc::channel());
    let (own, (began, begins)) = (thread.clone(), mpsc::channel());
    drop(thread.spawn("blocks", async move {
        let _told = Told(tx);
        own.block(async move {
            began.send(()).unwrap();
            std::future::pending::<()>().await
        })
        .await;
    }));
    begins.recv_timeout(Duration::from_secs(20)).unwrap();
    machine.shutdown();
    assert_eq!(rx.try_recv(), Ok(()), "its task was not dropped");
}
