//! The suite must catch fish: each wrongness below is an arm that is right in everything but one
//! promise, and the case named beside it must fail on it. With no wrongness the same wrapper passes
//! every case.
//!
//! What has no row here is a promise that no test can see from one process (durability) or whose
//! breach is a hang of the whole case, which the harness reports anyway.

mod bench;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bench::Reboots;
use host::arm::{
    Arm, BoxFuture, Close, ConnId, Done, FileId, ListenerId, MemoryOp, Op, OpenMode, Style, TaskId,
    ThreadId, Ticket, TrySendError,
};
use host::conformance::{CASES, Case, HOLD, Outcome};
use host::{Chunks, Class, Event, Mono, Wall};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    AppendSaysZero,
    AppendLosesItsLastPart,
    WriteAtTakesOneExtent,
    ReadPadsTheEnd,
    TruncateDoesNothing,
    LenForgetsTheLastByte,
    ExistingCreates,
    FreshKeeps,
    RenameKeepsTheTarget,
    RemoveDoesNothing,
    ListIsReversed,
    ListIgnoresThePrefix,
    FramesOvertake,
    FramesComeTwice,
    HalfCloseDropsTheLastFrame,
    HalfCloseResets,
    AbortIsOrderly,
    SendNeverWaits,
    TrySendIsNeverFull,
    RecvDroppedLosesAFrame,
    DialNeverEnds,
    DialErrsAtRandom,
    ListenersPileUp,
    DatagramsAreDamaged,
    DatagramsWait,
    SleepsAreEarly,
    SleepsAreLate,
    SleepsAreRoundedDown,
    SleepsEndInReverse,
    HoldLetsOthersRun,
    BlockLetsOthersRun,
    JoinIsEarly,
    CancelDoesNothing,
    RngIgnoresTheKey,
    RngIgnoresTheStream,
    StoppingIsNeverTold,
    StoppingIsToldUnasked,
    OldBootsLiveOn,
    ClaimsDoNotGrow,
    ClaimsAreKept,
    CollectionsTakeClaims,
}

use Wrong::*;

/// Which case catches which wrongness.
const CAUGHT_BY: &[(Wrong, &str)] = &[
    (AppendSaysZero, "append_sync_reopen"),
    (AppendLosesItsLastPart, "append_sync_reopen"),
    (WriteAtTakesOneExtent, "write_at_takes_several_extents"),
    (ReadPadsTheEnd, "a_read_is_short_at_the_end"),
    (TruncateDoesNothing, "truncate_cuts_and_extends"),
    (LenForgetsTheLastByte, "appends_get_offsets_of_their_own"),
    (ExistingCreates, "open_modes"),
    (FreshKeeps, "open_modes"),
    (RenameKeepsTheTarget, "rename_replaces_its_target"),
    (RemoveDoesNothing, "remove_spares_open_handles"),
    (ListIsReversed, "list_is_sorted_and_keeps_to_the_prefix"),
    (ListIgnoresThePrefix, "list_is_sorted_and_keeps_to_the_prefix"),
    (FramesOvertake, "frames_arrive_once_and_in_order"),
    (FramesComeTwice, "frames_arrive_once_and_in_order"),
    (HalfCloseDropsTheLastFrame, "half_close_delivers_everything"),
    (HalfCloseResets, "half_close_delivers_everything"),
    (AbortIsOrderly, "abort_is_seen_as_a_reset"),
    (SendNeverWaits, "a_full_window_makes_senders_wait"),
    (TrySendIsNeverFull, "a_full_window_makes_senders_wait"),
    (RecvDroppedLosesAFrame, "a_dropped_recv_loses_nothing"),
    (DialNeverEnds, "dialling_the_dead_ends_in_time"),
    (DialErrsAtRandom, "dialling_the_dead_ends_in_time"),
    (ListenersPileUp, "an_address_has_one_listener"),
    (DatagramsAreDamaged, "datagrams_are_whole_and_never_wait"),
    (DatagramsWait, "datagrams_are_whole_and_never_wait"),
    (SleepsAreEarly, "sleeps_are_never_early"),
    (SleepsAreLate, "sleeps_are_never_early"),
    (SleepsAreRoundedDown, "sleeps_are_never_early"),
    (SleepsAreEarly, "within_gives_up_in_time"),
    (SleepsEndInReverse, "sleeps_end_in_order"),
    (HoldLetsOthersRun, "a_held_thread_polls_nobody_else"),
    (BlockLetsOthersRun, "a_blocked_thread_polls_nobody_else"),
    (BlockLetsOthersRun, "a_block_outlasts_a_run_in_it"),
    (JoinIsEarly, "tasks_can_be_joined"),
    (CancelDoesNothing, "tasks_can_be_cancelled"),
    (RngIgnoresTheKey, "random_streams_differ"),
    (RngIgnoresTheStream, "random_streams_differ"),
    (StoppingIsNeverTold, "stopping_is_told_and_remembered"),
    (StoppingIsToldUnasked, "stopping_is_told_and_remembered"),
    (OldBootsLiveOn, "a_new_boot_keeps_the_disk_and_nothing_else"),
    (ClaimsDoNotGrow, "claims_count_and_go"),
    (ClaimsAreKept, "claims_count_and_go"),
    (CollectionsTakeClaims, "a_collection_leaves_what_is_claimed"),
    (OldBootsLiveOn, "claims_of_an_ended_boot_do_nothing"),
];

