//! The task wrapper: what stands between a node's future and madsim's executor.
//!
//! It asks the world whether the task may run (boot alive, not paused, thread free), counts the poll,
//! contains a panic as the end of that node's boot, and drops the future when the boot ends. Crashing takes
//! the future out of its cell from outside, so a paused host can be crashed, and nothing is dropped while the
//! world is locked.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Once, PoisonError};
use std::task::{Context, Poll};

use host::arm::BoxFuture;

use crate::world::{Due, Gate, Shared, World};

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static CONTAINED: RefCell<bool> = const { RefCell::new(false) };
}

/// Makes panics of contained tasks silent and remembered; all others print as before.
pub(crate) fn contain_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CONTAINED.with(|c| *c.borrow()) {
                let place = info.location().map_or(String::new(), |l| {
                    format!(" ({}:{}:{})", l.file(), l.line(), l.column())
                });
                let text = match info.payload().downcast_ref::<&str>() {
                    Some(text) => text.to_string(),
                    None => match info.payload().downcast_ref::<String>() {
                        Some(text) => text.clone(),
                        None => "a value that is no text".to_string(),
                    },
                };
                LAST_PANIC.with(|p| *p.borrow_mut() = Some(format!("{text}{place}")));
            } else {
                before(info);
            }
        }));
    });
}

/// Runs something that may panic; the error is the panic's text and place.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    CONTAINED.with(|c| *c.borrow_mut() = true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.with(|c| *c.borrow_mut() = false);
    result.map_err(|_| LAST_PANIC.with(|p| p.borrow_mut().take()).unwrap_or_default())
}

/// Starts a task of a host.
pub(crate) fn spawn(
    shared: &Arc<Shared>,
    world: &mut World,
    host: usize,
    thread: u32,
    what: &'static str,
    future: BoxFuture,
) -> u64 {
    let (id, cell) = world.add_task(host, thread, what, future);
    let boot = world.hosts[host].boot;
    let wrapper = Wrapper { shared: shared.clone(), id, host, boot, cell };
    world.hosts[host].node.spawn(wrapper);
    id
}

struct Wrapper {
    shared: Arc<Shared>,
    id: u64,
    host: usize,
    boot: u32,
    cell: Arc<std::sync::Mutex<Option<BoxFuture>>>,
}

impl Future for Wrapper {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut world) = self.shared.world_if_any() else { return Poll::Ready(()) };
        let gate = world.enter(self.id, cx.waker());
        drop(world);
        match gate {
            Gate::Dead => {
                let dead = self.cell.lock().unwrap_or_else(PoisonError::into_inner).take();
                let _ = contained(|| drop(dead));
                return Poll::Ready(());
            }
            Gate::Wait => return Poll::Pending,
            Gate::Run | Gate::Panic => {}
        }
        let doomed = matches!(gate, Gate::Panic);
        let mut slot = self.cell.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = slot.as_mut() else { return Poll::Ready(()) };
        let polled = contained(|| {
            assert!(!doomed, "a fault made this task panic");
            future.as_mut().poll(cx)
        });
        let mut end = None;
        let outcome = match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => {
                end = slot.take();
                Poll::Ready(())
            }
            Err(text) => {
                end = slot.take();
                let mut world = self.shared.world();
                let now = world.now();
                let (host, boot) = (self.host, self.boot);
                world.schedule(now, Due::Panicked { host, boot, text });
                Poll::Ready(())
            }
        };
        drop(slot);
        // A panic in Drop must not take the process down either.
        let dropped = contained(|| drop(end));
        let mut world = self.shared.world();
        world.current = None;
        if let Err(text) = dropped {
            let now = world.now();
            world.schedule(now, Due::Panicked { host: self.host, boot: self.boot, text });
        }
        if outcome.is_ready() && !world.tasks[self.id as usize].done {
            world.finish_task(self.id);
        }
        outcome
    }
}
