//! Who waits for an outcome. An answer that is dropped still answers: whatever path loses a
//! proposal or a read (a snapshot that covers it, the end of the loop, a task that was cancelled,
//! a mailbox that nobody reads any more), its caller learns that nobody will learn the outcome,
//! at once and not by waiting out its time.

use crate::ProposeError;

type Call<T> = Box<dyn FnOnce(Result<T, ProposeError>) + Send>;

/// A caller's callback. It is called exactly once.
pub(crate) struct Answer<T>(Option<Call<T>>);

impl<T> Answer<T> {
    pub(crate) fn new(call: impl FnOnce(Result<T, ProposeError>) + Send + 'static) -> Answer<T> {
        Answer(Some(Box::new(call)))
    }

    /// Says what became of it.
    pub(crate) fn give(mut self, outcome: Result<T, ProposeError>) {
        if let Some(call) = self.0.take() {
            call(outcome);
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call(Err(ProposeError::Stopped));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn an_answer_is_given_once_even_if_it_is_dropped() {
        let (tx, rx) = channel();
        let other = tx.clone();
        Answer::new(move |o| tx.send(o).unwrap()).give(Ok(7));
        drop(Answer::<u32>::new(move |o| other.send(o).unwrap()));
        let all: Vec<_> = rx.iter().collect();
        assert_eq!(all, [Ok(7), Err(ProposeError::Stopped)]);
    }
}