/// What a ticket was for, where the wrongness lies in the answer.
enum Asked {
    Append,
    Read(u64),
    Len,
    List,
    Dial,
    Listen,
    Recv,
}

struct WrongArm {
    right: Arc<dyn Arm>,
    wrong: Wrong,
    asked: Mutex<HashMap<Ticket, Asked>>,
    /// The frame of a connection that the wrapper holds back.
    held: Mutex<HashMap<ConnId, (Class, Chunks)>>,
    datagrams: Mutex<HashSet<ConnId>>,
    /// What an operation came to, one poll before it is told.
    late: Mutex<HashMap<Ticket, io::Result<Done>>>,
    collected: AtomicBool,
}

impl WrongArm {
    /// Changes an operation before the right arm sees it.
    fn bend(&self, op: Op) -> Op {
        match (self.wrong, op) {
            (AppendLosesItsLastPart, Op::Append { file, data, class }) => {
                let first = data.parts().next().cloned().unwrap_or_default();
                Op::Append { file, data: first.into(), class }
            }
            (WriteAtTakesOneExtent, Op::WriteAt { file, mut extents, class }) => {
                extents.truncate(1);
                Op::WriteAt { file, extents, class }
            }
            (TruncateDoesNothing, Op::Truncate { file, .. }) => Op::Len { file },
            (ExistingCreates, Op::Open { path, mode: OpenMode::Existing }) => {
                Op::Open { path, mode: OpenMode::CreateIfMissing }
            }
            (FreshKeeps, Op::Open { path, mode: OpenMode::Fresh }) => {
                Op::Open { path, mode: OpenMode::CreateIfMissing }
            }
            (RenameKeepsTheTarget, Op::Rename { from, .. }) => Op::Remove { path: from },
            (RemoveDoesNothing, Op::Remove { .. }) => Op::Space,
            (ListIgnoresThePrefix, Op::List { .. }) => Op::List { prefix: String::new() },
            (DialNeverEnds, Op::Dial { .. }) => Op::Sleep { until: Mono::NEVER },
            (SendNeverWaits, Op::Dial { addr, within, .. }) => {
                Op::Dial { addr, within, style: Style::Datagram }
            }
            (DatagramsWait, Op::Dial { addr, within, .. }) => {
                Op::Dial { addr, within, style: Style::Stream }
            }
            (SleepsAreEarly, Op::Sleep { until }) => {
                let now = self.right.now();
                Op::Sleep { until: now + until.since(now) / 2 }
            }
            (SleepsAreLate, Op::Sleep { until }) => {
                Op::Sleep { until: until + Duration::from_millis(400) }
            }
            (SleepsAreRoundedDown, Op::Sleep { until }) => {
                let now = self.right.now();
                let millis = until.since(now).as_millis() as u64;
                Op::Sleep { until: now + Duration::from_millis(millis) }
            }
            (SleepsEndInReverse, Op::Sleep { until }) => {
                let (now, mirror) = (self.right.now(), Duration::from_millis(200));
                Op::Sleep { until: now + mirror.saturating_sub(until.since(now)) }
            }
            (HoldLetsOthersRun, Op::Hold { .. }) => Op::Sleep { until: self.right.now() + HOLD },
            (JoinIsEarly, Op::Join { .. }) | (StoppingIsToldUnasked, Op::Stopping) => Op::Space,
            (StoppingIsNeverTold, Op::Stopping) => Op::Sleep { until: Mono::NEVER },
            (_, Op::Send { conn, class, frame }) => self.bend_send(conn, class, frame),
            (_, op) => op,
        }
    }

