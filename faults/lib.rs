//! Causes. One file is one word that a scenario's `[[fault]]` may name; this list is all of them.
//!
//! A fault acts on hosts and models, never on the protocol that runs there, so each works for any
//! node. It keeps nothing between its beginning and its end: it is shared between runs, and faults
//! overlap, so an end undoes exactly what the beginning did to the same hosts.

use std::sync::Arc;

use kernel::fault::{Control, Fault};
use kernel::registry::Word;

mod crash;
mod disk_stall;
mod network_partition;
mod pause;
mod power_loss;

/// Every fault.
pub fn words() -> Vec<Word<Arc<dyn Fault>>> {
    vec![
        crash::word(),
        disk_stall::word(),
        network_partition::word(),
        pause::word(),
        power_loss::word(),
    ]
}

/// The hosts' names, for the story.
fn names(control: &Control<'_>, hosts: &[usize]) -> String {
    hosts.iter().map(|h| control.name(*h)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kernel::registry::Params;

    #[test]
    fn each_word_stands_once_explains_itself_and_works_as_it_is() {
        let words = super::words();
        let names: BTreeSet<&str> = words.iter().map(|w| w.word).collect();
        assert_eq!(names.len(), words.len());
        for word in words {
            assert!(!word.about.is_empty(), "{}", word.word);
            assert!(word.make(&Params::new()).is_ok(), "{}", word.word);
        }
    }
}
