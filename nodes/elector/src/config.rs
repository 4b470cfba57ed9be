//! The settings of a node that only elects: those of consensus, and what it finds at its first boot,
//! as one flat list of keys.

use host::settings::{Field, Settings, Word};

host::settings! {
    /// What there is besides consensus.
    pub struct Own {
        /// The logs at the first boot: equally long everywhere; one entry shorter on the last hosts,
        /// on less than half of those besides the first; or longer with each host.
        logs: Word = "same", "same|shorter|different";
        /// Entries of the shortest log at the first boot.
        log: u64 = "1", "0..10000";
        /// The last so many hosts never take part.
        absent: u64 = "0", "0..63";
    }
}

/// All settings of such a node.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Those of consensus.
    pub raft: raft_driver::Config,
    /// Its own.
    pub own: Own,
}

/// What a host is in the experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It never takes part.
    Absent,
    /// It begins with a log of so many entries; `outvoted` if too few of the hosts that take part
    /// have one as short for it to win.
    Voter { entries: u64, outvoted: bool },
}

impl Config {
    /// Checks what no single range can say.
    pub fn validate(&self) -> Result<(), String> {
        self.raft.validate()
    }

    /// The part of the host `me` of `hosts`, both counted from 1.
    pub(crate) fn part(&self, me: u64, hosts: u64) -> Part {
        let Own { logs, log, absent } = &self.own;
        let there = hosts.saturating_sub(*absent);
        if me > there {
            return Part::Absent;
        }
        let ahead = match logs.0 {
            "shorter" => u64::from(me + there.saturating_sub(1) / 2 <= there),
            "different" => me - 1,
            _ => 0,
        };
        let as_short = match logs.0 {
            "shorter" if ahead == 0 => there.saturating_sub(1) / 2,
            "different" => me,
            _ => there,
        };
        Part::Voter { entries: log + ahead, outvoted: as_short <= hosts / 2 }
    }
}

impl Settings for Config {
    fn fields() -> Vec<Field> {
        let mut fields = raft_driver::Config::fields();
        fields.extend(Own::fields());
        fields
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        match Own::fields().iter().any(|f| f.name == name) {
            true => self.own.set(name, text),
            false => self.raft.set(name, text),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.raft.get(name).or_else(|| self.own.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(logs: &str, absent: u64) -> Vec<Part> {
        let mut config = Config::default();
        config.set("logs", logs).unwrap();
        config.set("log", "3").unwrap();
        config.set("absent", &absent.to_string()).unwrap();
        (1..=5).map(|me| config.part(me, 5)).collect()
    }

    fn voter(entries: u64, outvoted: bool) -> Part {
        Part::Voter { entries, outvoted }
    }

    #[test]
    fn logs_are_as_long_as_the_word_says() {
        assert_eq!(parts("same", 0), [voter(3, false); 5]);
        let [ahead, behind] = [voter(4, false), voter(3, true)];
        assert_eq!(parts("shorter", 0), [ahead, ahead, ahead, behind, behind]);
        assert_eq!(parts("shorter", 1), [ahead, ahead, ahead, behind, Part::Absent]);
        let own = |me| voter(2 + me, me <= 2);
        assert_eq!(parts("different", 0), [own(1), own(2), own(3), own(4), own(5)]);
    }

    /// The dissertation: three, two or one of five can win if none, one or two have failed.
    #[test]
    fn with_different_logs_two_fewer_than_are_there_can_win() {
        for absent in 0..=2 {
            let parts = parts("different", absent);
            let can = parts.iter().filter(|p| matches!(p, Part::Voter { outvoted: false, .. }));
            assert_eq!(can.count() as u64, 3 - absent);
        }
    }
}
