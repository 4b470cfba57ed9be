//! Swarm testing: what every line of a plan has in common when each seed draws its own storm.
//!
//! A kind of fault is off for a whole seed with a share of its own, whatever the chances of its lines: a
//! storm that has everything in it hides what only one kind, alone and long, brings out. And an outage that
//! matters is rarely a round number: it lies just below, at or above some timeout of the system. A line
//! that says `lasts = "around"` draws one of the timeouts that the scenario names, and then a length about
//! it.
//!
//! Left out: timeouts inside the node that are no setting; drawing a setting and its outages together.
//! Source: Groce and others, "Swarm Testing", ISSTA 2012.

use host::Rng;
use host::settings::nearest;
use host::unit::{Ratio, Span, nanos, parse_span};
use xxhash_rust::xxh3::xxh3_64;

use crate::Time;
use crate::draw::Draws;

/// What a length is called that is drawn about a timeout.
const AROUND: &str = "around";

/// What the lines of a plan share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swarm {
    /// The share of seeds in which a kind of fault is off.
    pub kinds_off: Ratio,
    /// The timeouts about which outages are drawn, in nanoseconds, sorted.
    pub around: Vec<Time>,
}

impl Swarm {
    /// Whether a kind of fault is off under these draws.
    pub fn is_off(&self, draws: &Draws, kind: &str) -> bool {
        draws.stream("kind off", xxh3_64(kind.as_bytes()), 0).chance(self.kinds_off.0)
    }
}

/// For how long a fault may act: one of these, drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lasts(Vec<Length>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Within(Span),
    Around,
}

impl Lasts {
    /// Parses `20ms..2s`, `around`, or several of these with `|` between them.
    pub fn parse(text: &str, swarm: &Swarm) -> Result<Lasts, String> {
        let one = |text: &str| match text.trim() {
            AROUND if swarm.around.is_empty() => {
                Err("`around` which timeouts? name them: `[swarm] around = [KEY, ..]`".to_string())
            }
            AROUND => Ok(Length::Around),
            text if nearest(text, [AROUND]).is_some() => {
                Err(format!("`{text}` is no length of time; did you mean `{AROUND}`?"))
            }
            text => match parse_span(text)? {
                span if span.max > DAY => Err(format!("`{text}` is longer than a day")),
                span => Ok(Length::Within(span)),
            },
        };
        text.split('|').map(one).collect::<Result<_, _>>().map(Lasts)
    }

    /// Draws a length.
    pub fn draw(&self, rng: &mut Rng, swarm: &Swarm) -> Time {
        match self.0[rng.below(self.0.len() as u64) as usize] {
            Length::Within(span) => rng.between(nanos(span.min), nanos(span.max)),
            Length::Around => {
                let timeout = swarm.around[rng.below(swarm.around.len() as u64) as usize];
                let (low, high) = PLACES[rng.below(PLACES.len() as u64) as usize];
                rng.between(timeout / 100 * low, timeout / 100 * high)
            }
        }
    }
}

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// Below a timeout, at it and above it, in hundredths.
const PLACES: [(u64, u64); 3] = [(40, 95), (95, 105), (105, 250)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn swarm() -> Swarm {
        Swarm { kinds_off: Ratio(300_000), around: vec![50_000_000, 150_000_000] }
    }

    #[test]
    fn a_length_around_nothing_is_refused() {
        assert!(Lasts::parse("around", &Swarm::default()).unwrap_err().contains("[swarm]"));
        assert!(Lasts::parse("around | 1ms..25h", &swarm()).unwrap_err().contains("day"));
        assert!(Lasts::parse("around|3", &swarm()).is_err());
        assert!(Lasts::parse("arond", &swarm()).unwrap_err().contains("did you mean `around`?"));
    }

    #[test]
    fn all_three_sides_of_every_timeout_are_drawn() {
        let lasts = Lasts::parse("around", &swarm()).unwrap();
        let mut seen = [0; 6];
        for n in 0..600 {
            let drawn = lasts.draw(&mut Draws::new(n).stream("t", 0, 0), &swarm());
            for (i, timeout) in swarm().around.iter().enumerate() {
                for (j, (low, high)) in PLACES.iter().enumerate() {
                    let inside = drawn >= timeout * low / 100 && drawn <= timeout * high / 100;
                    seen[i * 3 + j] += u64::from(inside);
                }
            }
        }
        assert!(seen.iter().all(|n| *n > 50), "{seen:?}");
    }

    #[test]
    fn a_kind_is_off_in_its_share_of_seeds_and_apart_from_others() {
        let off = |kind, seed| swarm().is_off(&Draws::new(seed), kind);
        let count = |kind| (0..2000).filter(|seed| off(kind, *seed)).count();
        assert!((500..700).contains(&count("crash")), "{}", count("crash"));
        let both = (0..2000).filter(|seed| off("crash", *seed) && off("pause", *seed)).count();
        assert!((120..240).contains(&both), "{both}");
    }

    proptest! {
        #[test]
        fn a_span_is_drawn_within_its_ends(seed: u64, low in 0u64..1000, more in 0u64..1000) {
            let lasts = Lasts::parse(&format!("{low}us..{}us", low + more), &swarm()).unwrap();
            let drawn = lasts.draw(&mut Draws::new(seed).stream("t", 0, 0), &swarm());
            prop_assert!(drawn >= low * 1000 && drawn <= (low + more) * 1000);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Lasts::parse(&text, &swarm());
        }
    }
}