    fn bend_send(&self, conn: ConnId, class: Class, frame: Chunks) -> Op {
        let mut held = self.held.lock().unwrap();
        match self.wrong {
            FramesOvertake => match held.remove(&conn) {
                Some((class_before, before)) => {
                    let _ = self.right.try_send(conn, class, frame);
                    Op::Send { conn, class: class_before, frame: before }
                }
                None => {
                    held.insert(conn, (class, frame));
                    Op::Space
                }
            },
            HalfCloseDropsTheLastFrame => match held.insert(conn, (class, frame)) {
                Some((class, frame)) => Op::Send { conn, class, frame },
                None => Op::Space,
            },
            FramesComeTwice => {
                let _ = self.right.try_send(conn, class, frame.clone());
                Op::Send { conn, class, frame }
            }
            DatagramsAreDamaged if self.datagrams.lock().unwrap().contains(&conn) => {
                let mut bytes = frame.to_bytes().to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                Op::Send { conn, class, frame: bytes.into() }
            }
            _ => Op::Send { conn, class, frame },
        }
    }

    /// What an answer must be remembered for; nothing for most.
    fn note(&self, op: &Op) -> Option<Asked> {
        Some(match (self.wrong, op) {
            (AppendSaysZero, Op::Append { .. }) => Asked::Append,
            (ReadPadsTheEnd, Op::ReadAt { len, .. }) => Asked::Read((*len).min(200)),
            (LenForgetsTheLastByte, Op::Len { .. }) => Asked::Len,
            (ListIsReversed, Op::List { .. }) => Asked::List,
            (DatagramsAreDamaged, Op::Dial { style: Style::Datagram, .. }) => Asked::Dial,
            (DialErrsAtRandom, Op::Dial { .. }) => Asked::Dial,
            (ListenersPileUp, Op::Listen { .. }) => Asked::Listen,
            (RecvDroppedLosesAFrame, Op::Recv { .. }) => Asked::Recv,
            _ => return None,
        })
    }

    /// Changes the right arm's answer.
    fn twist(&self, asked: &Asked, outcome: io::Result<Done>) -> io::Result<Done> {
        match (asked, outcome) {
            (Asked::Append, Ok(_)) => Ok(Done::Number(0)),
            (Asked::Read(len), Ok(Done::Data(data))) => {
                let mut bytes = data.to_bytes().to_vec();
                bytes.resize(bytes.len().max(*len as usize), 0);
                Ok(Done::Data(bytes.into()))
            }
            (Asked::Len, Ok(Done::Number(len))) => Ok(Done::Number(len.saturating_sub(1))),
            (Asked::List, Ok(Done::Names(mut names))) => {
                names.reverse();
                Ok(Done::Names(names))
            }
            (Asked::Dial, Ok(Done::Conn(conn, peer))) => {
                self.datagrams.lock().unwrap().insert(conn);
                Ok(Done::Conn(conn, peer))
            }
            (Asked::Dial, Err(_)) => Err(io::ErrorKind::OutOfMemory.into()),
            (Asked::Listen, Err(_)) => Ok(Done::Number(u64::MAX)),
            (_, outcome) => outcome,
        }
    }
}

impl Arm for WrongArm {
    fn name(&self) -> &str {
        self.right.name()
    }

    fn submit(&self, op: Op) -> Ticket {
        let note = self.note(&op);
        self.collected.fetch_or(matches!(op, Op::Collect), Ordering::SeqCst);
        let ticket = self.right.submit(self.bend(op));
        if let Some(note) = note {
            self.asked.lock().unwrap().insert(ticket, note);
        }
        ticket
    }

