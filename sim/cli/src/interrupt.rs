//! Ctrl-C, SIGTERM or SIGHUP in a sweep: no new seed begins, what was finished is printed, and the program
//! ends with 130 within two seconds. Usually the running seeds end in time and the sweep itself prints;
//! where they do not, the interrupt speaks the sweep's last words in its place. Whoever claims them first
//! speaks, and nobody else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kernel::outcome::exit;

use crate::session::Failure;

/// Running seeds have so long to end.
const PATIENCE: Duration = Duration::from_millis(1_400);
/// The last words have so long to be spoken, should nobody listen.
const FAREWELL: Duration = Duration::from_millis(400);

type LastWords = Box<dyn FnOnce() + Send>;

/// Whether the program shall end, and what is to be said then.
#[derive(Clone, Default)]
pub struct Interrupt {
    stop: Arc<AtomicBool>,
    claimed: Arc<AtomicBool>,
    words: Arc<Mutex<Option<LastWords>>>,
}

impl Interrupt {
    /// Listens for the rest of the process.
    pub fn listen() -> Result<Interrupt, Failure> {
        let interrupt = Interrupt::default();
        let mine = interrupt.clone();
        let failure = |e: ctrlc::Error| Failure { code: exit::IO, text: format!("signals: {e}") };
        ctrlc::set_handler(move || mine.act()).map_err(failure)?;
        Ok(interrupt)
    }

    fn act(&self) {
        self.stop.store(true, Ordering::SeqCst);
        thread::sleep(PATIENCE);
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.claim()
            && let Some(words) = words
        {
            thread::spawn(words);
        }
        thread::sleep(FAREWELL);
        std::process::exit(exit::INTERRUPTED);
    }

    /// Set as soon as a signal came; a sweep may set it too, to begin no more seeds.
    pub fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// What to say if the sweep cannot in time. Must not return: it ends the process.
    pub fn last_words(&self, words: impl FnOnce() + Send + 'static) {
        *self.words.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(words));
    }

    /// True for the first who asks: that one speaks.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::SeqCst)
    }
}
