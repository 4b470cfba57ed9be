//! The conformance suite on the real arm, and what only the real arm promises: names that stay in
//! their folder, frames bounded before they are read, one machine per folder, panics on record.

mod bench;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
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
    let builder = Machine::builder(name, root.clone()).max_frame(1 << 20).max_connections(8);
    let machine = builder.start().unwrap();
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
    // What cannot be synced was not: neither the refusal nor the spoiled file after it counts.
    std::os::unix::fs::symlink("/dev/null", root.0.join("null")).unwrap();
    let disk = host.disk();
    on(&host, async move {
        let file = disk.open("null", OpenMode::Existing).await.unwrap();
        file.sync(Class("wal")).await.unwrap_err();
        file.sync(Class("wal")).await.unwrap_err();
    })
    .unwrap();
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
    let mut raw = TcpStream::connect(&addr.0).unwrap();
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

/// Listens at an address of this test's own and tells each frame that arrives, by connection.
fn listen(host: &Host, net: u8) -> (Addr, mpsc::Receiver<(usize, usize)>) {
    let addr = Addr(format!("127.{net}.{}.7:7700", std::process::id() & 0xff));
    let (tx, rx) = mpsc::channel();
    let (node, at) = (host.clone(), addr.clone());
    on(host, async move {
        let listener = node.net().listen(&at).await.unwrap();
        let thread = node.thread("main");
        node.thread("main").spawn("accept", async move {
            for number in 0.. {
                let Ok(conn) = listener.accept().await else { return };
                let told = tx.clone();
                thread.spawn("read", async move {
                    let (_tx, mut rx) = conn.split();
                    while let Ok(Some(frame)) = rx.recv().await {
                        let _ = told.send((number, frame.len() as usize));
                    }
                });
            }
        });
    })
    .unwrap();
    (addr, rx)
}

fn connect(addr: &Addr) -> TcpStream {
    let raw = TcpStream::connect(&addr.0).unwrap();
    raw.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    raw.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    raw
}

fn is_closed(raw: &mut TcpStream) -> bool {
    match raw.read(&mut [0; 16]) {
        Ok(n) => n == 0,
        Err(why) => why.kind() == ErrorKind::ConnectionReset,
    }
}

fn frame(len: usize) -> Vec<u8> {
    let mut frame = (len as u32).to_le_bytes().to_vec();
    frame.resize(4 + len, 7);
    frame
}

#[test]
fn those_who_connect_and_say_nothing_keep_nobody_out() {
    let (machine, _root) = machine("silent");
    let (addr, frames) = listen(&machine.host(), 97);
    let heard = || frames.recv_timeout(Duration::from_secs(20)).ok();
    let mut first = connect(&addr);
    first.write_all(&frame(5)).unwrap();
    assert_eq!(heard(), Some((0, 5)));
    let mut silent: Vec<TcpStream> = (0..50).map(|_| connect(&addr)).collect();
    let mut late = connect(&addr);
    late.write_all(&frame(6)).unwrap();
    assert_eq!(heard(), Some((51, 6)));
    // Two of eight have spoken; of the silent ones the last six may still be there.
    assert!(silent[..44].iter_mut().all(is_closed));
    first.write_all(&frame(7)).unwrap();
    assert_eq!(heard(), Some((0, 7)));
    // Everybody speaks now, so there is no place for one more.
    for number in 45..51 {
        silent[number - 1].write_all(&frame(number)).unwrap();
        assert_eq!(heard(), Some((number, number)));
    }
    assert!(is_closed(&mut connect(&addr)));
    drop(late);
    let back = (0..200).any(|_| {
        let mut raw = connect(&addr);
        raw.write_all(&frame(9)).is_ok() && frames.recv_timeout(Duration::from_millis(100)).is_ok()
    });
    assert!(back, "the place of one who left is free again");
}

#[test]
fn a_machine_that_is_full_of_strangers_still_dials() {
    let (machine, _root) = machine("dials");
    let host = machine.host();
    let (addr, frames) = listen(&host, 96);
    let _silent: Vec<TcpStream> = (0..20).map(|_| connect(&addr)).collect();
    let net = host.net();
    let sent = on(&host, async move {
        let conn = net.dial(&addr, Duration::from_secs(20), Style::Stream).await.unwrap();
        let (mut tx, _rx) = conn.split();
        tx.send(Class("test"), Chunks::from(vec![1; 11])).await.is_ok()
    });
    assert_eq!(sent, Some(true));
    assert_eq!(frames.recv_timeout(Duration::from_secs(20)), Ok((20, 11)));
}

#[test]
fn unfinished_frames_of_strangers_have_a_bound_together() {
    let (machine, _root) = machine("unfinished");
    let (addr, frames) = listen(&machine.host(), 95);
    // A frame of the greatest length passes; three that never end and hold more than one such do not.
    let mut whole = connect(&addr);
    whole.write_all(&frame(1 << 20)).unwrap();
    assert_eq!(frames.recv_timeout(Duration::from_secs(20)), Ok((0, 1 << 20)));
    let most = frame(1 << 20).len() - 300_000;
    let mut halves: Vec<TcpStream> = (0..3).map(|_| connect(&addr)).collect();
    let outcomes: Vec<_> =
        halves.iter_mut().map(|raw| raw.write_all(&frame(1 << 20)[..most])).collect();
    let start = Instant::now();
    let mut broken = 0;
    while broken < 2 && start.elapsed() < Duration::from_secs(20) {
        halves.retain_mut(|raw| {
            raw.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            !is_closed(raw)
        });
        broken = 3 - halves.len();
    }
    assert_eq!(broken, 2, "{outcomes:?}");
    whole.write_all(&frame(12)).unwrap();
    assert_eq!(frames.recv_timeout(Duration::from_secs(20)), Ok((0, 12)));
}

#[test]
fn what_fails_names_its_address_or_folder() {
    let client = Machine::diskless("errors").start().unwrap();
    let host = client.host();
    let (net, disk) = (host.net(), host.disk());
    let texts = on(&host, async move {
        let addr = Addr(format!("127.94.{}.7:7700", std::process::id() & 0xff));
        let refused = net.dial(&addr, Duration::from_secs(20), Style::Stream).await.map(drop);
        let _first = net.listen(&addr).await.unwrap();
        let taken = net.listen(&addr).await.map(drop);
        let file = disk.open("a", OpenMode::Fresh).await.map(drop);
        [refused, taken, file].map(|outcome| outcome.unwrap_err().to_string())
    })
    .unwrap();
    let addr = format!("127.94.{}.7:7700", std::process::id() & 0xff);
    assert!(texts[0].starts_with(&format!("cannot reach {addr}: ")), "{texts:?}");
    assert!(texts[1].starts_with(&format!("cannot listen at {addr}: ")), "{texts:?}");
    assert_eq!(texts[2], "this machine has no disk");
    let (machine, _root) = machine("named");
    let host = machine.host();
    let disk = host.disk();
    let missing =
        on(&host, async move { disk.open("a/b", OpenMode::Existing).await.map(drop).unwrap_err() });
    let missing = missing.unwrap();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().starts_with("a/b: "), "{missing}");
    let folder = Machine::builder("errors", PathBuf::from("/proc/no/such")).start().err().unwrap();
    assert!(folder.to_string().starts_with("the folder /proc/no/such: "), "{folder}");
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
fn a_full_device_refuses_and_keeps_nothing() {
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
