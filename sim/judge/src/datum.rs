//! Values as clients wrote and read them, and what they are to a search: 128-bit states. An absent value
//! is a value; a string or a list is hashed item by item, so that appending costs what is appended
//! and the hash of every beginning of a read is known. Left out: collisions. Two states are taken for the
//! same if their hashes are, which among ten million states happens by chance once in 10^24 searches;
//! a file that is made to collide fools nobody but its maker.

use serde_json::Value;

/// A value. JSON's `null` is `Absent`; a number without a fraction is an `Int` however it is spelled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Datum {
    /// No value.
    Absent,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Datum>),
    /// Any other JSON, in its canonical spelling.
    Other(String),
}

impl Datum {
    /// The value that this JSON stands for.
    pub fn of(value: &Value) -> Datum {
        match value {
            Value::Null => Datum::Absent,
            Value::Bool(b) => Datum::Bool(*b),
            Value::String(text) => Datum::Text(text.clone()),
            Value::Array(items) => Datum::List(items.iter().map(Datum::of).collect()),
            Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(n), _) => Datum::Int(n),
                // Below 2^53 a whole float is exactly one integer.
                (None, Some(f)) if f.fract() == 0.0 && f.abs() < 9.0e15 => Datum::Int(f as i64),
                _ => Datum::Other(value.to_string()),
            },
            Value::Object(_) => Datum::Other(value.to_string()),
        }
    }

    /// This value with another appended. Strings are concatenated and lists grow by one item; what is
    /// absent is the empty list where `lists` are in use or the item is no string, else the
    /// empty string. Anything else becomes the list of both.
    pub fn with(&self, item: &Datum, lists: bool) -> Datum {
        match (self, item) {
            (Datum::Text(a), Datum::Text(b)) => Datum::Text(format!("{a}{b}")),
            (Datum::Absent, Datum::Text(b)) if !lists => Datum::Text(b.clone()),
            (Datum::Absent, item) => Datum::List(vec![item.clone()]),
            (Datum::List(items), item) => {
                let mut items = items.clone();
                items.push(item.clone());
                Datum::List(items)
            }
            (other, item) => Datum::List(vec![other.clone(), item.clone()]),
        }
    }
}

impl std::fmt::Display for Datum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Datum::Absent => f.write_str("absent"),
            Datum::Bool(b) => write!(f, "{b}"),
            Datum::Int(n) => write!(f, "{n}"),
            Datum::Text(text) => write!(f, "{}", Value::from(text.as_str())),
            Datum::Other(text) => f.write_str(text),
            Datum::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
        }
    }
}

/// What kind of value a state is; appending depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Absent,
    Text,
    List,
    Scalar,
}

/// A value as the search sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub hash: u128,
    /// Items of a list, bytes of a string, else 0.
    pub len: u64,
    pub shape: Shape,
}

/// Takes another word into a hash.
pub(crate) fn mix(hash: u128, word: u64) -> u128 {
    let (a, b) = (hash as u64, (hash >> 64) as u64);
    let a = lane(a ^ word, 0x9e37_79b9_7f4a_7c15);
    let b = lane(b.rotate_left(23) ^ word.wrapping_add(a.rotate_left(32)), 0xc2b2_ae3d_27d4_eb4f);
    u128::from(b) << 64 | u128::from(a)
}

