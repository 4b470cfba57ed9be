//! Round trips and damage: a flipped byte or a cut is noticed or leaves an exact prefix, never
//! other data.

use super::*;
use crate::chain::seal;
use proptest::prelude::*;

const SALT: u32 = 0x5eed_cafe;
const OWNER: Owner = Owner { cluster: 77, member: 3 };

fn records() -> impl Strategy<Value = Vec<Record>> {
    let entry = (
        any::<u32>(),
        1u64..1000,
        1u64..50,
        any::<u64>(),
        prop::collection::vec(any::<u8>(), 0..600),
    )
        .prop_map(|(group, index, term, chain, body)| {
            let mut entry = Entry::default();
            (entry.index, entry.term) = (index, term);
            entry.data = body.into();
            entry.context = seal(b"header", crc32fast::hash(&entry.data));
            if chain & 3 == 0 {
                entry.set_entry_type(EntryType::EntryConfChangeV2);
            }
            Record::Entry { group, entry, chain }
        });
    let hard =
        (any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(group, a, b, c)| {
            let mut hard = HardState::default();
            (hard.term, hard.vote, hard.commit) = (a, b, c);
            Record::Hard { group, hard }
        });
    let ids = || prop::collection::vec(any::<u64>(), 0..5);
    let mark = (any::<u32>(), any::<u64>(), ids(), ids(), ids(), ids()).prop_map(
        |(group, index, voters, learners, voters_outgoing, learners_next)| {
            let mut conf = ConfState { voters, learners, ..ConfState::default() };
            (conf.voters_outgoing, conf.learners_next) = (voters_outgoing, learners_next);
            Record::Mark { group, mark: Mark { index, term: 3, chain: 9 }, conf }
        },
    );
    let rest = prop::collection::vec(prop_oneof![4 => entry, 2 => hard, 1 => mark], 0..7);
    (any::<u64>(), rest).prop_map(|(segment, rest)| {
        [vec![Record::Segment { segment, salt: SALT, owner: OWNER }], rest].concat()
    })
}

fn encode(records: &[Record]) -> Chunks {
    let mut encoder = Encoder::new(SALT);
    for record in records {
        match record {
            Record::Entry { group, entry, chain } => encoder.entry(*group, entry, *chain),
            Record::Hard { group, hard } => encoder.hard(*group, hard),
            Record::Mark { group, mark, conf } => encoder.mark(*group, *mark, conf),
            Record::Segment { segment, owner, .. } => encoder.segment(*segment, *owner),
        }
    }
    let len = encoder.len();
    let rope = encoder.finish();
    assert_eq!(rope.len(), len);
    rope
}

fn read(rope: &Chunks) -> (Vec<Record>, bool) {
    let mut reader = Reader::new(rope);
    let mut out = Vec::new();
    loop {
        match decode(&mut reader, SALT) {
            Ok(Some(record)) => out.push(record),
            Ok(None) => return (out, true),
            Err(_) => return (out, false),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(records in records()) {
        let (out, clean) = read(&encode(&records));
        prop_assert!(clean);
        prop_assert_eq!(out, records);
    }

    #[test]
    fn a_flipped_byte_leaves_a_prefix(
        records in records(), at in any::<prop::sample::Index>(), flip in 1u8..
    ) {
        let mut bytes = encode(&records).to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let (out, clean) = read(&Chunks::from(bytes));
        prop_assert!(!clean, "the flip at {} went unnoticed", at);
        prop_assert_eq!(&out[..], &records[..out.len()]);
    }

    #[test]
    fn a_cut_leaves_a_prefix(records in records(), at in any::<prop::sample::Index>()) {
        let bytes = encode(&records).to_bytes();
        let at = at.index(bytes.len());
        let (out, _) = read(&Chunks::from(bytes.slice(..at)));
        prop_assert_eq!(&out[..], &records[..out.len()]);
        prop_assert!(out.len() < records.len());
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&Chunks::from(bytes));
    }

    #[test]
    fn a_record_behind_damage_is_found(records in records()) {
        // A batch each, as if everything before it had been known to be durable.
        let mut end = Chunks::new();
        records.chunks(1).for_each(|one| end.extend(&encode(one)));
        let begin = encode(&records[..1]);
        let whole = records.len() > 2;
        prop_assert_eq!(was_durable(&end, begin.len()), whole);
        prop_assert!(was_durable(&flip(&begin, 1), 0), "a beginning is not torn behind its end");
        let mut torn = begin.clone();
        torn.extend(&end.slice(begin.len(), (end.len() - begin.len()).min(47)));
        prop_assert!(!was_durable(&torn, begin.len()));
        prop_assert!(!was_durable(&begin.slice(0, begin.len() - 1), 0));
    }

    #[test]
    fn a_record_in_a_clients_value_is_none(records in records(), salt in any::<u32>()) {
        prop_assume!(salt != SALT);
        let begin = encode(&records[..1]);
        let mut other = Encoder::new(salt);
        other.hard(1, &HardState::default());
        other.segment(1, OWNER);
        let mut rope = begin.clone();
        rope.extend(&Chunks::from(vec![7; 100]));
        rope.extend(&other.finish());
        prop_assert!(!was_durable(&rope, begin.len()));
    }
}

fn flip(rope: &Chunks, at: usize) -> Chunks {
    let mut bytes = rope.to_bytes().to_vec();
    bytes[at] ^= 1;
    bytes.into()
}
