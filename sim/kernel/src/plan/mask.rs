//! Which operations of the load a plan leaves out. An operation is named by its client, counted from 0
//! over the whole run, and by its number within its workload. A mask either names what it leaves out or
//! what it keeps: a plan that was shrunk keeps a few of many hundred, and says so in a few lines.
//!
//! Numbers of a client's operations have gaps, for a workload deals them out in turn; a range, with both
//! ends in it, means those of that client only. Left out: naming operations by what they ask for.

use std::collections::{BTreeMap, BTreeSet};

use crate::doc::Reader;

/// An operation: (client, op).
pub type Op = (u64, u64);

/// Ranges of operations by client, both ends included.
pub type Ranges = BTreeMap<u64, Vec<(u64, u64)>>;

/// What a plan leaves out of the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mask {
    /// These, and nothing else.
    Skips(Ranges),
    /// All but these.
    Keeps(Ranges),
}

impl Default for Mask {
    /// Leaves nothing out.
    fn default() -> Mask {
        Mask::Skips(Ranges::new())
    }
}

impl Mask {
    /// Keeps these of the operations that are known, and none that are not. What lies next to each other
    /// among the known ones becomes a range.
    pub fn keeping(kept: &BTreeSet<Op>, known: &BTreeSet<Op>) -> Mask {
        let mut ranges = Ranges::new();
        let mut last: Option<Op> = None;
        for op @ (client, number) in known.iter().copied() {
            if !kept.contains(&op) {
                last = None;
                continue;
            }
            let list = ranges.entry(client).or_default();
            match (list.last_mut(), last) {
                (Some(range), Some((before, _))) if before == client => range.1 = number,
                _ => list.push((number, number)),
            }
            last = Some(op);
        }
        Mask::Keeps(ranges)
    }

    /// Whether it leaves this operation out.
    pub fn skips(&self, client: u64, op: u64) -> bool {
        let named = |ranges: &Ranges| {
            ranges
                .get(&client)
                .is_some_and(|list| list.iter().any(|(a, b)| (*a..=*b).contains(&op)))
        };
        match self {
            Mask::Skips(ranges) => named(ranges),
            Mask::Keeps(ranges) => !named(ranges),
        }
    }

    /// As an artifact says it, with a line break before each table.
    pub(super) fn show(&self) -> String {
        let (word, ranges) = match self {
            Mask::Skips(ranges) => ("skip", ranges),
            Mask::Keeps(ranges) => ("keep", ranges),
        };
        let one = |(a, b): &(u64, u64)| match a == b {
            true => format!("\"{a}\""),
            false => format!("\"{a}..{b}\""),
        };
        let table = |(client, list): (&u64, &Vec<(u64, u64)>)| {
            let ops: Vec<String> = list.iter().map(one).collect();
            format!("\n[[{word}]]\nclient = {client}\nops = [{}]\n", ops.join(", "))
        };
        match self {
            // A plan that keeps nothing still has to say so.
            Mask::Keeps(ranges) if ranges.is_empty() => "\n[[keep]]\nclient = 0\nops = []\n".into(),
            _ => ranges.iter().map(table).collect(),
        }
    }

    /// Reads the tables `[[skip]]` or `[[keep]]` of an artifact.
    pub(super) fn read(reader: &mut Reader<'_>) -> Mask {
        let [skips, keeps] = ["skip", "keep"].map(|word| {
            let mut ranges = Ranges::new();
            let count = reader.doc.count(word);
            for i in 0..count {
                read_table(reader, word, i, &mut ranges);
            }
            if count == 0 {
                reader.expect("", word);
            }
            (count, ranges)
        });
        if skips.0 > 0 && keeps.0 > 0 {
            reader.problem("keep.0", "a plan names what it skips or what it keeps, not both");
        }
        if keeps.0 > 0 { Mask::Keeps(keeps.1) } else { Mask::Skips(skips.1) }
    }
}

fn read_table(reader: &mut Reader<'_>, word: &str, i: usize, ranges: &mut Ranges) {
    let section = format!("{word}.{i}");
    let before = reader.problems.len();
    let client = reader.one(&section, "client").and_then(|text| text.parse::<u64>().ok());
    let one = reader.one(&section, "op");
    let texts: Vec<String> = one.into_iter().chain(reader.many(&section, "ops")).collect();
    let mut list = Vec::new();
    for text in &texts {
        let (a, b) = text.split_once("..").unwrap_or((text, text));
        match (a.trim().parse::<u64>(), b.trim().parse::<u64>()) {
            (Ok(a), Ok(b)) if a <= b => list.push((a, b)),
            (Ok(_), Ok(_)) => {
                reader.problem(&format!("{section}.ops"), format!("`{text}` runs backwards"));
            }
            _ => {
                let problem = format!("`{text}` is neither an operation nor a range such as 3..17");
                reader.problem(&format!("{section}.ops"), problem);
            }
        }
    }
    let (true, Some(client)) = (reader.problems.len() == before, client) else {
        if reader.problems.len() == before {
            reader.problem(&section, format!("a {word} names `client` and `op` by number"));
        }
        return;
    };
    ranges.entry(client).or_default().extend(list);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_become_a_range_of_their_client() {
        let known: BTreeSet<Op> = [(0, 0), (0, 5), (0, 10), (0, 15), (1, 1), (1, 6)].into();
        let kept = [(0, 5), (0, 10), (1, 1), (1, 6)].into();
        let mask = Mask::keeping(&kept, &known);
        assert_eq!(
            mask.show(),
            "\n[[keep]]\nclient = 0\nops = [\"5..10\"]\n\n[[keep]]\nclient = 1\nops = [\"1..6\"]\n"
        );
        assert!(mask.skips(0, 15) && mask.skips(7, 5) && !mask.skips(0, 10));
    }

    proptest! {
        #[test]
        fn a_mask_keeps_exactly_what_it_was_told(
            known in prop::collection::btree_set((0u64..4, 0u64..40), 0..60),
            chosen in prop::collection::vec(any::<bool>(), 60),
        ) {
            let kept: BTreeSet<Op> =
                known.iter().zip(chosen).filter(|(_, keep)| *keep).map(|(op, _)| *op).collect();
            let mask = Mask::keeping(&kept, &known);
            for (client, op) in &known {
                prop_assert_eq!(!mask.skips(*client, *op), kept.contains(&(*client, *op)));
            }
        }
    }
}
