//! The conformance suite: what a node may rely on, whichever arm answers. One list of cases, run
//! against the real arm by this crate's tests and against the simulated one by the kernel's, so
//! that the fake is tested against the truth. A case is plain async code that knows only handles
//! and a [`Bench`].
//!
//! The rules for who runs it: a fresh bench per case; the case's future is polled by a task of host
//! `n1`; what happens on `n2` happens in tasks of `n2`. Simulated, the price list must price the
//! work kind [`HOLD_KIND`] at [`HOLD`]; the links are healthy and a round trip takes a few
//! milliseconds at most. Waits are generous where an arm may be slow and exact where it may not be
//! early.
//!
//! Not here: what survives a power loss (checked on the disk model), and how long anything takes.

mod disk;
mod life;
mod memory;
mod net;
mod time;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_real::sync::oneshot;

use crate::{Addr, Clock, Host};

/// A future as benches and cases give it.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Two machines and an address that nobody serves.
pub trait Bench: Send + Sync + 'static {
    /// The current boot of `n1` or `n2`.
    fn host(&self, name: &str) -> Host;
    /// Where that host listens on that port.
    fn addr(&self, host: &str, port: u16) -> Addr;
    /// An address at which nobody answers, by refusal or by silence.
    fn dead_addr(&self) -> Addr;
    /// Ends the host's boot, gracefully or not, and starts the next with the same disk.
    fn reboot(&self, name: &str) -> BoxFuture<Host>;
    /// Asks the host's node to stop gracefully.
    fn ask_stop(&self, name: &str);
    /// How late a sleep may end on a machine with nothing else to do.
    fn sleep_slack(&self) -> Duration {
        Duration::from_millis(100)
    }
}

/// The work kind that the case about exclusive threads charges.
pub const HOLD_KIND: &str = "conformance_hold";
/// Its price: the job of that work lasts at least as long.
pub const HOLD: Duration = Duration::from_millis(20);

/// How long a case waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a case says: nothing, or what is wrong.
pub type Outcome = Result<(), String>;

/// One promise of the seam.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, a sentence in words.
    pub name: &'static str,
    run: fn(Arc<dyn Bench>) -> BoxFuture<Outcome>,
}

impl Case {
    /// Checks the promise; to be polled by a task of `n1`.
    pub fn run(&self, bench: Arc<dyn Bench>) -> BoxFuture<Outcome> {
        (self.run)(bench)
    }
}

macro_rules! cases {
    ($($module:ident :: $name:ident,)*) => {
        /// All cases. Those that end a boot or panic come last.
        pub const CASES: &[Case] = &[
            $(Case { name: stringify!($name), run: |bench| Box::pin($module::$name(bench)) },)*
        ];
    };
}

cases! {
    disk::append_sync_reopen,
    disk::appends_get_offsets_of_their_own,
    disk::write_at_takes_several_extents,
    disk::holes_read_as_zero,
    disk::a_read_is_short_at_the_end,
    disk::truncate_cuts_and_extends,
    disk::open_modes,
    disk::rename_replaces_its_target,
    disk::remove_spares_open_handles,
    disk::list_is_sorted_and_keeps_to_the_prefix,
    net::frames_arrive_once_and_in_order,
    net::half_close_delivers_everything,
    net::abort_is_seen_as_a_reset,
    net::a_full_window_makes_senders_wait,
    net::a_dropped_recv_loses_nothing,
    net::dialling_the_dead_ends_in_time,
    net::an_address_has_one_listener,
    net::datagrams_are_whole_and_never_wait,
    time::sleeps_are_never_early,
    time::sleeps_end_in_order,
    time::within_gives_up_in_time,
    time::alarms_can_be_moved,
    time::a_held_thread_polls_nobody_else,
    time::a_blocked_thread_polls_nobody_else,
    time::a_block_outlasts_a_run_in_it,
    memory::claims_count_and_go,
    memory::a_collection_leaves_what_is_claimed,
    life::tasks_can_be_joined,
    life::tasks_can_be_cancelled,
    life::random_streams_differ,
    life::stopping_is_told_and_remembered,
    life::a_new_boot_keeps_the_disk_and_nothing_else,
    memory::claims_of_an_ended_boot_do_nothing,
    life::a_panic_stays_in_its_host,
}

/// Ends a case with a sentence unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
use ensure;

/// Turns an error into a sentence of a case.
trait Said<T> {
    fn said(self, what: &str) -> Result<T, String>;
}

impl<T> Said<T> for io::Result<T> {
    fn said(self, what: &str) -> Result<T, String> {
        self.map_err(|why| format!("{what}: {why} ({:?})", why.kind()))
    }
}

/// What a task on some host will answer.
struct Reply<T> {
    what: &'static str,
    answer: oneshot::Receiver<Result<T, String>>,
}

/// Starts a task on the host's thread `main`.
fn ask<T: Send + 'static>(
    host: &Host,
    what: &'static str,
    work: impl Future<Output = Result<T, String>> + Send + 'static,
) -> Reply<T> {
    let (tx, answer) = oneshot::channel();
    host.thread("main").spawn(what, async move {
        let _ = tx.send(work.await);
    });
    Reply { what, answer }
}

impl<T> Reply<T> {
    /// The answer; `clock` is that of the host on which the caller runs.
    async fn get(self, clock: &Clock) -> Result<T, String> {
        match clock.within(PATIENCE, self.answer).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(format!("{}: the task ended without an answer", self.what)),
            None => Err(format!("{}: no answer within {PATIENCE:?}", self.what)),
        }
    }
}
