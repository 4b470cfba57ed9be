//! Runs one node until it is asked to stop or its disk fails, and says when it serves and why it
//! stopped. The number of device syncs goes with the last line of a stop that was asked for: it is what a
//! `kill -9` cannot show, because a process that dies leaves the page cache to the kernel.
//!
//! It knows nothing of what a node does, and restarts nothing: that is for the supervisor of the machine.

use std::future::pending;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use host::real::Machine;
use host::{Host, Members};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio_real::signal::unix::{Signal, SignalKind, signal};
use tokio_real::sync::oneshot;
use tokio_real::time::sleep;
use tracing::{info, warn};

use super::file::Order;
use super::{Config, Failure};

/// How long a node may take to stop, and its last frames to leave.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether the node listens for clients yet.
const LOOK: Duration = Duration::from_millis(5);

/// Runs the node.
pub fn serve(order: Order) -> Result<ExitCode, Failure> {
    let Order { node, config, members, data } = order;
    let name = format!("n{}", members.me);
    let folder = std::path::absolute(&data).unwrap_or(data);
    let failed = |why: io::Error| Failure::io(format!("{name} in {}: {why}", folder.display()));
    raise_descriptors();
    let builder = Machine::builder(&name, folder.clone()).max_connections(config.connections());
    let machine = builder.start().map_err(|why| match why.kind() {
        io::ErrorKind::ResourceBusy => {
            Failure::io(format!("{name}: another process has the folder {}", folder.display()))
        }
        _ => failed(why),
    })?;
    info!(target: "wavetank", host = name, "starts as {} in {}", node.word, folder.display());
    let shell = tokio_real::runtime::Builder::new_current_thread().enable_all().build();
    let outcome =
        shell.and_then(|shell| shell.block_on(watch(&machine, node.word, config, members)));
    machine.settle(GRACE);
    let (panics, syncs) = (machine.panics(), machine.syncs());
    machine.shutdown();
    if !panics.is_empty() {
        let text = format!("{name} panicked: {}", panics.join("; "));
        return Err(Failure { code: 3, text });
    }
    let why = outcome.map_err(failed)?;
    info!(target: "wavetank", host = name, syncs, "stopped: {why}; {syncs} device syncs");
    Ok(ExitCode::SUCCESS)
}

/// Runs the node until it ends, or until it was asked to and did not for too long. Says why it ended.
async fn watch(
    machine: &Machine,
    word: &'static str,
    config: Box<dyn Config>,
    members: Members,
) -> io::Result<String> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = match hangups_ignored() {
        true => None,
        false => Some(signal(SignalKind::hangup())?),
    };
    let (tx, mut ended) = oneshot::channel();
    let host = machine.host();
    let (node, running) = (host.clone(), members.clone());
    host.thread("main").spawn(word, async move {
        let _ = tx.send(config.run(node, running).await);
    });
    let mut asked: Option<&str> = None;
    let mut listening = std::pin::pin!(announce(machine, &members));
    let mut listens = false;
    let mut overdue = std::pin::pin!(overdue(&host));
    loop {
        let signal = tokio_real::select! {
            outcome = &mut ended => {
                outcome.unwrap_or_else(|_| Err(io::Error::other("the node's task is gone")))?;
                let why = asked.map(|signal| format!("asked by {signal}"));
                return Ok(why.unwrap_or_else(|| "it ended by itself".to_string()));
            }
            () = &mut overdue => {
                return Err(io::Error::other(format!("it did not stop within {GRACE:?}")));
            }
            () = &mut listening, if !listens => {
                listens = true;
                continue;
            }
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
            () = next(&mut hangup) => "SIGHUP",
        };
        if asked.replace(signal).is_some() {
            std::process::exit(130);
        }
        info!(target: "wavetank", host = host.name(), "{signal}: stops");
        machine.stop();
    }
}

/// The next signal of a kind; none ever of a kind that is not listened for.
async fn next(signals: &mut Option<Signal>) {
    match signals {
        Some(signals) => drop(signals.recv().await),
        None => pending().await,
    }
}

/// Whether whoever started this process had it ignore SIGHUP, as `nohup` does: then the end of the
/// terminal is not to end it. Where the kernel does not tell, it is.
fn hangups_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Bit 0 is signal 1, which is SIGHUP.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|m| m & 1 == 1)
}

/// Says so once the node listens for clients, which is the last thing that it does at boot.
async fn announce(machine: &Machine, members: &Members) {
    let Some(me) = members.get(members.me) else { return };
    while !machine.listens_at(&me.client_addr) {
        sleep(LOOK).await;
    }
    info!(
        target: "wavetank",
        host = me.name,
        syncs = machine.syncs(),
        "serves: member {} of {}, clients at {}, peers at {}",
        me.id,
        members.all.len(),
        me.client_addr,
        me.peer_addr
    );
}

/// A signal asks for the stop, or a panic does; then the time runs.
async fn overdue(host: &Host) {
    host.stopping().await;
    sleep(GRACE).await;
}

/// A connection is a descriptor, and so is a file: the process takes as many as it may have.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(why) = setrlimit(Resource::Nofile, limit) {
        warn!(target: "wavetank", "the bound on open files stays as it is: {why}");
    }
}