    fn poll(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<io::Result<Done>> {
        if let Some(outcome) = self.late.lock().unwrap().remove(&ticket) {
            return Poll::Ready(outcome);
        }
        let Poll::Ready(outcome) = self.right.poll(ticket, cx) else { return Poll::Pending };
        let asked = self.asked.lock().unwrap().remove(&ticket);
        Poll::Ready(match asked {
            Some(Asked::Recv) => {
                // The frame is taken and told at the next poll; whoever asks no more loses it.
                self.late.lock().unwrap().insert(ticket, outcome);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(asked) => self.twist(&asked, outcome),
            None => outcome,
        })
    }

    fn forget(&self, ticket: Ticket) {
        self.asked.lock().unwrap().remove(&ticket);
        self.late.lock().unwrap().remove(&ticket);
        self.right.forget(ticket);
    }

    fn now(&self) -> Mono {
        self.right.now()
    }

    fn wall(&self) -> Wall {
        self.right.wall()
    }

    fn thread(&self, name: &'static str) -> ThreadId {
        self.right.thread(name)
    }

    fn parks(&self) -> bool {
        self.wrong != BlockLetsOthersRun && self.right.parks()
    }

    fn spawn(&self, thread: ThreadId, what: &'static str, task: BoxFuture) -> TaskId {
        self.right.spawn(thread, what, task)
    }

    fn cancel(&self, task: TaskId) {
        if self.wrong != CancelDoesNothing {
            self.right.cancel(task);
        }
    }

    fn try_send(&self, conn: ConnId, class: Class, frame: Chunks) -> Result<(), TrySendError> {
        match self.right.try_send(conn, class, frame) {
            Err(TrySendError::Full) if self.wrong == TrySendIsNeverFull => Ok(()),
            outcome => outcome,
        }
    }

    fn close(&self, conn: ConnId, how: Close) {
        let how = match (self.wrong, how) {
            (HalfCloseResets, Close::Half) => Close::Abort,
            (AbortIsOrderly, Close::Abort) => Close::Half,
            _ => how,
        };
        self.right.close(conn, how);
    }

    fn close_file(&self, file: FileId) {
        self.right.close_file(file);
    }

    fn close_listener(&self, listener: ListenerId) {
        self.right.close_listener(listener);
    }

    fn draw_key(&self, stream: &'static str, key: u64) -> [u8; 32] {
        match self.wrong {
            RngIgnoresTheKey => self.right.draw_key(stream, 0),
            RngIgnoresTheStream => self.right.draw_key("", key),
            _ => self.right.draw_key(stream, key),
        }
    }

    fn memory(&self, op: MemoryOp) -> io::Result<u64> {
        match (self.wrong, op) {
            (ClaimsDoNotGrow, MemoryOp::Resize { .. }) => Ok(0),
            (ClaimsAreKept, MemoryOp::Release { .. }) => Ok(0),
            (CollectionsTakeClaims, MemoryOp::Used) if self.collected.load(Ordering::SeqCst) => {
                Ok(0)
            }
            _ => self.right.memory(op),
        }
    }

    fn emit(&self, event: &dyn Event) {
        self.right.emit(event);
    }

    fn planted(&self, plant: &'static str) -> bool {
        self.right.planted(plant)
    }
}

fn run(case: &Case, wrong: Wrong) -> Outcome {
    let dress: bench::Dress = Arc::new(move |right| {
        Arc::new(WrongArm {
            right,
            wrong,
            asked: Mutex::default(),
            held: Mutex::default(),
            datagrams: Mutex::default(),
            late: Mutex::default(),
            collected: AtomicBool::new(false),
        })
    });
    let reboots = if wrong == OldBootsLiveOn { Reboots::Pretended } else { Reboots::Real };
    bench::run(case, dress, reboots)
}

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name}"))
}

#[test]
fn the_wrapper_itself_is_right() {
    let broken: Vec<String> = CASES
        .iter()
        .filter_map(|case| {
            let outcome = run(case, Nothing);
            outcome.err().map(|why| format!("{}: {why}", case.name))
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_wrong_arm_is_caught() {
    // Some are only caught by waiting, so several wait side by side.
    let rows = Mutex::new(CAUGHT_BY.iter());
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((wrong, name)) = rows.lock().unwrap().next() else { return };
                    match run(case(name), *wrong) {
                        Ok(()) => missed.lock().unwrap().push(format!("{name} misses {wrong:?}")),
                        Err(why) => println!("{wrong:?}: {name}: {why}"),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
