//! What every command needs: the vocabulary, the library of scenarios, and one way to turn what was typed
//! into something that can run. Words are checked before the first run, so that a slip of the pen is wrong
//! usage with the nearest word, and not the failure of ten thousand seeds.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::settings::nearest;
use kernel::doc::{FILE_MAX, Problem};
use kernel::history::Trace;
use kernel::library::{Library, LoadError};
use kernel::outcome::exit;
use kernel::plan::Plan;
use kernel::registry::Registry;
use kernel::run::Options;
use kernel::scenario::Scenario;

use crate::args::{Changes, seed_or_default};

/// Why a command ends before it has a verdict.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: i32,
    /// What to tell.
    pub text: String,
}

impl Failure {
    /// Something was typed that cannot be meant.
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure { code: exit::USAGE, text: text.into() }
    }

    /// An input file is wrong.
    pub fn data(text: impl Into<String>) -> Failure {
        Failure { code: exit::DATA, text: text.into() }
    }

    /// A run has no outcome: its input is wrong, or the simulator itself failed.
    pub fn unrun(what: &str, why: String) -> Failure {
        let own = why.starts_with(kernel::run::PANICKED) || why.starts_with(kernel::run::NO_THREAD);
        let code = if own { exit::IO } else { exit::DATA };
        Failure { code, text: format!("{what}: {why}") }
    }

    /// A file could not be read or written.
    pub fn io(path: &Path, error: &std::io::Error) -> Failure {
        Failure { code: exit::IO, text: format!("{}: {error}", path.display()) }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Failure {
        match error {
            LoadError::Usage(text) => Failure::usage(text),
            LoadError::Data(problems) => Failure::data(join(&problems)),
            LoadError::Io(text) => Failure { code: exit::IO, text },
        }
    }
}

/// Problems as one text, one a line.
pub fn join(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\nerror: ")
}

/// The vocabulary and where scenarios come from.
pub struct Session {
    /// All words.
    pub registry: &'static Registry,
    /// All scenarios.
    pub library: Library,
}

impl Session {
    /// Looks for scenarios from the current folder upwards.
    pub fn new(registry: &'static Registry) -> Session {
        Session { registry, library: Library::find(registry) }
    }

    /// The project's folder, or the current one.
    pub fn root(&self) -> PathBuf {
        self.library.root().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
    }

    /// A scenario with values from the command line.
    pub fn scenario(
        &self,
        name: &str,
        sets: &[(String, String)],
    ) -> Result<Arc<Scenario>, Failure> {
        Ok(Arc::new(self.library.load(name, sets)?))
    }

    /// The cure of a scenario, if it names one.
    pub fn cure(&self, scenario: &Scenario) -> Result<Option<Arc<Scenario>>, Failure> {
        let cure = scenario.shows.as_ref().and_then(|s| s.cure.as_deref());
        cure.map(|name| self.scenario(name, &[])).transpose()
    }

    /// Options of a run with these changes. Without a seed that was typed, it is the plan's, else that of
    /// the environment, else 0.
    pub fn options(
        &self,
        scenario: &Scenario,
        seed: Option<u64>,
        changes: &Changes,
        trace: Trace,
    ) -> Result<Options, Failure> {
        let node = self.registry.node(&scenario.cluster.node.0).expect("resolved");
        for word in &changes.plants {
            let plants = node.plants.iter().map(|p| p.0);
            known(word, plants, &format!("node `{}` has no plant", node.word))?;
        }
        for word in &changes.mute {
            known(word, self.registry.checks.iter().map(|c| c.word), "there is no check")?;
        }
        let plan = changes.plan.as_deref().map(|path| self.plan(path, scenario)).transpose()?;
        let planned = plan.as_ref().and_then(|p| p.seed);
        let planned_branch = plan.as_ref().and_then(|p| p.branch);
        let seed = seed_or_default(seed.or(planned)).map_err(Failure::usage)?;
        Ok(Options {
            weave: changes.weave,
            plants: changes.plants.clone(),
            mute: changes.mute.clone(),
            trace,
            plan,
            branch: changes.branch.or(planned_branch),
            ..Options::seed(seed)
        })
    }

    /// A plan file, which must be of this scenario if it says of which it is.
    pub fn plan(&self, path: &Path, scenario: &Scenario) -> Result<Plan, Failure> {
        let size = fs::metadata(path).map_err(|e| Failure::io(path, &e))?.len();
        let name = path.display().to_string();
        if size > FILE_MAX as u64 {
            return Err(Failure::data(format!("{name}: {size} bytes; a file may have {FILE_MAX}")));
        }
        let bytes = fs::read(path).map_err(|e| Failure::io(path, &e))?;
        let text =
            String::from_utf8(bytes).map_err(|_| Failure::data(format!("{name}: not UTF-8")))?;
        let plan = Plan::parse(&name, &text, self.registry, scenario.cluster.hosts);
        let plan = plan.map_err(|p| Failure::data(join(&p)))?;
        match &plan.scenario {
            Some(of) if *of != scenario.name => Err(Failure::data(format!(
                "{name}: plan.scenario: this is a plan of `{of}`, not of `{}`",
                scenario.name
            ))),
            _ => Ok(plan),
        }
    }
}

/// Refuses a word that is not among those there are.
pub fn known<'a>(
    word: &str,
    words: impl IntoIterator<Item = &'a str>,
    complaint: &str,
) -> Result<(), Failure> {
    let words: Vec<&str> = words.into_iter().collect();
    if words.contains(&word) {
        return Ok(());
    }
    let hint = match nearest(word, words.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if words.is_empty() => "; there are none".to_string(),
        None => format!("; there are: {}", words.join(", ")),
    };
    Err(Failure::usage(format!("{complaint} `{word}`{hint}")))
}

/// The worst of several exit codes: the lowest that is not zero.
pub fn worst(codes: impl IntoIterator<Item = i32>) -> i32 {
    codes.into_iter().filter(|c| *c != exit::OK).min().unwrap_or(exit::OK)
}

/// Writes a file so that nobody ever sees half of it. What a link stands for is written and not the link,
/// and what is no file, a device or a pipe, is written to and not replaced.
pub fn write_whole(path: &Path, text: &str) -> Result<(), Failure> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return fs::write(path, text).map_err(|e| Failure::io(path, &e));
    }
    let mut name = path.as_os_str().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let partial = PathBuf::from(name);
    let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, path));
    written.map_err(|e| {
        let _ = fs::remove_file(&partial);
        Failure::io(path, &e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_devices_stay_what_they_are() {
        let dir = std::env::temp_dir().join(format!("wavetank-write-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (file, link) = (dir.join("file"), dir.join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_whole(&link, "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        write_whole(Path::new("/dev/null"), "gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_lowest_failure_wins() {
        assert_eq!(worst([0, 5, 2, 8]), 2);
        assert_eq!(worst([0, 0]), 0);
    }

    #[test]
    fn unknown_words_name_the_nearest() {
        let error = known("vote_befor_fsync", ["vote_before_fsync"], "no plant").unwrap_err();
        assert_eq!(error.code, exit::USAGE);
        assert!(error.text.contains("did you mean `vote_before_fsync`?"), "{}", error.text);
    }
}
