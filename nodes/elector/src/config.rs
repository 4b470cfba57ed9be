//! The settings of a node that only elects: those of consensus, and what it finds at its first boot,
//! as one flat list of keys. Which host begins with which log follows from its number: hosts differ in
//! nothing else. Left out: logs that differ in their terms; a vote compares those first, and a length
//! says the same.

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

impl Config {
    /// Checks what no single range can say.
    pub fn validate(&self) -> Result<(), String> {
        self.raft.validate()
    }

    /// Checks what the number of hosts decides: without a majority nobody is ever elected.
    pub(crate) fn fits(&self, hosts: u64) -> Result<(), String> {
        let absent = self.own.absent;
        match absent.saturating_mul(2) < hosts {
            true => Ok(()),
            false => Err(format!("absent {absent} of {hosts} hosts leaves no majority to elect")),
        }
    }

    /// With how many entries the host `me` of `hosts` begins, counted from 1; `None` if it takes no
    /// part.
    pub(crate) fn entries(&self, me: u64, hosts: u64) -> Option<u64> {
        let Own { logs, log, absent } = &self.own;
        let there = hosts.saturating_sub(*absent);
        let ahead = match logs.0 {
            "shorter" => u64::from(me + there.saturating_sub(1) / 2 <= there),
            "different" => me - 1,
            _ => 0,
        };
        (me <= there).then_some(log + ahead)
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

    fn logs(logs: &str, absent: u64) -> Vec<Option<u64>> {
        let mut config = Config::default();
        config.set("logs", logs).unwrap();
        config.set("log", "3").unwrap();
        config.set("absent", &absent.to_string()).unwrap();
        (1..=5).map(|me| config.entries(me, 5)).collect()
    }

    #[test]
    fn logs_are_as_long_as_the_word_says() {
        assert_eq!(logs("same", 0), [Some(3); 5]);
        assert_eq!(logs("shorter", 0), [Some(4), Some(4), Some(4), Some(3), Some(3)]);
        assert_eq!(logs("shorter", 1), [Some(4), Some(4), Some(4), Some(3), None]);
        assert_eq!(logs("different", 2), [Some(3), Some(4), Some(5), None, None]);
    }

    #[test]
    fn a_majority_has_to_be_there() {
        let mut config = Config::default();
        config.set("absent", "2").unwrap();
        assert!(config.fits(5).is_ok());
        assert!(config.fits(4).unwrap_err().contains("majority"));
        assert!(config.fits(1).is_err());
    }

    /// The dissertation: three, two or one of five can win if none, one or two have failed.
    #[test]
    fn with_different_logs_two_fewer_than_are_there_can_win() {
        for absent in 0..=2 {
            let logs: Vec<u64> = logs("different", absent).into_iter().flatten().collect();
            let votes = |own: u64| logs.iter().filter(|other| **other <= own).count();
            let can = logs.iter().filter(|own| votes(**own) >= 3).count();
            assert_eq!(can as u64, 3 - absent);
        }
    }
}
