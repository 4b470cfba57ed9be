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

/// In a process that may not make files longer than a few blocks: an append that does not fit is written
/// in part before the system refuses it.
async fn outgrow(disk: host::Disk, path: PathBuf) {
    let class = Class("wal");
    let file = disk.open("wal", OpenMode::Fresh).await.unwrap();
    let mut chunks = Chunks::from(vec![2; 700]);
    chunks.push(vec![3; 1_000_000].into());
    for record in [Chunks::from(vec![1; 1_000_000]), chunks] {
        let before = file.append(class, Chunks::from(vec![9; 300])).await.unwrap() + 300;
        file.append(class, record.clone()).await.unwrap_err();
        assert_eq!(file.len().await.unwrap(), before);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), before, "half an append is left");
        let extents = vec![(0, Chunks::from(vec![8; 10])), (before - 5, record)];
        file.write_at(class, extents).await.unwrap_err();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), before, "half a write is left");
    }
    assert_eq!(file.append(class, Chunks::from(vec![5; 5])).await.unwrap(), 600);
    file.sync(class).await.unwrap();
    assert_eq!(&file.read_at(600, 9).await.unwrap().to_bytes()[..], [5; 5]);
}

#[test]
fn a_refused_append_leaves_nothing() {
    const CHILD: &str = "WAVETANK_FILES_ARE_SHORT";
    if std::env::var_os(CHILD).is_some() {
        let (machine, root) = machine("short");
        let (disk, path) = (machine.host().disk(), root.0.join("wal"));
        assert_eq!(on(&machine.host(), outgrow(disk, path)), Some(()));
        return;
    }
    let child = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg("a_refused_append_leaves_nothing")
        .env(CHILD, "1")
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn an_append_that_cannot_be_taken_back_spoils_its_file() {
    let (machine, root) = machine("spoiled");
    std::os::unix::fs::symlink("/dev/full", root.0.join("wal")).unwrap();
    let disk = machine.host().disk();
    let kinds = on(&machine.host(), async move {
        let file = disk.open("wal", OpenMode::Existing).await.unwrap();
        let full = file.append(Class("wal"), Chunks::from(vec![1; 10])).await.unwrap_err();
        (full.kind(), file.len().await.unwrap(), file.sync(Class("wal")).await.is_err())
    });
    // A device has no length to cut; `metadata` says zero, so nothing of the append is there.
    assert_eq!(kinds, Some((ErrorKind::StorageFull, 0, true)));
}

#[test]
fn tasks_that_look_at_no_outcome_end_with_their_machine() {
    let (machine, _root) = machine("endless");
    let alive = Arc::new(());
    for _ in 0..32 {
        let (clock, held) = (machine.host().clock(), alive.clone());
        drop(machine.host().thread("main").spawn("endless", async move {
            let _held = held;
            loop {
                clock.sleep(Duration::from_millis(1)).await;
            }
        }));
    }
    std::thread::sleep(Duration::from_millis(20));
    machine.shutdown();
    assert_eq!(Arc::strong_count(&alive), 1, "a task is still there");
}