/// The finisher of splitmix64 over a sum.
fn lane(x: u64, odd: u64) -> u64 {
    let mut z = x.wrapping_add(odd);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const TEXT: u128 = 0x7465_7874_0000_0001;
const LIST: u128 = 0x6c69_7374_0000_0002;

impl State {
    pub(crate) const ABSENT: State = State { hash: 0xab5e_0000, len: 0, shape: Shape::Absent };
    const EMPTY_LIST: State = State { hash: LIST, len: 0, shape: Shape::List };
    const EMPTY_TEXT: State = State { hash: TEXT, len: 0, shape: Shape::Text };

    pub(crate) fn of(datum: &Datum) -> State {
        let scalar = |tag: u64, word: u64| {
            let hash = mix(mix(0x5ca1_a700, tag), word);
            State { hash, len: 0, shape: Shape::Scalar }
        };
        match datum {
            Datum::Absent => State::ABSENT,
            Datum::Bool(b) => scalar(1, u64::from(*b)),
            Datum::Int(n) => scalar(2, *n as u64),
            Datum::Text(text) => State::EMPTY_TEXT.text(text),
            Datum::List(items) => items.iter().fold(State::EMPTY_LIST, |s, i| s.push(State::of(i))),
            Datum::Other(text) => {
                let hash = text.bytes().fold(mix(0x5ca1_a700, 3), |h, b| mix(h, u64::from(b)));
                State { hash, len: 0, shape: Shape::Scalar }
            }
        }
    }

    fn push(self, item: State) -> State {
        let hash = mix(mix(self.hash, item.hash as u64), (item.hash >> 64) as u64);
        State { hash, len: self.len + 1, shape: Shape::List }
    }

    fn text(self, more: &str) -> State {
        let hash = more.bytes().fold(self.hash, |h, b| mix(h, u64::from(b)));
        State { hash, len: self.len + more.len() as u64, shape: Shape::Text }
    }

    /// The same as `Datum::with`. `state` is the item's own.
    pub(crate) fn with(self, item: &Datum, state: State, lists: bool) -> State {
        match (self.shape, item) {
            (Shape::Text, Datum::Text(more)) => self.text(more),
            (Shape::Absent, Datum::Text(_)) if !lists => state,
            (Shape::Absent, _) => State::EMPTY_LIST.push(state),
            (Shape::List, _) => self.push(state),
            _ => State::EMPTY_LIST.push(self).push(state),
        }
    }

    /// The hashes of all beginnings of a string or list, the empty one first.
    pub(crate) fn beginnings(datum: &Datum) -> Vec<u128> {
        let mut state = match datum {
            Datum::Text(_) => State::EMPTY_TEXT,
            Datum::List(_) => State::EMPTY_LIST,
            _ => return Vec::new(),
        };
        let mut out = vec![state.hash];
        match datum {
            Datum::Text(text) => {
                for byte in text.bytes() {
                    state.hash = mix(state.hash, u64::from(byte));
                    out.push(state.hash);
                }
            }
            Datum::List(items) => {
                for item in items {
                    state = state.push(State::of(item));
                    out.push(state.hash);
                }
            }
            _ => {}
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn datum() -> impl Strategy<Value = Datum> {
        let leaf = prop_oneof![
            Just(Datum::Absent),
            any::<bool>().prop_map(Datum::Bool),
            (-3_i64..3).prop_map(Datum::Int),
            "[ab]{0,3}".prop_map(Datum::Text),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop::collection::vec(inner, 0..3).prop_map(Datum::List)
        })
    }

    proptest! {
        #[test]
        fn states_are_equal_when_values_are(a in datum(), b in datum()) {
            prop_assert_eq!(State::of(&a) == State::of(&b), a == b);
        }

        #[test]
        fn appending_is_the_same_on_both_sides(a in datum(), b in datum(), lists in any::<bool>()) {
            let state = State::of(&a).with(&b, State::of(&b), lists);
            prop_assert_eq!(state, State::of(&a.with(&b, lists)));
        }

        #[test]
        fn beginnings_are_those_of_the_value(text in "[ab]{0,6}", cut in 0_usize..7) {
            let cut = cut.min(text.len());
            let begins = State::beginnings(&Datum::Text(text.clone()));
            prop_assert_eq!(begins.len(), text.len() + 1);
            let head = Datum::Text(text[..cut].to_string());
            prop_assert_eq!(begins[cut], State::of(&head).hash);
        }
    }
}
