//! A bench of two real machines in this process, for the conformance suite. Every bench has
//! loopback addresses of its own (Linux answers on all of 127.0.0.0/8), so that no port is shared
//! between cases or with the operating system's own choice of ports.
//!
//! `Dress` lets a test put an arm around the real one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use host::arm::Arm;
use host::conformance::{Bench, BoxFuture, Case, Outcome};
use host::real::Machine;
use host::{Addr, Host};

/// Puts an arm around a machine's own.
pub type Dress = Arc<dyn Fn(Arc<dyn Arm>) -> Arc<dyn Arm> + Send + Sync>;

/// Whether a reboot is one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reboots {
    /// It ends the old boot and starts another.
    Real,
    /// It does nothing: the old boot lives on.
    Pretended,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Two machines and where they are.
pub struct RealBench {
    net: u32,
    root: PathBuf,
    dress: Dress,
    reboots: Reboots,
    machines: Mutex<BTreeMap<String, (Machine, Host)>>,
}

impl RealBench {
    /// Boots `n1` and `n2` on empty folders.
    pub fn start(dress: Dress, reboots: Reboots) -> Arc<RealBench> {
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = format!("wavetank-bench-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&root);
        // 15 bits of the process and 7 of the bench: tests of several processes may run at a time.
        let net = (std::process::id() & 0x7fff) << 7 | (number & 0x7f);
        let bench = RealBench { net, root, dress, reboots, machines: Mutex::default() };
        for name in ["n1", "n2"] {
            let booted = bench.boot(name);
            bench.machines.lock().unwrap().insert(name.to_string(), booted);
        }
        Arc::new(bench)
    }

    fn boot(&self, name: &str) -> (Machine, Host) {
        let machine = Machine::builder(name, self.root.join(name)).start().expect("a machine");
        let host = Host::new((self.dress)(machine.arm()));
        (machine, host)
    }

    /// Ends both machines and removes their folders; not from a task.
    fn end(&self) {
        let machines = std::mem::take(&mut *self.machines.lock().unwrap());
        for (_, (machine, _)) in machines {
            machine.shutdown();
        }
        let _ = std::fs::remove_dir_all(&self.root);
    }

    fn ip(&self, host: &str) -> String {
        let last = if host == "n1" { 0 } else { 1 };
        let bits = self.net << 1 | last;
        format!("127.{}.{}.{}", 1 + (bits >> 16 & 0x7f), bits >> 8 & 0xff, bits & 0xff)
    }
}

/// What the suite sees; a type of its own because a reboot needs the bench itself.
pub struct Shared(pub Arc<RealBench>);

impl Bench for Shared {
    fn host(&self, name: &str) -> Host {
        self.0.machines.lock().unwrap()[name].1.clone()
    }

    fn addr(&self, host: &str, port: u16) -> Addr {
        Addr(format!("{}:{port}", self.0.ip(host)))
    }

    fn dead_addr(&self) -> Addr {
        // Nobody serves port 1.
        self.addr("n2", 1)
    }

    fn reboot(&self, name: &str) -> BoxFuture<Host> {
        if self.0.reboots == Reboots::Pretended {
            return Box::pin(std::future::ready(self.host(name)));
        }
        let (bench, name) = (self.0.clone(), name.to_string());
        let (tx, rx) = tokio_real::sync::oneshot::channel();
        // Ending a machine blocks, which a task must not do.
        std::thread::spawn(move || {
            let (old, _) = bench.machines.lock().unwrap().remove(&name).expect("a machine");
            old.shutdown();
            let booted = bench.boot(&name);
            let host = booted.1.clone();
            bench.machines.lock().unwrap().insert(name, booted);
            let _ = tx.send(host);
        });
        Box::pin(async move { rx.await.expect("the next boot") })
    }

    fn ask_stop(&self, name: &str) {
        self.0.machines.lock().unwrap()[name].0.stop();
    }
}

/// Runs one case on a task of `n1`.
pub fn run(case: &Case, dress: Dress, reboots: Reboots) -> Outcome {
    let bench = RealBench::start(dress, reboots);
    let (tx, rx) = mpsc::channel();
    let outcome = case.run(Arc::new(Shared(bench.clone())));
    let main = bench.machines.lock().unwrap()["n1"].1.thread("main");
    main.spawn("case", async move {
        let _ = tx.send(outcome.await);
    });
    let outcome = match rx.recv_timeout(Duration::from_secs(60)) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => Err("the case hangs".to_string()),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err("the case panicked".to_string()),
    };
    bench.end();
    outcome
}
